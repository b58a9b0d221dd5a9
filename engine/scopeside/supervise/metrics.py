"""Prometheus metrics, computed when they are scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from scopeside.latency import Latencies
from scopeside.security import http

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/metrics"
AGE_EDGES_S = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
)  # fmt: skip


class EngineMetrics(Collector):
    """Turns the engine's status into metrics; the names are in docs/metrics.md."""

    def __init__(
        self, status: Callable[[], dict[str, Any]], ages: Callable[[], Latencies]
    ) -> None:
        self._status = status
        self._ages = ages

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics as of now."""
        status = self._status()
        yield _frames(status["edges"])
        yield _gauge("frames_in_flight", "Frames not yet ended anywhere", "edge", {
            name: account["in_flight"] for name, account in status["edges"].items()
        })  # fmt: skip
        yield _gauge("edge_queued_batches", "Batches that wait for a worker", "edge", {
            name: queue["queued"] for name, queue in status["queues"].items()
        })  # fmt: skip
        yield _gauge("slots", "Slots of the slab", "state", {
            "in_use": status["slab"]["in_use"],
            "free": status["slab"]["slots"] - status["slab"]["in_use"],
        })  # fmt: skip
        received = CounterMetricFamily("scopeside_received_bytes", "Bytes of frames")
        received.add_metric([], status["rates"]["bytes"])
        yield received
        yield _seconds(status["stages"])
        waited = CounterMetricFamily(
            "scopeside_credit_wait_seconds", "Time ingest waited for a free slot"
        )
        waited.add_metric([], status["stages"]["adapter"]["blocked_s"])
        yield waited
        restarts = CounterMetricFamily(
            "scopeside_restarts", "Restarts of processes", labels=["process"]
        )
        for name, number in status["restarts"].items():
            restarts.add_metric([name], number)
        yield restarts
        yield _gauge("process_up", "Whether the process runs", "process", {
            process["name"]: int(process["alive"]) for process in status["processes"]
        })  # fmt: skip
        yield _gauge("process_degraded", "Whether it was given up", "process", {
            process["name"]: int(process["state"] == "degraded")
            for process in status["processes"]
        })  # fmt: skip
        yield _ages(self._ages())
        yield from _channels(status["channels"])
        yield from _feedback(status["control"])
        yield from _recording(status["record"])


def serve(port: int, metrics: EngineMetrics) -> tuple[str, Callable[[], None]]:
    """Serve metrics on a port of 127.0.0.1, or on a free one if that is taken.

    Returns
    -------
    Where they are, and how to end it.
    """
    registry = CollectorRegistry()
    registry.register(metrics)
    application = _only_metrics(make_wsgi_app(registry))
    try:
        where, stop = http.serve(application, port)
    except OSError:
        where, stop = http.serve(application, 0)
    return f"{where}{PATH}", stop


def _only_metrics(metrics: WSGIApplication) -> WSGIApplication:
    """Answer at one path; anywhere else there is nothing."""

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == PATH:
            return metrics(environ, start)
        start("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"there is nothing but {PATH}\n".encode()]

    return answer


def _frames(edges: dict[str, Any]) -> Metric:
    family = CounterMetricFamily(
        "scopeside_frames",
        "Frames by where they ended",
        labels=["edge", "outcome", "cause"],
    )
    for edge, account in edges.items():
        family.add_metric([edge, "announced", ""], account["announced"])
        family.add_metric([edge, "processed", ""], account["processed"])
        for outcome in ("dropped", "failed"):
            for cause, n in account[outcome].items():
                family.add_metric([edge, outcome, cause], n)
    return family


def _gauge(name: str, text: str, label: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(f"scopeside_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _channels(channels: dict[str, dict[str, Any]]) -> Iterator[Metric]:
    samples = CounterMetricFamily(
        "scopeside_channel_samples", "Samples received", labels=["channel"]
    )
    for name, channel in channels.items():
        samples.add_metric([name], channel["samples"])
    yield samples
    yield _gauge("channel_up", "Whether samples come", "channel", {
        name: int(channel["state"] == "ok") for name, channel in channels.items()
    })  # fmt: skip
    yield _gauge("channel_age_seconds", "Age of the latest sample", "channel", {
        name: channel["age_s"]
        for name, channel in channels.items() if channel["age_s"] is not None
    })  # fmt: skip
    yield _gauge("channel_value", "Value of the latest sample", "channel", {
        name: channel["value"]
        for name, channel in channels.items() if channel["value"] is not None
    })  # fmt: skip


RECORD_STATES = ("ok", "lagging", "disk_full", "disk_failed", "lost")
MODES = ("observe", "advise", "armed", "parked")


def _feedback(control: dict[str, Any]) -> Iterator[Metric]:
    """Yield what the guard does; nothing without feedback."""
    if "mode" not in control:
        return
    yield _gauge("feedback_mode", "Which mode the guard is in", "mode", {
        mode: int(control["mode"] == mode) for mode in MODES
    })  # fmt: skip
    verdicts = CounterMetricFamily(
        "scopeside_feedback_verdicts",
        "Proposals and commands by what became of them",
        labels=["state"],
    )
    causes = CounterMetricFamily(
        "scopeside_feedback_refusals", "Refusals by cause", labels=["cause"]
    )
    for name, n in control.get("counts", {}).items():
        what, _, cause = name.partition(".")
        (causes if cause else verdicts).add_metric([cause or what], n)
    yield verdicts
    yield causes
    dose = control.get("dose") or {}
    yield _gauge("feedback_dose", "Highest dose of a place, and budget, e/A2", "what", {
        name: value
        for name, value in {
            "highest": (dose.get("highest_e_per_A2") or [None, None])[1],
            "budget": dose.get("budget_e_per_A2"),
        }.items() if value is not None
    })  # fmt: skip


def _recording(record: dict[str, Any]) -> Iterator[Metric]:
    """Yield what the recorder does; nothing where nothing is recorded."""
    if "bytes" not in record:
        return
    written = CounterMetricFamily("scopeside_record_bytes", "Bytes brought to disk")
    written.add_metric([], record["bytes"])
    yield written
    lost = CounterMetricFamily(
        "scopeside_record_gap_frames", "Frames not recorded", labels=["cause"]
    )
    for cause, n in record["lost"].items():
        lost.add_metric([cause], n)
    yield lost
    yield from _values({
        "record_waiting_bytes": ("Bytes that wait for it", record["backlog_bytes"]),
        "record_spool_share": ("Full part of the spool", record["spool_share"]),
        "record_free_bytes": ("Free on the disk of the runs", record["free_bytes"]),
    })  # fmt: skip
    yield _gauge("record_bytes_per_second", "What comes, and what is written", "what", {
        "come": 1e6 * record["in_mb_per_s"], "written": 1e6 * record["disk_mb_per_s"]
    })  # fmt: skip
    yield _gauge("record_state", "How recording goes", "state", {
        state: int(record["state"] == state) for state in RECORD_STATES
    })  # fmt: skip


def _values(values: dict[str, tuple[str, float | None]]) -> Iterator[Metric]:
    """Yield gauges without labels, where there is a value."""
    for name, (text, value) in values.items():
        if value is not None:
            yield GaugeMetricFamily(f"scopeside_{name}", text, value=value)


def _seconds(stages: dict[str, dict[str, float]]) -> Metric:
    family = CounterMetricFamily(
        "scopeside_stage_seconds",
        "Time by what a stage did: busy, starved of input, blocked by its output",
        labels=["stage", "state"],
    )
    for stage, seconds in stages.items():
        for state, value in seconds.items():
            family.add_metric([stage, state.removesuffix("_s")], value)
    return family


def _ages(ages: Latencies) -> Metric:
    counts = ages.cumulative(AGE_EDGES_S)
    buckets = [(str(edge), n) for edge, n in zip(AGE_EDGES_S, counts, strict=True)]
    return HistogramMetricFamily(
        "scopeside_frame_age_seconds",
        "Age of a frame when its result is merged, from the end of its batch",
        buckets=[*buckets, ("+Inf", ages.frames)],
        sum_value=ages.sum_s,
    )
