"""What the collector tells the recorder of events: a state, the same after a crash."""

import os
from contextlib import ExitStack

import pytest
import zmq
from tests.engine.parts import LEDGER, collector, part_of, stamps_of
from tests.engine.small import acquisition, eventually, raw

from scopeside.collect import collector as module
from scopeside.collect import events_told, recorder_link
from scopeside.collect.events_told import ENDLESS_NS, EventsTold
from scopeside.collect.journal import Journal
from scopeside.collect.recorder_link import RecorderLink
from scopeside.errors import ConfigError
from scopeside.link import Link
from scopeside.pipeline import Pipeline
from scopeside.publication import to_header
from scopeside.record.settings import RecordSettings
from scopeside.result import Result, invalid
from scopeside.wire import Kind, Message
from scopeside.work.chain import ChainRun

MICRO = 1000  # ns between two frames of the small acquisition
FLASHES = "tests.engine.flashes:Flashes"


def pipeline(tmp_path, *, record=None, chains=1, **flashes):
    record = {"before_s": 3e-6, "after_s": 2e-6, "late_s": 4e-6, **(record or {})}
    tables = raw(
        *[(f"find{k}", {}, {}) for k in range(chains)], ("sum", {"Counts": {}}, {})
    )
    for table in tables["chain"][:chains]:
        table["processor"] = [{"kind": FLASHES, **flashes}]
    tables["record"] = {"mode": "on_event", **record}
    return Pipeline.from_raw(tables, folder=tmp_path)


@pytest.fixture
def fds():
    fds = Journal.allocate()
    yield fds
    for fd in fds:
        os.close(fd)


def parts_of(chain, groups, failed=()):
    run = ChainRun(chain, acquisition(), "cpu")
    return [
        part_of(run, chain.name, "a", number, group, failed=failed)
        for number, group in enumerate(groups, 1)
    ]


def told(it):
    header = it.told["a"].to_header()
    events = [[a / MICRO, b / MICRO, label] for a, b, label in header["events"]]
    return events, header["upto_ns"] / MICRO, header["final"]


GROUPS = [[(0, 3)], [(3, 2), (5, 1)], [(6, 4)]]


def test_events_are_told_with_the_times_of_onset_and_declaration(fds, tmp_path):
    lines = pipeline(tmp_path, at=[5, 8], lag=2)
    it = collector(lines, fds)
    it.start(acquisition().to_dict())
    assert told(it) == ([], -1 / MICRO, False)
    seen = []
    for part in parts_of(lines.chain("find0"), GROUPS):
        it.absorb(part)
        seen.append(told(it)[1])
    assert seen == [2, 5, 9]
    assert told(it)[0] == [
        [3, 5, "flashes.flash 0 at frame 5"],
        [6, 8, "flashes.flash 1 at frame 8"],
    ]
    it.drained("a")
    assert told(it)[2]


def test_frames_that_failed_are_looked_at(fds, tmp_path):
    lines = pipeline(tmp_path, at=[5])
    it = collector(lines, fds)
    it.start(acquisition().to_dict())
    for part in parts_of(lines.chain("find0"), GROUPS, failed={(6, 4)}):
        it.absorb(part)
    assert told(it)[1] == 9


def test_the_slowest_chain_that_may_tell_counts_and_others_do_not(fds, tmp_path):
    lines = pipeline(tmp_path, chains=2)
    it = collector(lines, fds)
    it.start(acquisition().to_dict())
    for name, groups in [("sum", GROUPS), ("find0", GROUPS), ("find1", GROUPS[:1])]:
        for part in parts_of(lines.chain(name), groups):
            it.absorb(part)
    assert told(it)[1] == 2


def test_without_a_processor_that_tells_of_events_all_chains_count(fds, tmp_path):
    lines = pipeline(tmp_path, chains=0)
    it = collector(lines, fds)
    it.start(acquisition().to_dict())
    for part in parts_of(lines.chain("sum"), GROUPS):
        it.absorb(part)
    assert told(it)[:2] == ([], 9)


