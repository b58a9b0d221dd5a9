"""The ring of a recorder of events: what it keeps, cuts, lets go and gives up."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.recorded import EPOCH, NAME, RING, Desk, batch_of
from tests.engine.small import acquisition, event_batch, raw

from scopeside import preflight
from scopeside.batch import Batch
from scopeside.edge import Ticket
from scopeside.ingest.recording import RecordEdge, Recording
from scopeside.ledger import Account
from scopeside.packed import pack_frames
from scopeside.pipeline import Pipeline
from scopeside.record.cut import cut
from scopeside.record.gate import Gate
from scopeside.record.ring import holds_words, ring_warning
from scopeside.record.settings import RecordSettings
from scopeside.runs.message import batch_of as batch_in
from scopeside.runs.message import message_of

MICRO = 1000  # ns between two frames of the desk, whose first is at 1 ns
SETTINGS = RecordSettings(mode="on_event", before_s=3e-6, after_s=2e-6, late_s=4e-6)


def at(frame):
    return frame * MICRO + 1


def tell(gate, *frames, upto=-1, final=False):
    """The collector has looked at frames up to `upto`, and knows of those events."""
    events = [[at(k), at(k), f"event {k}"] for k in frames]
    gate.hear({"acq": NAME, "events": events, "upto_ns": at(upto), "final": final})


@pytest.fixture
def desk():
    desk = Desk(gate=Gate(SETTINGS))
    yield desk
    desk.close()


def test_what_surrounds_an_event_is_written_and_all_else_is_let_go(desk):
    for seq in range(10):
        desk.hear(batch_of(seq, frames=4))
    desk.write(100)
    assert desk.disk == []
    assert sorted(desk.told("released")) == list(range(10))
    tell(desk.gate, 18, upto=39)
    desk.write(100)
    assert desk.frames_on_disk() == [15, 16, 17, 18, 19, 20]
    assert desk.told("cut") == [[3, 1, "no_event"], [5, 1, "no_event"]]
    assert desk.told("done") == [4]
    assert desk.told("dropped") == [[k, "no_event"] for k in (0, 1, 2, 6, 7)]
    assert desk.spool.used > 0  # of frames 32 to 39 an event may still be told
    tell(desk.gate, final=True)
    desk.write(100)
    assert desk.spool.used == 0
    assert desk.recorder.losses.of(NAME) == {"no_event": 34}
    assert desk.gate.windows(NAME) == [[at(15), at(20), ["event 18"]]]
    assert desk.recorder.losses.total == {}


def test_a_ring_that_is_full_gives_up_the_oldest_and_keeps_the_newest(desk):
    n = 3 * RING // (64 * 64)
    for seq in range(n):
        desk.hear(batch_of(seq))
    assert desk.recorder.ring_bytes_per_s == pytest.approx(64 * 64 * 1e6, rel=0.2)
    tell(desk.gate, n - 3, final=True)
    desk.write(1000)
    assert desk.frames_on_disk() == list(range(n - 6, n))
    assert desk.recorder.ring_bytes_per_s == 0
    (gap,) = [record for record in desk.disk if record[1]]
    (first, last), cause, runs = gap
    assert (first, cause, runs) == (0, "ring_full", [(0, last)])
    held = n - 1 - last
    assert held > 0.5 * RING / (64 * 64)
    assert desk.recorder.losses.total == {"ring_full": last + 1}
    assert desk.recorder.losses.of(NAME) == {
        "ring_full": last + 1,
        "no_event": held - 6,
    }


def test_a_full_ring_that_is_read_waits_for_the_writer_and_loses_nothing(desk):
    n = 2 * RING // (64 * 64)
    for seq in range(n):
        desk.hear(batch_of(seq))
    given_up = desk.recorder.losses.total["ring_full"]
    tell(desk.gate, *range(n), upto=n)
    desk.hand_out()  # the writer has begun with the oldest
    for seq in range(n, n + 5):
        desk.hear(batch_of(seq))
    assert desk.recorder.losses.total == {"ring_full": given_up}
    desk.write(1000)
    tell(desk.gate, n + 4, final=True)
    desk.write(1000)
    assert desk.frames_on_disk() == list(range(given_up, n + 5))


def test_nothing_of_an_acquisition_is_decided_before_the_collector_speaks(desk):
    desk.hear(batch_of(0))
    desk.write(10)
    assert desk.disk == []
    desk.gate.hear({"acq": "b", "events": [], "upto_ns": at(100), "final": True})
    desk.write(10)
    assert desk.told("dropped") == []


def test_frames_without_a_time_are_told_of_once():
    gate = Gate(SETTINGS)
    batch = Batch(np.zeros((2, 2, 3), np.uint8), np.arange(2), np.zeros(2, np.int64))
    message = message_of(NAME, batch, seq=1)
    assert gate.kept(NAME, message) == message
    (note,) = gate.news()
    assert "frames without a time stamp" in note
    assert gate.news() == []


# -- a recorder that dies ----------------------------------------------------------


class Tee:
    """The tee's account of a recorder that dies, as `scopeside.ingest` keeps it."""

    def __init__(self):
        self.account = Account()
        self.edge = RecordEdge()
        self.edge.join(b"recorder#1")
        self.recording = Recording(
            self.edge, EPOCH, lambda _: self.account, lambda _: None, []
        )
        self.frames = {}
        self.sent = 0

    def offer(self, seq, frames):
        item = batch_of(seq, frames)
        self.frames[seq] = frames
        self.account.announced += frames
        self.edge.offer(Ticket(seq, NAME, 0, frames, item.runs, [b""], users=1))

    def send(self, desk):
        for _, ticket in list(self.edge.assign()):
            desk.hear(batch_of(ticket.seq, self.frames[ticket.seq]))

    def listen(self, desk):
        for said in desk.answers[self.sent :]:
            self.recording.acknowledged(said)
        self.sent = len(desk.answers)

    def restart(self, desk):
        """The recorder dies with what it had not said; another takes its place."""
        desk.answers = desk.answers[: self.sent]
        desk.gate = Gate(SETTINGS)
        desk.start()
        self.edge.join(b"recorder#2")
        on_disk = [(seqs[1], len(frames(runs))) for seqs, cause, runs in desk.disk
                   if not cause]  # fmt: skip
        gaps = [[*seqs, cause] for seqs, cause, _ in desk.disk if cause]
        gaps += [[*gap.seqs, gap.cause] for gap in desk.recorder._notebook.gaps]
        upto = max((seqs[1] for seqs, _, _ in desk.disk), default=-1)
        again = self.recording.joined(
            {
                "upto": {NAME: upto} if upto >= 0 else {},
                "spooled": desk.recorder.queues.spooled_seqs(EPOCH),
                "dropped": gaps,
                "kept": {NAME: [list(one) for one in on_disk[-64:]]},
            }
        )
        desk.recorder.awaited = set(again)


