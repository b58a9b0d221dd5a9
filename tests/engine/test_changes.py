"""Changes of parameters: each batch has the ones of its number, for good."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.small import pipeline

from scopeside.changes import (
    Change,
    History,
    held_from_dict,
    held_in,
    held_to_dict,
    stamped,
    step_with,
    version_of,
)
from scopeside.errors import ConfigError
from scopeside.result import Result

CHAIN = pipeline(("c", {"Counts": {"gain": 2}}, {})).chain("c")


def change(number, step="counts", version=None, **more):
    version = number + 1 if version is None else version
    return Change("c", step, version, {"gain": 3}, number, **more)


def test_a_batch_has_the_last_change_before_it():
    history = History()
    for number in (1, 2, 4):
        history.add(change(number), oldest=0)
    found = [version_of(history.at(n), "counts") for n in range(6)]
    assert found == [1, 2, 3, 3, 5, 5]


@given(
    st.lists(st.sampled_from("ab"), min_size=1, max_size=12),
    st.lists(st.integers(0, 12), min_size=12, max_size=12),
)
def test_what_a_batch_under_way_needs_is_kept(steps, lags):
    whole, pruned, oldest = History(), History(), 0
    for number, (step, lag) in enumerate(zip(steps, lags, strict=False), 1):
        oldest = max(oldest, number - 1 - lag)
        whole.add(change(number, step), 0)
        pruned.add(change(number, step), oldest)
        for needed in range(oldest, number + 1):
            assert pruned.at(needed) == whole.at(needed)


def test_what_nobody_needs_is_dropped():
    history = History()
    for number in range(1, 1000):
        history.add(change(number), oldest=number - 1)
    assert len(list(history)) == 2


def test_a_change_travels_as_plain_values():
    held = {"counts": change(3, acquisition="a", frame=17)}
    assert held_from_dict(held_to_dict(held)) == held


def test_of_several_changes_the_last_of_each_step_holds():
    found = held_in("c", [change(1), change(2, "b"), change(3)])
    assert {name: one.number for name, one in found.items()} == {"counts": 3, "b": 2}
    assert held_in("d", [change(1)]) == {}


def test_a_step_has_the_parameters_that_hold():
    assert step_with(CHAIN, "counts", {}).params.gain == 2
    assert step_with(CHAIN, "counts", {"counts": change(1)}).params.gain == 3


def test_parameters_that_cannot_be_are_refused_as_in_the_file():
    with pytest.raises(ConfigError, match=r"c\.counts\.gain: found 77; expected 10"):
        CHAIN.steps[0].changed({"gain": 77}, where="c.counts")


def test_paths_are_taken_from_the_folder_of_the_pipeline_file():
    assert CHAIN.steps[0].folder == Path.cwd()


@pytest.mark.parametrize(
    ("acquisition", "since"), [("a", 17), ("b", 0)], ids=["its own", "a later one"]
)
def test_a_result_says_version_and_first_frame(acquisition, since):
    held = {"counts": change(3, acquisition="a", frame=17)}
    found = stamped(Result("x", 1, meta={"k": 2}), held, "counts", acquisition)
    assert found.meta == {"k": 2, "params": 4, "params_from": since}
    plain = stamped(Result("x", 1), {}, "counts", acquisition)
    assert plain.meta == {"params": 1, "params_from": 0}
