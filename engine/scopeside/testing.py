"""A test of the laws of a processor, for those who write one.

>>> check_processor(Sum, frames)  # an AssertionError says which law is broken
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.device.card import Card
from scopeside.device.choose import choose, has_twin
from scopeside.device.trial import feed_on_card
from scopeside.errors import ShapeError
from scopeside.laws_of_change import (
    a_change_is_made_at_its_frame,
    a_change_to_the_same_changes_nothing,
)
from scopeside.packed import AnyBatch
from scopeside.processor import Keyed, Mergeable, Order, Processor
from scopeside.result import Result
from scopeside.scan import Scan
from scopeside.trial import Case, feed
from scopeside.verdict import hold, same

Array = npt.NDArray[Any]
Batches = Sequence[AnyBatch]

MOST_CUTS = 8
"""Commits between two parts are tried at about so many places."""


def check_processor(
    cls: type[Processor],
    frames: Array,
    *,
    scan: tuple[int, int] | None = None,
    params: Mapping[str, Any] | BaseModel | None = None,
    acquisition: Acquisition | None = None,
    changed: Mapping[str, Any] | BaseModel | None = None,
) -> None:
    """Test that a processor keeps the laws of `scopeside.processor`.

    Parameters
    ----------
    cls
        The processor. If its attribute ``devices`` names "gpu" and this machine has
        one, CPU and GPU have to agree too.
    frames : (n, height, width) or (rows, columns, height, width)
        At least 4 frames, such as its quantity is found in.
    scan
        (rows, columns) of the scan; of four-dimensional frames it is known.
    params
        What would stand in the pipeline file; the defaults if None.
    acquisition
        In place of one made up from `frames` and `scan`.
    changed
        Other parameters that it can `change` to in mid-acquisition.

    Raises
    ------
    AssertionError
        If a law is broken; the message says which.
    ShapeError
        If `frames` are no frames, or fewer than 4.
    """
    frames = np.asarray(frames)
    if frames.ndim == 4:
        scan = scan or (frames.shape[0], frames.shape[1])
        frames = frames.reshape(-1, *frames.shape[2:])
    if frames.ndim != 3 or len(frames) < 4:
        raise ShapeError(f"the laws need 4 frames (h, w) or more, not {frames.shape}")
    if acquisition is None:
        acquisition = _acquisition(frames, scan)
    acquisition = replace(acquisition, encoding="frames")
    if not isinstance(params, BaseModel):
        params = cls.Params.model_validate(params or {})
    if changed is not None and not isinstance(changed, BaseModel):
        changed = cls.Params.model_validate(changed)
    case = Case(cls, acquisition, params, frames, changed=changed)
    for law in LAWS:
        law(case)
    if (events := case.as_events()) is not None:
        events_and_frames_agree(case)
        _test_again(events, "events")
    if (packed := case.as_packed()) is not None:
        _agree(_run(case, case.cut(2))[-1], _run(packed, packed.cut(2))[-1], "packed")
        _test_again(packed, "packed frames")


def frames_are_left_as_they_were(case: Case) -> None:
    """Test that those after it see what the detector sent."""
    batch = case.batch(0, len(case.frames), locked=False)
    contents = batch.pixels if isinstance(batch, Batch) else batch.words
    kept = contents.copy()
    feed(case.new(), batch)
    hold(np.array_equal(contents, kept, equal_nan=kept.dtype.kind == "f"), "written")


def batch_size_does_not_matter(case: Case) -> None:
    """Test that frames give the same bits, however they are cut."""
    single = _run(case, case.cut(1))
    for size in (2, 3, len(case.frames)):
        _compare(case, single, _run(case, case.cut(size)), "cut", f"of {size}")


def empty_batches_are_survived(case: Case) -> None:
    """Test that a batch without frames changes nothing."""
    nothing = case.batch(0, 0)
    unfed = case.new()
    feed(unfed, nothing)
    for result in unfed.results():
        hold(not (result.valid and result.used), "empty", result.name)
    batches = case.cut(2)
    padded = [item for batch in batches for item in (nothing, batch)]
    _compare(case, _run(case, batches), _run(case, padded), "empty")


def gaps_are_survived(case: Case) -> None:
    """Test that frames may be missing, and are not counted as seen."""
    n = len(case.frames)
    edges = ((0, 1), (2, n - 1))
    coarse = [case.batch(first, stop) for first, stop in edges]
    fine = [case.batch(i, i + 1) for first, stop in edges for i in range(first, stop)]
    found = _run(case, fine)
    _compare(case, found, _run(case, coarse), "gap")
    for result in (result for results in found for result in results):
        hold(result.used <= n - 2, "gap", f"{result.name} stands on {result.used}")


def asking_changes_nothing(case: Case) -> None:
    """Test that results are repeatable, and those given out stay as they are."""
    quiet, asked = case.new(), case.new()
    given: list[tuple[list[Result], list[Result]]] = []
    for batch in case.cut(2):
        feed(quiet, batch)
        feed(asked, batch)
        results = list(asked.results())
        given.append((results, copy.deepcopy(results)))
        same(results, list(asked.results()), "asking")
    same(list(quiet.results()), list(asked.results()), "asking")
    for results, kept in given:
        same(kept, results, "asking", "given out earlier")


def a_snapshot_is_invisible(case: Case) -> None:
    """Test that going on from a snapshot is the same as going on."""
    whole = _run(case, case.cut(2))
    moved = case.new()
    found = []
    for batch in case.cut(2):
        state = moved.snapshot()
        hold(isinstance(state, bytes), "snapshot", f"it is {type(state).__name__}")
        moved = case.new()
        moved.restore(state)
        feed(moved, batch)
        found.append(list(moved.results()))
    for expected, results in zip(whole, found, strict=True):
        same(expected, results, "snapshot")
    if case.cls.order is not Order.ORDERED:  # those speak of their last batch
        kept = case.new()
        kept.restore(moved.snapshot())
        same(found[-1], list(kept.results()), "snapshot", "asked right after it")


def halves_merge_to_the_whole(case: Case) -> None:
    """Test that it does not matter who saw a frame, and when (only for ANY)."""
    if case.cls.order is not Order.ANY:
        return
    batches = case.cut(1)
    middle = len(batches) // 2
    whole = _run(case, batches)[-1]
    for one, other in (
        (batches[:middle], batches[middle:]),
        (batches[middle:], batches[:middle]),
        (batches[::2], batches[1::2]),
        (batches, []),
        ([], batches),
    ):
        same(whole, _merged(case, one, other), "merge")
    same(whole, _run(case, batches[::-1])[-1], "merge", "frames in reverse")


def parts_in_order_make_the_whole(case: Case) -> None:
    """Test that it does not matter where commits lie (only for KEYED).

    Whatever is merged is worked out from what was learnt before; so the parts come in
    order, and each goes on from the context of the last, the worker's own or, as when
    it was restarted, the collector's.
    """
    if case.cls.order is not Order.KEYED:
        return
    n = len(case.frames)
    whole = _run(case, case.cut(1))[-1]
    places = sorted({k * n // MOST_CUTS for k in range(MOST_CUTS)} - {0} | {1, n - 1})
    for cuts in ([0], *([k] for k in places), places, range(1, n)):
        for restarted in (False, True):
            detail = f"commits at {[*cuts]}{', restarted' * restarted}"
            found = _committed(case, [0, *cuts, n], restarted=restarted)
            same(whole, found, "parts", detail)


def devices_agree(case: Case, card: Card | None = None) -> None:
    """Test that integers agree exactly, floats to 1 in 1,000,000 (with a GPU).

    The first half of the batches takes the way over `card`, by default the machine's
    GPU, the second as after its failure that of the CPU.
    """
    card = card or choose("auto", [case.cls]).card
    if card is None or not has_twin(case.cls):
        return
    batches = case.cut(2)
    expected = _run(case, batches)[-1]
    for on_card in (len(batches), len(batches) // 2):
        processor = case.cls(case.acquisition, case.params, "gpu")
        feed_on_card(processor, batches[:on_card], card)
        for batch in batches[on_card:]:
            feed(processor, batch)
        _agree(expected, list(processor.results()), "device", 1e-6)


def events_and_frames_agree(case: Case) -> None:
    """Test that integers agree exactly, floats to 1 in 100,000."""
    sparse = case.frames.copy()
    sparse[1::2] = 0  # a frame without events is a frame
    for frames in (case, replace(case, frames=sparse)):
        events = frames.as_events()
        assert events is not None
        expected, found = _run(frames, frames.cut(1)), _run(events, events.cut(1))
        last = 0 if case.cls.order is Order.ORDERED else -1
        for one, other in zip(expected[last:], found[last:], strict=True):
            _agree(one, other, "events")


LAWS: tuple[Callable[[Case], None], ...] = (
    frames_are_left_as_they_were,
    asking_changes_nothing,  # the laws below ask after each batch
    batch_size_does_not_matter,
    empty_batches_are_survived,
    gaps_are_survived,
    a_snapshot_is_invisible,
    halves_merge_to_the_whole,
    parts_in_order_make_the_whole,
    a_change_to_the_same_changes_nothing,
    a_change_is_made_at_its_frame,
    devices_agree,
)


def _test_again(case: Case, what: str) -> None:
    for law in LAWS:
        try:
            law(case)
        except AssertionError as error:
            raise AssertionError(f"{error}, with {what}") from error


def _agree(
    expected: Sequence[Result], found: Sequence[Result], law: str, rtol: float = 1e-5
) -> None:
    """Test that integers agree exactly, floats nearly."""
    hold(len(expected) == len(found), law)
    for one, other in zip(expected, found, strict=True):
        hold(one.name == other.name and one.valid == other.valid, law, one.name)
        hold(one.used == other.used, law, f"{one.name} stands on {other.used}")
        if one.valid and not isinstance(one.data, Mapping):
            close = np.allclose(one.data, other.data, rtol=rtol, equal_nan=True)
            whole = np.asarray(one.data).dtype.kind in "biu"
            same = np.array_equal(one.data, other.data) if whole else close
            hold(bool(same), law, one.name)


def _acquisition(frames: Array, scan: tuple[int, int] | None) -> Acquisition:
    path = None if scan is None else Scan(scan)
    return Acquisition(
        id="laws",
        frame_shape=(frames.shape[1], frames.shape[2]),
        dtype=frames.dtype,
        kind="movie" if path is None else "scan4d",
        frames=len(frames) if path is None else path.frames,
        scan=path,
    )


def _run(case: Case, batches: Iterable[AnyBatch]) -> list[list[Result]]:
    """Return the results after each batch that has frames."""
    processor = case.new()
    found = []
    for batch in batches:
        feed(processor, batch)
        if len(batch):
            found.append(list(processor.results()))
    return found


def _merged(case: Case, one: Batches, other: Batches) -> list[Result]:
    """Return what two workers find, put together as the collector does it."""
    whole = cast("Mergeable", case.new())
    for share in (one, other):
        worker = case.new()
        for batch in share:
            feed(worker, batch)
        sent = cast("Mergeable", case.new())
        sent.restore(worker.snapshot())
        whole.merge(sent)
    return list(whole.results())


def _committed(case: Case, edges: Sequence[int], *, restarted: bool) -> list[Result]:
    """Return what comes of parts that end at `edges`, merged in order."""
    whole = cast("Keyed", case.new())
    context = whole.context()
    for first, stop in itertools.pairwise(edges):
        worker = cast("Keyed", case.new())
        worker.resume(context)
        feed(worker, case.batch(first, stop))
        sent = cast("Keyed", case.new())
        sent.restore(worker.snapshot())
        whole.merge(sent)
        context = whole.context() if restarted else worker.context()
        hold(isinstance(context, bytes), "parts", f"{type(context).__name__}")
    return list(whole.results())


def _compare(
    case: Case,
    fine: list[list[Result]],
    coarse: list[list[Result]],
    law: str,
    detail: str = "",
) -> None:
    """Compare two cuts: of ORDERED what each frame has brought, else the end."""
    if case.cls.order is not Order.ORDERED:
        same(fine[-1], coarse[-1], law, detail)
        return
    known = _by_frame(fine)
    found = _by_frame(coarse)
    for key, results in found.items():
        hold(key in known, law, f"{key[0]} at frame {key[1]} is new")
        same(known[key], results, law, detail)
    for key, results in known.items():
        lost = key not in found and any(r.valid and r.kind == "event" for r in results)
        hold(not lost, law, f"the event {key[0]} at frame {key[1]} is lost")


def _by_frame(found: list[list[Result]]) -> dict[tuple[str, int], list[Result]]:
    """Return the last that was said of each name and frame."""
    keyed: dict[tuple[str, int], list[Result]] = {}
    for results in found:
        now: dict[tuple[str, int], list[Result]] = {}
        for result in results:
            now.setdefault((result.name, result.frame), []).append(result)
        keyed |= now
    return keyed
