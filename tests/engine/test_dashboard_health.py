"""What the page says of an engine, by a status that brings it about."""

import os
import re
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.well import account, changed, well

from scopeside.dashboard.brief import MOST_ENDED, brief
from scopeside.dashboard.health import Health
from scopeside.dashboard.machine import Machine
from scopeside.dashboard.page import Page
from scopeside.dashboard.vitals import vitals
from scopeside.dashboard.words.all import sentences
from scopeside.dashboard.words.losses import DROPPED, FAILED, loss
from scopeside.dashboard.words.rates import Rates
from scopeside.dashboard.words.sentence import Invalid, Now
from scopeside.result import Result, invalid

OPERATIONS = Path(__file__).parents[2] / "docs/operations.md"


def after(before, later, seconds=1.0, **more):
    """Return what is said when the second status comes `seconds` after the first."""
    rates = Rates()
    rates.see(before, 1000.0)
    rates.see(later, 1000.0 + seconds)
    return sentences(Now(later, rates, now_s=1000.0 + seconds, **more))


def about(said):
    return [one.about for one in said]


def test_of_an_engine_that_is_well_nothing_is_said():
    later = changed("rates/frames", 1100)
    assert after(well(), later) == []


@pytest.mark.parametrize(
    ("path", "value", "level", "matter", "words"),
    [
        ("edges/stem/dropped", {"stalled": 50}, "bad", "lost.stem.dropped.stalled",
         "stem: 50 frames lost in the last minute: the memory for frames was full"),
        ("edges/stem/failed", {"ValueError": 1}, "bad", "lost.stem.failed.ValueError",
         "stem: 1 frame lost in the last minute: a processor failed on them"),
        ("edges/stem/dropped", {"missing": 7}, "bad", "lost.detector.dropped.missing",
         "7 frames lost in the last minute: the detector promised them"),
        ("edges/stem/dropped", {"id_gap": 7}, "bad", "lost.detector.dropped.id_gap",
         "the detector says that it lost them (id_gap)"),
        ("edges/stem/dropped", {"queue_full": 7}, "warn",
         "lost.stem.dropped.queue_full", "further behind than its policy allows"),
        ("edges/record/dropped", {"disk_slow": 7}, "bad",
         "lost.record.dropped.disk_slow", "the disk is slower than the detector"),
        ("restarts/worker.stem.0", 1, "warn", "restart.worker.stem.0",
         "worker.stem.0 died and was started again 0.0 s ago (once in all)"),
        ("processes/1/state", "degraded", "bad", "degraded.worker.stem.0",
         "the other workers of stem go on"),
        ("processes/0/state", "degraded", "bad", "degraded.adapter",
         "the detector's process died too often and was given up"),
        ("processes/1/device", "cpu (NVIDIA H100 failed)", "warn",
         "card.worker.stem.0", "the graphics card NVIDIA H100 has failed"),
        ("phase", "recovering", "warn", "phase", "the detector's process has died"),
        ("phase", "draining", "warn", "phase", "the engine is stopping"),
        ("phase", "starting", "ok", "phase", "the engine is starting"),
        ("record/state", "lagging", "warn", "record",
         "it takes 100 MB/s, 100 MB/s come"),
        ("record/state", "disk_full", "bad", "record", "the disk of the runs is full"),
        ("record/state", "disk_failed", "bad", "record", "cannot be written to"),
        ("record/state", "lost", "bad", "record", "nothing is recorded any more"),
        ("record/free_bytes", 10**10, "warn", "disk",
         "10 GB are free on the disk of the runs, full in 100 s at this pace"),
        ("channels/heat/state", "silent", "warn", "channel.heat", "sends nothing"),
        ("channels/heat/state", "lost", "warn", "channel.heat", "is lost and tried"),
        ("plaintext", ["frames come in the clear"], "ok", "plaintext.0", "the clear"),
        ("control/mode", "lost", "bad", "guard", "the guard was given up"),
        ("control/parked", {"cause": "held", "reason": "by lena"}, "warn", "parked",
         "feedback is parked (held), nothing is sent: by lena"),
        ("control/parked", {"cause": "instrument"}, "bad", "parked", "(instrument)"),
        ("control/unreadable", "no answer", "warn", "readback", "(no answer)"),
        ("control/unwritten", "no space", "bad", "audit", "so nothing is sent"),
        ("control/dose/here_e_per_A2", 85.0, "warn", "dose.the place in the beam",
         "is 85 e⁻/Å², 85 % of its budget of 100 e⁻/Å²"),
        ("control/dose/here_e_per_A2", 101.0, "bad", "dose.the place in the beam",
         "beyond its budget"),
        ("control/dose/run_budget_e_per_A2", 10.0, "bad", "dose.the run", "the run"),
        ("control/dose/lacking", "no calibration", "warn", "dose.lacking",
         "cannot be kept: no calibration"),
    ],
)  # fmt: skip
def test_each_trouble_is_said_once_and_alone(path, value, level, matter, words):
    later = changed(path, value)
    later["rates"]["frames"] = 1100
    (said,) = after(well(), later)
    assert (said.level, said.about) == (level, matter)
    assert words in said.text


