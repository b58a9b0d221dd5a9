"""What the recorder decides: what is written next, copied aside, given up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.recorded import EPOCH, NAME, Desk, batch_of

from scopeside.record.item import Item
from scopeside.wire import Kind


@pytest.fixture
def desk():
    desk = Desk()
    yield desk
    desk.close()


def param(seq):
    return Item(Kind.PARAM, NAME, EPOCH, seq, {"change": {"version": 2}}, 0)


def test_a_disk_that_keeps_up_is_written_to_straight_from_the_slab(desk):
    for seq in range(40):
        desk.hear(batch_of(seq))
        desk.write()
    assert desk.frames_on_disk() == list(range(40))
    assert desk.told("done") == list(range(40))
    assert desk.told("released") == []
    assert desk.spool.used == 0


def test_a_disk_that_is_slow_does_not_hold_up_the_slab(desk):
    for seq in range(20):
        desk.hear(batch_of(seq))
    assert len(desk.told("released")) == 12  # but two begun and six in the slab
    assert desk.told("done") == desk.told("dropped") == []
    desk.write(20)
    assert desk.frames_on_disk() == list(range(20))
    assert desk.told("done") == list(range(20))


def test_what_finds_no_room_is_one_gap_in_its_place(desk):
    n = 80
    for seq in range(n):
        desk.hear(batch_of(seq))
    desk.write(n)
    for seq in range(n, n + 3):
        desk.hear(batch_of(seq))
    desk.write(n)
    gaps = [record for record in desk.disk if record[1]]
    assert len(gaps) == 1
    (first, last), cause, runs = gaps[0]
    assert cause == "disk_slow"
    assert runs == [(first, last)]
    assert desk.told("dropped") == [[k, "disk_slow"] for k in range(first, last + 1)]
    assert desk.disk.index(gaps[0]) == first  # between what came before and after
    assert desk.frames_on_disk() == [*range(first), *range(last + 1, n + 3)]
    assert desk.recorder.losses.total == {"disk_slow": last - first + 1}


def test_nothing_that_the_spool_has_taken_is_discarded(desk):
    for seq in range(300):
        desk.hear(batch_of(seq))
    released = desk.told("released")
    desk.write(400)
    assert set(released) <= set(desk.told("done"))


def test_a_full_disk_gives_the_cause_and_the_order_is_kept(desk):
    for seq in range(3):
        desk.hear(batch_of(seq))
    desk.refuse()
    assert desk.recorder.trouble == "disk_full"
    for seq in range(3, 100):
        desk.recorder.put(batch_of(seq))
        desk.recorder.spill()
    desk.listen()
    assert {cause for _, cause in desk.told("dropped")} == {"disk_full"}
    desk.write(200)
    assert desk.recorder.trouble == ""
    on_disk, lost = desk.frames_on_disk(), desk.frames_in_gaps()
    assert on_disk == sorted(on_disk)
    assert sorted(on_disk + lost) == list(range(100))


def test_a_disk_that_stays_full_is_given_up_with_exact_ranges(desk):
    for seq in range(30):
        desk.hear(batch_of(seq))
    desk.recorder.put(param(30))
    desk.refuse()
    assert desk.recorder.give_up_waiting() == 30
    desk.listen()
    assert desk.told("dropped") == [[k, "disk_full"] for k in range(30)]
    desk.write(40)
    assert [record[1] for record in desk.disk] == ["disk_full", "PARAM"]
    assert desk.frames_in_gaps() == list(range(30))
    assert desk.recorder.queues.idle


def test_a_change_of_parameters_stays_between_its_batches(desk):
    for seq in range(20):
        desk.hear(batch_of(seq) if seq != 10 else param(10))
    desk.write(20)
    assert [record[0][0] for record in desk.disk] == list(range(20))
    assert desk.disk[10][1] == "PARAM"


def test_nothing_is_written_of_an_acquisition_before_its_start(desk):
    desk.recorder.started.clear()
    desk.hear(batch_of(0))
    desk.write()
    assert desk.disk == []
    desk.recorder.started.add(NAME)
    desk.write()
    assert desk.frames_on_disk() == [0]


def test_a_dead_adapter_gets_its_slab_back(desk):
    for seq in range(4):
        desk.hear(batch_of(seq))
    assert not desk.recorder.leave_slab()  # the writer reads from it
    desk.refuse()
    assert desk.recorder.leave_slab()
    desk.write(10)
    assert desk.frames_on_disk() == list(range(4))


def test_answers_go_only_to_the_tee_that_asked(desk):
    desk.hear(batch_of(0))
    desk.recorder.epoch = EPOCH + 1
    desk.write()
    assert desk.frames_on_disk() == [0]
    assert desk.told("done") == []


def test_a_run_that_is_closed_already_is_answered_for_again(desk):
    desk.recorder.started.clear()
    desk.hear(Item(Kind.BOOK, NAME, EPOCH, -1, {}, 0))
    desk.write()
    assert [record[1] for record in desk.disk] == ["BOOK"]
    assert desk.recorder.queues.idle


STEPS = st.lists(
    st.one_of(
        st.integers(1, 30).map(lambda n: ("hear", n)),
        st.integers(1, 30).map(lambda n: ("write", n)),
        st.just(("refuse", 0)),
        st.just(("die", 0)),
        st.just(("param", 0)),
    ),
    max_size=40,
)


@given(steps=STEPS)
def test_whatever_happens_every_frame_is_on_disk_or_in_a_declared_gap(steps):
    desk = Desk()
    try:
        tee, seq = {}, 0
        for step, n in steps:
            if step == "hear":
                for _ in range(n):
                    tee[seq] = batch_of(seq)
                    desk.hear(batch_of(seq))
                    seq += 1
            elif step == "write":
                desk.write(n)
            elif step == "refuse":
                desk.refuse()
            elif step == "param":
                desk.hear(param(seq))
                tee[seq] = param(seq)
                seq += 1
            else:
                desk.listen()
                have = known(desk)
                desk.start()
                again = sorted(set(tee) - have - known(desk))
                last = max(desk.recorder.queues.spooled_seqs(EPOCH), default=-1)
                desk.hand_out()
                desk.recorder.awaited = {one for one in again if one < last}
                for one in again:
                    desk.hear(tee[one])  # the tee sends again what is not settled
        desk.write(2000)
        assert desk.recorder.queues.idle
        seqs = [record[0] for record in desk.disk]
        assert [k for a, b in seqs for k in range(a, b + 1)] == list(range(seq))
        answered = {one for one, _ in desk.told("dropped")} | set(desk.told("done"))
        in_gaps = {
            k
            for (a, b), cause, _ in desk.disk
            if is_gap(cause)
            for k in range(a, b + 1)
        }
        assert in_gaps == {one for one, _ in desk.told("dropped")}
        assert len(answered) <= seq
        assert desk.spool.used == 0
    finally:
        desk.close()


def is_gap(cause):
    return cause not in ("", "PARAM")


def known(desk):
    """What need not come again: on disk, in the spool, or given up."""
    found = {k for (a, b), _, _ in desk.disk for k in range(a, b + 1)}
    found |= set(desk.recorder.queues.spooled_seqs(EPOCH))
    for gap in desk.recorder._notebook.gaps:
        found |= set(range(gap.seqs[0], gap.seqs[1] + 1))
    return found