def test_a_chain_that_was_degraded_before_looks_at_nothing_of_the_next(fds, tmp_path):
    it = collector(pipeline(tmp_path), fds)
    it.blind("find0")
    it.start(acquisition().to_dict())
    ((onset, end, _),) = it.told["a"].to_header()["events"]
    assert onset < 0
    assert end == ENDLESS_NS


def test_a_mark_for_an_acquisition_that_is_over_is_refused(fds, tmp_path):
    it = collector(pipeline(tmp_path), fds)
    it.start(acquisition().to_dict())
    mark = {"acq": "a", "t_ns": 4000, "before_ns": 0, "after_ns": 0, "note": ""}
    assert it.keep(mark)
    it.drained("a")
    assert not it.keep(mark)
    assert not it.keep({**mark, "acq": "b"})


def everything(lines):
    parts = parts_of(lines.chain("find0"), GROUPS)
    mark = {"acq": "a", "t_ns": 4000, "before_ns": 1000, "after_ns": 0, "note": "look"}
    return [
        lambda it: it.start(acquisition().to_dict()),
        *(lambda it, part=part: it.absorb(part) for part in parts[:2]),
        lambda it: it.keep(mark),
        lambda it: it.absorb(parts[2]),
        lambda it: it.close("a", LEDGER),
    ]


@pytest.mark.parametrize("compact", [1 << 30, 1], ids=["whole", "compacted"])
@pytest.mark.parametrize("died_after", range(1, 7))
def test_a_collector_made_again_says_the_same(
    fds, tmp_path, monkeypatch, died_after, compact
):
    monkeypatch.setattr(module, "COMPACT_BYTES", compact)
    lines = pipeline(tmp_path, at=[1, 8], lag=7)
    steps = everything(lines)
    first = collector(lines, fds)
    for step in steps[:died_after]:
        step(first)
    second = collector(lines, fds)
    assert told(second) == told(first)
    for step in steps[died_after:]:
        step(second)
    assert told(second) == (
        [
            [0, 1, "flashes.flash 0 at frame 1"],
            [6, 2, "marked by hand: look"],
            [4, 8, "flashes.flash 1 at frame 8"],  # began longer ago than late_s
        ],
        9,
        True,
    )


def test_results_that_come_before_their_state_count_once(fds, tmp_path):
    lines = pipeline(tmp_path, at=[5])
    it = collector(lines, fds)
    it.start(acquisition().to_dict())
    (part,) = parts_of(lines.chain("find0"), [[(0, 8)]])
    said = Message(Kind.SAID, {**part.header, "held": {}}, part.payload[1:])
    it.hear(said)
    before = told(it)
    it.hear(said)
    rest = {**part.header, "said": [], "stamps": []}
    it.absorb(Message(Kind.PART, rest, part.payload[:1]))
    assert told(it) == before
    assert before[0] == [[5, 5, "flashes.flash 0 at frame 5"]]
    assert before[1] == 7


# -- one acquisition, without a collector -----------------------------------------


def one(tmp_path, **record):
    lines = pipeline(tmp_path, record=record)
    assert lines.record is not None
    return EventsTold("a", lines.record, lines.chains)


def header(*results, first=0, n=10, chain="find0", t_ns=0):
    return {
        "acq": "a",
        "chain": chain,
        "t_ns": t_ns,
        "stamps": [stamps_of(first, n)],
        "said": [["flashes", to_header(result)[0], 0] for result in results],
    }


def event(frame, data=None, **about):
    about = {"first": frame, "used": 1, **about}
    return Result("flash", data or {}, "event", frame=frame, **about)


def events_of(it):
    return [[a, b] for a, b, _ in it.to_header()["events"]]


@pytest.mark.parametrize("key", ["onset_frame", "birth_frame", "at_frame"])
def test_a_key_of_the_event_says_when_it_began(tmp_path, key):
    it = one(tmp_path)
    it.take(header(event(8, {key: 6.7})))
    assert events_of(it) == [[6 * MICRO, 8 * MICRO]]


