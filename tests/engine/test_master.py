"""Parts come in any order, come again, and make the same whole."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.parts import part_of, parts_of, shown
from tests.engine.small import acquisition, pipeline

from scopeside.collect.master import Master
from scopeside.errors import EngineError
from scopeside.wire import decode_own
from scopeside.work.chain import ChainRun

ACQUISITION = acquisition(frames=12)
FREE = pipeline(("free", {"Counts": {}, "Double": {}}, {})).chain("free")
MIXED = pipeline(("mixed", {"Counts": {}, "Trail": {}}, {})).chain("mixed")
KEYED = pipeline(("keyed", {"Counts": {}, "Excess": {}}, {})).chain("keyed")
GROUPS = [[(0, 2), (2, 1)], [(3, 3)], [(6, 1), (7, 2)], [(9, 2), (11, 1)]]
FAILED = {(3, 3), (7, 2)}


def master_of(chain, parts):
    master = Master(chain, ACQUISITION)
    for part in parts:
        master.absorb(part.header, part.payload)
    return master


@settings(deadline=None, max_examples=24)
@given(st.permutations(parts_of(FREE, ACQUISITION, GROUPS)))
def test_parts_in_any_order_make_the_same_whole(parts):
    whole = parts_of(FREE, ACQUISITION, [[(0, 12)]])
    found, expected = master_of(FREE, parts), master_of(FREE, whole)
    assert shown(found)[:2] == shown(expected)[:2]


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 3), max_size=10))
def test_a_part_that_comes_again_is_left_out(order):
    parts = parts_of(FREE, ACQUISITION, GROUPS, FAILED)
    master = Master(FREE, ACQUISITION)
    seen = set()
    for number in order:
        part = parts[number]
        assert master.absorb(part.header, part.payload) == (number not in seen)
        seen.add(number)
    once = master_of(FREE, [parts[number] for number in sorted(seen)])
    assert shown(master)[:2] == shown(once)[:2]


def test_a_part_of_which_half_is_here_is_an_error():
    parts = parts_of(FREE, ACQUISITION, [[(0, 3)], [(3, 2), (2, 1)]])
    master = master_of(FREE, parts[:1])
    before = shown(master)
    with pytest.raises(EngineError, match="'free' overlaps what is merged"):
        master.absorb(parts[1].header, parts[1].payload)
    assert shown(master) == before


def test_failed_frames_are_counted_by_cause_and_not_merged():
    master = master_of(FREE, parts_of(FREE, ACQUISITION, GROUPS, FAILED))
    assert master.account() == {
        "merged": [[0, 2], [6, 6], [9, 11]],
        "failed": {"ValueError": [[3, 5], [7, 8]]},
    }
    assert dict(master.merged_results())["counts"].used == 7


def test_keyed_parts_in_order_make_the_whole():
    whole = parts_of(KEYED, ACQUISITION, [[(0, 12)]])
    found = master_of(KEYED, parts_of(KEYED, ACQUISITION, GROUPS))
    assert shown(found)[:3] == shown(master_of(KEYED, whole))[:3]


@pytest.mark.parametrize("at", range(5))
def test_a_new_worker_goes_on_from_the_context_of_the_parts(at):
    parts = parts_of(KEYED, ACQUISITION, GROUPS)
    master = master_of(KEYED, parts[:at])
    run = ChainRun(KEYED, ACQUISITION, "cpu", master.state_of_ordered())
    for number, group in enumerate(GROUPS[at:], at + 1):
        part = part_of(run, "keyed", "a", number, group)
        assert master.absorb(part.header, part.payload)
    assert shown(master)[:3] == shown(master_of(KEYED, parts))[:3]


def test_a_keyed_chain_that_refuses_an_acquisition_has_no_context():
    master = Master(KEYED, ACQUISITION)
    master._processors.clear()
    assert master.state_of_ordered() == {}


def test_the_results_of_an_ordered_step_are_fresh_once_and_kept():
    master = master_of(MIXED, parts_of(MIXED, ACQUISITION, GROUPS[:2]))
    assert [result.frame for _, result in master.fresh] == [0, 1, 2, 3, 4, 5]
    assert {name: r.frame for name, r in master.results()}["trail"] == 5


@pytest.mark.parametrize("chain", [FREE, MIXED, KEYED], ids=["free", "mixed", "keyed"])
@pytest.mark.parametrize("at", range(5))
def test_a_record_is_the_master_in_every_respect(chain, at):
    parts = parts_of(chain, ACQUISITION, GROUPS, FAILED)
    master = master_of(chain, parts[:at])
    again = Master(chain, ACQUISITION)
    again.from_record(decode_own(master.to_record()))
    assert shown(again) == shown(master)
    assert not again.fresh
    for part in parts[at:]:
        again.absorb(part.header, part.payload)
    assert shown(again) == shown(master_of(chain, parts))
