"""The metrics, scraped as Prometheus does."""

import socket
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scopeside.latency import Latencies
from scopeside.ledger import Account
from scopeside.supervise.metrics import AGE_EDGES_S, EngineMetrics, serve


def account():
    found = Account(announced=100, processed=80)
    found.dropped["superseded"] = 5
    found.failed["ValueError"] = 3
    return found


def status():
    return {
        "edges": {"stem": account().to_dict()},
        "queues": {"stem": {"queued": 4}},
        "slab": {"slots": 10, "in_use": 3},
        "rates": {"bytes": 12345},
        "stages": {"adapter": {"busy_s": 1.0, "blocked_s": 0.5, "starved_s": 0.0}},
        "restarts": {"worker.stem.0": 2},
        "processes": [
            {"name": "adapter", "alive": True, "state": "running"},
            {"name": "worker.stem.0", "alive": False, "state": "degraded"},
        ],
        "channels": {
            "heat": {"samples": 7, "state": "ok", "age_s": 0.5, "value": 21.5},
            "bias": {"samples": 0, "state": "silent", "age_s": None, "value": None},
        },
        "record": {
            "state": "lagging",
            "bytes": 4096,
            "backlog_bytes": 512,
            "spool_share": 0.25,
            "in_mb_per_s": 480.0,
            "disk_mb_per_s": 310.0,
            "free_bytes": 10**9,
            "lost": {"disk_slow": 6},
        },
        "control": {
            "mode": "armed",
            "counts": {"proposals": 9, "done": 6, "refused": 3, "cause.stale": 3},
            "dose": {"highest_e_per_A2": [10.0, 12.5], "budget_e_per_A2": 50.0},
        },
    }


def ages():
    found = Latencies()
    found.add(0.0015, 70)
    found.add(30.0, 10)
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def port():
    return free_port()


@pytest.fixture(scope="module")
def samples():
    port = free_port()
    _, stop = serve(port, EngineMetrics(status, ages))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        text = page.read().decode()
    stop()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def frames(outcome, cause=""):
    return (
        "scopeside_frames_total",
        ("cause", cause),
        ("edge", "stem"),
        ("outcome", outcome),
    )


def test_every_frame_is_counted_by_edge_outcome_and_cause(samples):
    assert samples[frames("announced")] == 100
    assert samples[frames("processed")] == 80
    assert samples[frames("dropped", "superseded")] == 5
    assert samples[frames("failed", "ValueError")] == 3
    assert samples["scopeside_frames_in_flight", ("edge", "stem")] == 12


def test_queues_slots_and_waiting_are_shown(samples):
    assert samples["scopeside_edge_queued_batches", ("edge", "stem")] == 4
    assert samples["scopeside_slots", ("state", "in_use")] == 3
    assert samples["scopeside_slots", ("state", "free")] == 7
    assert samples[("scopeside_received_bytes_total",)] == 12345
    assert samples[("scopeside_credit_wait_seconds_total",)] == 0.5
    blocked = ("stage", "adapter"), ("state", "blocked")
    assert samples["scopeside_stage_seconds_total", *blocked] == 0.5


def test_processes_and_restarts_are_shown(samples):
    worker = ("process", "worker.stem.0")
    assert samples["scopeside_restarts_total", worker] == 2
    assert samples["scopeside_process_up", worker] == 0
    assert samples["scopeside_process_degraded", worker] == 1
    assert samples["scopeside_process_up", ("process", "adapter")] == 1


def test_ages_are_a_histogram_that_ends_at_all_frames(samples):
    name = "scopeside_frame_age_seconds"
    buckets = [samples[f"{name}_bucket", ("le", str(edge))] for edge in AGE_EDGES_S]
    assert buckets == sorted(buckets)
    assert samples[f"{name}_bucket", ("le", "0.001")] == 0
    assert samples[f"{name}_bucket", ("le", "0.002")] == 70
    assert samples[f"{name}_bucket", ("le", "+Inf")] == 80
    assert samples[f"{name}_count",] == 80
    assert samples[f"{name}_sum",] == pytest.approx(70 * 0.0015 + 300, rel=0.13)


def test_channels_are_shown_with_what_is_known_of_them(samples):
    assert samples["scopeside_channel_samples_total", ("channel", "heat")] == 7
    assert samples["scopeside_channel_up", ("channel", "heat")] == 1
    assert samples["scopeside_channel_up", ("channel", "bias")] == 0
    assert samples["scopeside_channel_age_seconds", ("channel", "heat")] == 0.5
    assert ("scopeside_channel_age_seconds", ("channel", "bias")) not in samples
    assert ("scopeside_channel_value", ("channel", "bias")) not in samples


def test_every_name_is_ours(samples):
    assert all(key[0].startswith("scopeside_") for key in samples)


def test_the_server_is_on_this_machine_only_and_ends(port):
    where, stop = serve(port, EngineMetrics(status, ages))
    assert where == f"http://127.0.0.1:{port}/metrics"
    stop()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))


def test_another_port_is_found_where_this_one_is_taken(port):
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        where, stop = serve(port, EngineMetrics(status, ages))
        stop()
    assert where.startswith("http://127.0.0.1:")
    assert f":{port}/" not in where


def test_feedback_is_shown(samples):
    assert samples["scopeside_feedback_mode", ("mode", "armed")] == 1
    assert samples["scopeside_feedback_mode", ("mode", "parked")] == 0
    assert samples["scopeside_feedback_verdicts_total", ("state", "done")] == 6
    assert samples["scopeside_feedback_refusals_total", ("cause", "stale")] == 3
    assert samples["scopeside_feedback_dose", ("what", "highest")] == 12.5
    assert samples["scopeside_feedback_dose", ("what", "budget")] == 50


def test_recording_is_shown(samples):
    assert samples["scopeside_record_bytes_total",] == 4096
    assert samples["scopeside_record_gap_frames_total", ("cause", "disk_slow")] == 6
    assert samples["scopeside_record_state", ("state", "lagging")] == 1
    assert samples["scopeside_record_state", ("state", "ok")] == 0
    written = samples["scopeside_record_bytes_per_second", ("what", "written")]
    assert written == 310e6
    assert samples["scopeside_record_free_bytes",] == 1e9