def test_a_guard_that_was_parked_for_a_silence_that_is_over_can_be_armed_again():
    later = changed("control/parked", {"cause": "silence", "reason": "for 588 ms"})
    later["rates"]["frames"] = 1100
    (said,) = after(well(), later)
    assert said.what_to_do.startswith("everything runs again: arm or advise")
    later["processes"][1]["state"] = "degraded"
    (said,) = [one for one in after(well(), later) if one.about == "parked"]
    assert said.what_to_do.startswith("when the reason is gone")


@pytest.mark.parametrize("cause", ["superseded", "sampled_out", "no_event"])
def test_frames_that_a_policy_lets_go_are_no_trouble(cause):
    later = changed("edges/stem/dropped", {cause: 500})
    later["rates"]["frames"] = 1100
    assert after(well(), later) == []


def test_what_never_came_is_said_once_however_many_chains_lack_it():
    later = changed("edges/stem/dropped", {"missing": 7})
    later["edges"]["record"]["dropped"] = {"missing": 7}
    assert about(after(well(), later)) == ["lost.detector.dropped.missing"]


def test_frames_that_were_lost_before_are_a_note():
    old = changed("edges/stem/dropped", {"stalled": 50})
    later = deepcopy(old)
    later["rates"]["frames"] = 1100
    (said,) = after(old, later)
    assert said.level == "ok"
    assert "50 frames lost earlier, none in the last minute" in said.text


def test_of_losses_the_new_ones_stand_apart_from_all():
    old = changed("edges/stem/dropped", {"stalled": 50})
    later = changed("edges/stem/dropped", {"stalled": 70})
    (said,) = after(old, later)
    assert "20 frames lost in the last minute (70 in all)" in said.text


def test_losses_of_an_engine_that_has_just_begun_are_new():
    first = changed("edges/stem/dropped", {"stalled": 50})
    first["seconds"] = 20.0
    (said,) = after(first, first)
    assert "50 frames lost in the last minute:" in said.text


def test_a_restart_is_forgotten_after_a_minute():
    rates, later = Rates(), changed("restarts/adapter", 1)
    rates.see(well(), 0.0)
    rates.see(later, 1.0)
    later["rates"]["frames"] = 1001
    rates.see(later, 62.0)
    assert sentences(Now(later, rates, now_s=62.0)) == []


def test_a_detector_is_silent_after_three_seconds():
    assert after(well(), well(), 2.9) == []
    (said,) = after(well(), well(), 3.0)
    assert said.text == "no frame has come for 3.0 s; 1,000 of 2,000 are here"


def test_no_frame_is_missed_when_all_are_here():
    whole = changed("open/scan-1/ingest/received", 2000)
    assert after(whole, whole, 60.0) == []


def test_of_frames_that_find_no_memory_only_the_cause_is_said():
    full = changed("slab/in_use", 60)
    assert about(after(full, full, 9.0)) == ["slab"]


def test_a_slow_detector_is_silent_after_five_frames():
    slow = changed("open/scan-1/acquisition/calibration", {"exposure_s": 10.0})
    assert after(slow, slow, 49.0) == []
    assert about(after(slow, slow, 50.0)) == ["quiet.scan-1"]


def test_between_acquisitions_no_frames_are_missed():
    idle = changed("open", {})
    assert after(idle, idle, 99.0) == []


def test_a_full_slab_is_told_after_a_second():
    full = changed("slab/in_use", 60)
    assert after(full, full, 0.9) == []
    (said,) = after(full, full, 1.0)
    assert (said.about, said.level) == ("slab", "warn")
    assert "has been full for 1.0 s" in said.text