def frames(runs):
    return [k for a, b in runs for k in range(a, b + 1)]


STEPS = st.lists(
    st.one_of(
        st.integers(1, 12).map(lambda n: ("offer", n)),
        st.integers(1, 20).map(lambda n: ("write", n)),
        st.integers(0, 12).map(lambda n: ("look", n)),
        st.just(("listen", 0)),
        st.just(("die", 0)),
    ),
    min_size=8,
    max_size=50,
)


@given(
    steps=STEPS,
    events=st.lists(st.integers(0, 300), max_size=8),
    size=st.integers(1, 5),
)
def test_the_account_closes_and_tells_the_truth_whenever_a_recorder_dies(
    steps, events, size
):
    """Batches of `size` frames; events are told when their frame is looked at."""
    desk, tee = Desk(gate=Gate(SETTINGS)), Tee()
    try:
        seq, looked = 0, -1
        for step, n in [*steps, ("look", 1 << 30)]:
            if step == "offer":
                for _ in range(n):
                    tee.offer(seq, size)
                    seq += 1
            elif step == "write":
                desk.write(n)
            elif step == "look":
                looked = min(size * seq - 1, looked + size * n)
            elif step == "listen":
                tee.listen(desk)
            else:
                tee.restart(desk)
            known = [k for k in events if k <= looked]
            tell(desk.gate, *known, upto=looked, final=n == 1 << 30)
            tee.send(desk)
        for _ in range(1000):
            desk.write(100)
            tee.listen(desk)
            tee.send(desk)
            if tee.account.closed and desk.recorder.queues.idle:
                break
        n = size * seq
        wanted = {k for e in events if e < n for k in range(e - 3, e + 3) if 0 <= k < n}
        given_up = {
            k for _, cause, runs in desk.disk if cause for k in frames(runs)
        }  # fmt: skip
        found = desk.frames_on_disk()
        assert sorted(set(found)) == found
        assert set(found) == wanted - given_up
        assert tee.account.closed
        assert tee.account.failed == {}
        assert tee.account.processed == len(found)
        lost = Counter(no_event=n - len(found) - len(given_up), ring_full=len(given_up))
        assert +tee.account.dropped == +lost
    finally:
        desk.close()