def test_without_a_key_the_first_frame_of_the_event_counts(tmp_path):
    it = one(tmp_path)
    it.take(header(event(8, first=5)))
    assert events_of(it) == [[5 * MICRO, 8 * MICRO]]


def test_an_onset_longer_ago_than_late_s_is_cut_and_told_once(tmp_path):
    it = one(tmp_path)
    it.take(header(event(8, {"birth_frame": 1}), event(9, {"birth_frame": -3})))
    assert events_of(it) == [[4 * MICRO, 9 * MICRO]]
    (note,) = it.notes
    assert "flashes.flash, told at frame 8, began more than record.late_s" in note


def test_an_onset_at_a_frame_that_was_lost_is_that_of_the_frame_before(tmp_path):
    it = one(tmp_path)
    it.take(header(first=0, n=6))
    it.take(header(event(8, {"birth_frame": 7}), first=8, n=1))
    assert events_of(it) == [[5 * MICRO, 8 * MICRO]]


def test_a_thing_that_is_told_of_again_is_one_event_while_windows_overlap(tmp_path):
    it = one(tmp_path)
    for frame in (1, 5, 8):
        it.take(header(event(frame, {"id": 3}), first=frame, n=1))
    it.take(header(event(20, {"id": 3}), first=20, n=1))
    assert events_of(it) == [[MICRO, 8 * MICRO], [20 * MICRO, 20 * MICRO]]