def test_a_detector_that_is_made_to_wait_is_told():
    later = changed("stages/adapter/blocked_s", 0.5)
    (said,) = after(well(), later)
    assert "was full for 50 % of the last seconds" in said.text


def test_a_chain_that_falls_behind_says_by_how_much():
    later = changed("edges/stem", account(processed=1000, in_flight=400))
    (said,) = after(well(), later)
    assert said.text == "stem is 4.0 s behind the detector: 400 frames wait"


def test_a_worker_that_was_the_last_of_its_chain_says_so():
    later = changed("processes/1/state", "degraded")
    later["queues"]["stem"]["degraded"] = True
    (said,) = after(well(), later)
    assert "nobody works for stem" in said.text


def test_results_without_a_value_say_why_and_are_not_listed_for_ever():
    none = tuple(Invalid(f"stem.dpc.{n}", "no calibration") for n in range(5))
    said = after(well(), changed("rates/frames", 1001), invalid=none)
    assert said[0].text == "stem.dpc.0 has no value: no calibration"
    assert said[-1].text == "2 more results have no value"
    assert len(said) == 4


def test_an_acquisition_that_failed_is_told_until_the_next_begins():
    over = {"scan-1": {"state": "failed", "reason": "it hung up", "problems": []}}
    later = changed("open", {}) | {"acquisitions": over}
    (said,) = after(later, later)
    assert said.text == "the last acquisition has failed: it hung up"
    assert about(after(later, well() | {"acquisitions": over})) == []


def test_an_incomplete_acquisition_and_results_that_were_not_written_are_told():
    one = {"state": "incomplete", "ingest": {"missing": {"id_gap": 3}}}
    over = {"scan-1": one | {"problems": ["bf.npy: no space"]}}
    later = changed("open", {}) | {"acquisitions": over}
    bad, warn = after(later, later)
    assert (bad.level, bad.text) == ("bad", "bf.npy: no space")
    assert warn.text == "the last acquisition is incomplete: 3 frames missing"


def test_the_worst_comes_first():
    later = changed("phase", "draining")
    later["record"]["state"] = "disk_full"
    assert [one.level for one in after(well(), later)] == ["bad", "warn"]


def test_every_cause_in_the_documentation_has_words():
    rows = re.findall(
        r"^\| (dropped|failed) \| (`[a-z_`, ]+`) \|", OPERATIONS.read_text(), re.M
    )
    causes = {
        (out, one) for out, names in rows for one in re.findall(r"`(\w+)`", names)
    }
    assert len(causes) > 15
    known = {("dropped", one) for one in DROPPED} | {("failed", one) for one in FAILED}
    assert causes == known
    assert all(loss(*one).why for one in causes)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(sorted(well())) | st.text(max_size=4), inner)
    ),
    max_leaves=4,
)


@st.composite
def damaged(draw):
    """A status of which parts are missing or are not what they should be."""
    status = well()
    for _ in range(draw(st.integers(1, 4))):
        place = status
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inner = place[key]
            if isinstance(inner, dict | list) and inner and draw(st.booleans()):
                place = inner
                continue
            if draw(st.booleans()) and isinstance(place, dict):
                del place[key]
            else:
                place[key] = draw(anything)
            break
    return status


@settings(max_examples=60, deadline=None)
@given(damaged(), damaged())
def test_no_status_is_too_partial_to_be_spoken_of(first, second):
    page = Page()
    Health(page)
    for status in (first, second, well()):
        page.hear_status(status)
    assert page.topic("health") is not None
    assert page.topic("vitals") is not None


def said_by(page):
    import json

    return json.loads(page.topic("health")[1])


def test_a_matter_keeps_the_time_at_which_it_began():
    page = Page()
    Health(page)
    page.hear_status(changed("record/state", "disk_full"))
    began = said_by(page)["sentences"][0]["since_ms"]
    page.hear_status(changed("record/state", "disk_full"))
    assert said_by(page)["sentences"][0]["since_ms"] == began


def test_an_engine_that_has_ended_is_not_shown_as_live(tmp_path):
    page = Page()
    Health(page)
    assert said_by(page)["ended_ms"] is None
    page.attached(tmp_path)
    page.hear_status(well())
    page.attached(None)
    page.hear_status(well())  # an answer that was under way
    said = said_by(page)
    assert said["t_ms"] is None
    assert said["ended_ms"] > 0


