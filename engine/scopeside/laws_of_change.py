"""Laws of a processor that takes new parameters in the middle of an acquisition."""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel

from scopeside.processor import Adjustable, Keyed, Mergeable, Order, Processor
from scopeside.result import Result
from scopeside.trial import Case, feed
from scopeside.verdict import hold, same


def a_change_to_the_same_changes_nothing(case: Case) -> None:
    """Test that parameters as they are already may be given again."""
    if not isinstance(case.new(), Adjustable):
        hold(case.changed is None, "change", "it has no method change")
        return
    n = len(case.frames)
    plain = case.new()
    for first, stop in ((0, n // 2), (n // 2, n)):
        feed(plain, case.batch(first, stop))
    found = _changed(case, n // 2, case.params)
    same(list(plain.results()), list(found.results()), "change", "to the same")


def a_change_is_made_at_its_frame(case: Case) -> None:
    """Test that a change is kept, however the work before and after it is shared."""
    if case.changed is None:
        return
    n = len(case.frames)
    for at in (0, 1, n // 2, n - 1):
        whole = list(_changed(case, at, case.changed).results())
        where = f"at frame {at}"
        kept = _changed(case, at, case.changed, moved=True)
        same(whole, list(kept.results()), "change", f"{where}, snapshot after it")
        if case.cls.order is Order.ANY:
            for late in (False, True):
                found = _merged(case, at, case.changed, late=late)
                same(whole, found, "change", f"{where}, merged{', late' * late}")
        elif case.cls.order is Order.KEYED:
            found = _merged_in_order(case, at, case.changed)
            same(whole, found, "change", f"{where}, merged")


def _changed(
    case: Case, at: int, params: BaseModel, *, moved: bool = False
) -> Processor:
    """Return a processor that has changed at a frame and seen all.

    `moved`: another one goes on from a snapshot that was taken right after the change.
    """
    processor = case.new()
    feed(processor, case.batch(0, at))
    cast("Adjustable", processor).change(params)
    if moved:
        state = processor.snapshot()
        processor = case.new(params)
        processor.restore(state)
    feed(processor, case.batch(at, len(case.frames)))
    return processor


def _part(case: Case, worker: Processor, params: BaseModel) -> Mergeable:
    """Return what a worker has seen, as it gets to the collector."""
    part = cast("Mergeable", case.new(params))
    part.restore(worker.snapshot())
    return part


def _merged(case: Case, at: int, params: BaseModel, *, late: bool) -> list[Result]:
    """Return what two workers have seen; `late`: the frames before come last."""
    before, after = case.new(), case.new(params)
    feed(before, case.batch(0, at))
    feed(after, case.batch(at, len(case.frames)))
    whole = cast("Mergeable", case.new())
    if not late:
        whole.merge(_part(case, before, case.params))
    cast("Adjustable", whole).change(params)
    whole.merge(_part(case, after, params))
    if late:
        whole.merge(_part(case, before, case.params))
    return list(whole.results())


def _merged_in_order(case: Case, at: int, params: BaseModel) -> list[Result]:
    """Return what one worker has seen that commits before the change and after it."""
    before, turning = cast("Keyed", case.new()), cast("Keyed", case.new())
    feed(before, case.batch(0, at))
    turning.resume(before.context())
    cast("Adjustable", turning).change(params)
    after = cast("Keyed", case.new(params))
    after.resume(turning.context())
    feed(after, case.batch(at, len(case.frames)))
    whole = cast("Keyed", case.new())
    whole.merge(cast("Keyed", _part(case, before, case.params)))
    cast("Adjustable", whole).change(params)
    whole.merge(cast("Keyed", _part(case, after, params)))
    return list(whole.results())