def test_a_processor_that_tells_at_every_frame_does_not_fill_the_memory(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(events_told, "MAX_EVENTS", 10)
    it = one(tmp_path)
    for frame in range(100):
        it.take(header(event(frame, {"id": frame}), first=frame, n=1))
    found = it.to_header()["events"]
    assert len(found) == 10
    assert found[0] == [0, 90 * MICRO, "flashes.flash 0 at frame 0 and others"]


def test_what_is_invalid_is_no_event(tmp_path):
    it = one(tmp_path)
    it.take(header(invalid("flash", "too dark", frame=3)))
    assert events_of(it) == []


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        ([], [2, 4]),
        (["flashes.event"], [2, 4]),
        (["flashes.flash"], [2, 4]),
        (["flashes.flash:faint"], [2]),
        (["flashes.level"], [9]),
        (["flashes.flash:faint", "flashes.level"], [2, 9]),
    ],
)
def test_only_what_is_asked_for_counts(tmp_path, on, expected):
    it = one(tmp_path, on=on)
    it.take(
        header(
            event(2, {"id": 1, "status": "faint"}),
            event(4, {"id": 2, "status": "bright"}),
            Result("level", 3.0, "scalar", frame=9, first=9),
        )
    )
    assert [b // MICRO for _, b in events_of(it)] == expected


def test_a_chain_that_is_degraded_makes_all_be_kept_from_then_on(tmp_path):
    it = one(tmp_path)
    it.take(header())
    it.blind("find0")
    it.blind("find0")
    it.blind("sum")
    # With late_s and before_s taken off, this is where frames wait to be decided.
    assert events_of(it) == [[(9 - 4) * MICRO, ENDLESS_NS]]
    assert it.upto_ns == 9 * MICRO
    (note,) = it.notes
    assert "'find0' is degraded" in note


def test_an_event_long_before_the_end_of_its_part_has_its_own_time(tmp_path):
    it = one(tmp_path)
    said = header(event(8, {"birth_frame": 6}), event(40), n=5)
    said["stamps"] = [stamps_of(5 * k, 5) for k in range(20)]
    it.take(said)
    assert events_of(it) == [[6 * MICRO, 8 * MICRO], [40 * MICRO, 40 * MICRO]]
    assert not it.notes


def test_times_are_forgotten_when_no_event_can_reach_back_to_them(tmp_path):
    it = one(tmp_path)
    for k in range(100):
        it.take(header(first=10 * k, n=10))
    assert len(it._looked["find0"].batches) <= 2


# -- to the recorder ---------------------------------------------------------------


class Recorder:
    def __init__(self, stack, folder):
        self.context = zmq.Context()
        stack.callback(self.context.destroy, linger=0)
        self.endpoint = f"ipc://{folder}/recorder"
        self.heard = []
        self.open()

    def open(self):
        self.router = Link.listen(self.context, self.endpoint)

    def listen(self):
        self.router.socket.poll(5)
        while (found := self.router.receive_from()) is not None:
            self.heard.append(found[1].header)


@pytest.fixture
def recorder(tmp_path):
    with ExitStack() as stack:
        it = Recorder(stack, tmp_path)
        yield it
        it.router.close()


def test_the_recorder_is_told_all_of_it_whenever_it_changes(tmp_path, recorder):
    it = one(tmp_path)
    link = RecorderLink(recorder.context, recorder.endpoint, "collector#1", {"a": it})
    try:
        link.say(now=True)
        it.take(header(event(8)))
        assert link.wait_ms(10_000) <= 101
        link.say(now=True)
        link.say(now=True)
        assert link.wait_ms(10_000) == 10_000
        it.end()
        link.say(now=True)
        eventually(lambda: len(recorder.heard) >= 3, recorder.listen)
    finally:
        link.end()
    last = {"acq": "a", "upto_ns": 9000, "final": True}
    last["events"] = [[8000, 8000, "flashes.flash at frame 8"]]
    assert [said["final"] for said in recorder.heard] == [False, False, True]
    assert recorder.heard[-1] == last


def test_a_recorder_that_was_restarted_is_told_again(tmp_path, recorder):
    it = one(tmp_path)
    link = RecorderLink(recorder.context, recorder.endpoint, "collector#1", {"a": it})
    try:
        link.say(now=True)
        eventually(lambda: recorder.heard, recorder.listen)
        recorder.router.close()
        recorder.heard.clear()
        recorder.open()
        link.repeat()
        # One that left for the old socket is lost; it is said again.
        eventually(lambda: [link.say(), recorder.heard][1], recorder.listen)
    finally:
        link.end()


def test_all_of_it_is_said_again_though_nothing_is_new(tmp_path, recorder, monkeypatch):
    monkeypatch.setattr(recorder_link, "AGAIN_S", 0.0)
    it = one(tmp_path)
    link = RecorderLink(recorder.context, recorder.endpoint, "collector#1", {"a": it})
    try:
        link.say(now=True)
        eventually(lambda: recorder.heard, recorder.listen)
        recorder.heard.clear()
        link.say(now=True)
        eventually(lambda: recorder.heard, recorder.listen)
    finally:
        link.end()


def test_messages_for_a_recorder_that_is_not_there_are_bounded(tmp_path, recorder):
    it = one(tmp_path)
    nobody = f"ipc://{tmp_path}/nobody"
    link = RecorderLink(recorder.context, nobody, "collector#1", {"a": it})
    try:
        for k in range(100):
            it.take(header(first=k, n=1))
            link.say(now=True)
        assert link.wait_ms(10_000) < 10_000  # the last one is still news
    finally:
        link._link.close()


# -- the pipeline file ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("on", "said"),
    [
        ("flash.event", r"record.on\[0\]: 'flash.event': processor 'flash' is not known"
         "; did you mean 'flashes'"),
        ("flashes", r"record.on\[0\]: found 'flashes'; expected processor.result"),
        ("counts.event", "'counts' tells of nothing while frames come"),
    ],
)  # fmt: skip
def test_events_that_nobody_can_tell_of_are_refused(tmp_path, on, said):
    with pytest.raises(ConfigError, match=said):
        pipeline(tmp_path, record={"on": [on]})


def test_settings_of_events_without_the_mode_are_refused():
    with pytest.raises(ValueError, match="only with mode = 'on_event'"):
        RecordSettings(before_s=3)