@pytest.mark.parametrize("phase", ["running", "recovering", "draining", "ended"])
def test_an_engine_that_was_killed_is_told_from_one_that_has_ended(tmp_path, phase):
    page = Page()
    Health(page)
    page.attached(tmp_path)
    page.hear_status(well() | {"folder": str(tmp_path), "phase": phase})
    (tmp_path / "lock").touch()
    page.attached(None)
    assert said_by(page)["killed"] is (phase in ("running", "recovering"))


def test_an_engine_that_has_taken_its_folder_away_was_not_killed(tmp_path):
    page = Page()
    Health(page)
    page.hear_status(well() | {"folder": str(tmp_path / "1-a")})
    page.attached(None)
    assert said_by(page)["killed"] is False


def test_the_next_engine_is_live_again(tmp_path):
    page = Page()
    Health(page)
    page.hear_status(well())
    page.attached(None)
    page.attached(tmp_path)
    page.hear_status(well() | {"folder": "/run/2"})
    assert said_by(page)["t_ms"] > 0
    assert said_by(page)["ended_ms"] is None


def test_results_on_the_page_that_have_no_value_are_told():
    page = Page()
    Health(page)
    meta = {"chain": "stem", "processor": "dpc"}
    page.hear(invalid("phase", "no calibration", meta=meta))
    page.hear(Result("bf", 1.0, "scalar", meta=meta))
    page.hear_status(well())
    texts = [one["text"] for one in said_by(page)["sentences"]]
    assert texts == ["stem.dpc.phase has no value: no calibration"]


def test_rates_are_those_of_the_last_seconds():
    rates = Rates()
    for second in range(20):
        status = changed("edges/stem", account(processed=100 * max(0, second - 10)))
        rates.see(status, float(second))
    row = vitals(Now(status, rates, now_s=19.0), {}, {"stem": 5.0})["edges"][0]
    assert row["processed_per_s"] == 100.0
    assert row["curve"][-1] == 100.0
    assert row["curve"][0] == 0.0
    assert row["result_ms"] == 5.0


def test_a_curve_and_the_memory_of_a_long_run_are_bounded():
    rates = Rates()
    for half_seconds in range(2000):
        rates.see(well(), half_seconds / 2)
    assert len(rates.curves["stem"]) == 60
    assert len(rates._seen) <= 123


def test_this_process_takes_memory_and_time():
    machine = Machine()
    machine.look([os.getpid()])
    sum(range(10_000))
    use = machine.look([os.getpid(), 2**22 + 1])
    assert list(use) == [os.getpid()]
    assert use[os.getpid()].resident_bytes > 1 << 20
    assert use[os.getpid()].cpu_share >= 0


def test_a_name_with_brackets_does_not_confuse_the_fields(tmp_path):
    (tmp_path / "7").mkdir()
    fields = ["S"] + ["0"] * 10 + ["250", "150"] + ["0"] * 8 + ["3"]
    (tmp_path / "7/stat").write_text(f"7 (a) b 1 2) {' '.join(fields)}\n")
    assert Machine(tmp_path).look([7])[7].resident_bytes == 3 * os.sysconf(
        "SC_PAGE_SIZE"
    )


def test_tabs_are_told_of_the_last_acquisitions_without_their_runs():
    one = {"state": "complete", "processed_runs": {"stem": [[0, 9]]}}
    one["ingest"] = {"received": 10, "received_runs": [[0, 9]]}
    status = well() | {"acquisitions": {f"scan-{n}": one for n in range(100)}}
    told = brief(status)["acquisitions"]
    assert list(told) == [f"scan-{n}" for n in range(100 - MOST_ENDED, 100)]
    assert told["scan-99"] == {"state": "complete", "ingest": {"received": 10}}
    assert "processed_runs" in status["acquisitions"]["scan-99"]


def test_a_part_that_fails_is_named_and_the_others_hear_all_the_same():
    page = Page()
    Health(page)
    heard = []

    def broken(_status):
        raise RuntimeError("no ink")

    page.on_status(broken)
    page.on_status(heard.append)
    page.hear_status({"folder": "1-a"})
    page.hear_status({"folder": "1-a"})
    assert len(heard) == 2
    said = page.topic("health")
    assert said is not None
    assert "no ink" in said[1]