# -- cutting -----------------------------------------------------------------------

KEPT = st.lists(st.booleans(), min_size=1, max_size=9).filter(any)


def dense(batch):
    return batch.pixels if isinstance(batch, Batch) else batch.dense().pixels


def frames_batch(n):
    pixels = np.arange(n * 6, dtype=np.uint16).reshape(n, 2, 3)
    return Batch(pixels, np.arange(5, 5 + n), np.arange(n) * 7, 3)


def packed_batch(n):
    rng = np.random.default_rng(n)
    pixels = rng.integers(0, 9, (n, 16, 16)).astype(np.uint16)
    return pack_frames(pixels, np.arange(5, 5 + n), np.arange(n) * 7)


@pytest.mark.parametrize(
    "make", [frames_batch, packed_batch, lambda n: event_batch(1, n)]
)
@given(kept=KEPT)
def test_a_batch_that_is_cut_holds_the_frames_that_are_kept(make, kept):
    whole, mask = make(len(kept)), np.array(kept)
    message = cut(message_of(NAME, whole, seq=4, change=2), mask)
    assert (message.header["seq"], message.header["change"]) == (4, 2)
    assert message.n == message.header["n"] == mask.sum()
    found = batch_in(message.header, message.parts)
    np.testing.assert_array_equal(found.index, whole.index[mask])
    np.testing.assert_array_equal(found.timestamp_ns, whole.timestamp_ns[mask])
    np.testing.assert_array_equal(dense(found), dense(whole)[mask])
    assert (found.epoch, found.frame_shape if hasattr(found, "words") else None) == (
        whole.epoch,
        whole.frame_shape if hasattr(whole, "words") else None,
    )


# -- what the ring holds -------------------------------------------------------------


def test_a_ring_that_is_too_small_is_said_with_what_it_holds():
    settings = RecordSettings(mode="on_event", before_s=10, late_s=5, spool_mib=100)
    assert holds_words(settings, 6e6) == ""
    assert holds_words(settings, 0) == ""
    said = holds_words(settings, (100 << 20) / 7.5)
    assert "record.spool_mib = 100 holds 7.5 s of frames" in said
    assert "before_s + late_s are 15 s" in said
    assert "it keeps 2.5 s" in said
    assert "200 MiB would hold it" in said


@pytest.mark.parametrize(
    ("calibration", "more", "warned"),
    [
        ({"frame_time_s": 1e-9}, {}, True),
        ({"frame_time_s": 1.0}, {}, False),
        ({"frame_time_s": 0.0}, {}, False),
        ({}, {}, False),
        ({"frame_time_s": 1e-9}, {"encoding": "events"}, False),
    ],
)
def test_where_the_rate_is_known_it_is_said_in_advance(calibration, more, warned):
    settings = RecordSettings(mode="on_event", spool_mib=16)
    about = acquisition(calibration=calibration, **more)
    assert bool(ring_warning(settings, about)) is warned
    assert ring_warning(RecordSettings(spool_mib=16), about) == ""


def warnings(tmp_path, steps):
    tables = {**raw(("a", steps, {})), "record": {"mode": "on_event"}}
    return preflight.warnings(Pipeline.from_raw(tables, folder=tmp_path))


def test_check_says_that_nobody_tells_of_events(tmp_path):
    (said,) = warnings(tmp_path, {"Counts": {}})
    assert "no processor of this pipeline tells of events" in said
    assert warnings(tmp_path, {"Trail": {}}) == []
