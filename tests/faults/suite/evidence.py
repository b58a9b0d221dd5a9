"""Reads what a run has left on purpose: its report, its results, its recording."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tests.faults.suite.judge import (
    Mask,
    Verdict,
    judge_end,
    judge_ledger,
    judge_recording,
    mask_of,
)
from tests.faults.suite.material import Material
from tests.faults.suite.schedule import Plan

from scopeside.errors import RunError
from scopeside.runs import manifest
from scopeside.runs.recover import recover
from scopeside.runs.run import Run, open_run
from scopeside.runs.verify import damages

Array = npt.NDArray[Any]
CLEAR_REFUSALS = ("slab", "spool", "shared memory")


def judge(
    plan: Plan, material: Material, folder: Path, runs: Path, code: int
) -> Verdict:
    """Judge a run that has ended by what lies in its folder.

    Parameters
    ----------
    runs
        The folder of its recorded runs.
    """
    verdict = Verdict()
    said = (folder / "said").read_text()
    found = sorted(one for one in runs.iterdir()) if runs.is_dir() else []
    report = folder / "report.json"
    if report.exists():
        _judge_report(json.loads(report.read_text()), material, folder, found, verdict)
    elif plan.fault.what == "kill supervisor":
        _judge_restored(material, found, verdict)
    elif plan.fault.what == "no memory":
        _judge_refusal(said, code, found, verdict)
        return verdict
    else:
        verdict.closed = False
        verdict.wrong.append(f"no report, exit code {code}: {said[-2000:]}")
        return verdict
    if plan.fault.what != "kill supervisor":
        if plan.fault.detail == "journal":
            # A collector that cannot keep its journal ends by an error, and says so.
            said = said.replace("Traceback", "")
        lost = verdict.declared
        judge_end(code, said, lost, may_lose=plan.may_lose, verdict=verdict)
    return verdict


def _judge_report(
    report: dict[str, Any],
    material: Material,
    folder: Path,
    found: list[Path],
    verdict: Verdict,
) -> None:
    verdict.closed = bool(report["closed"])
    verdict.restarts = sum(report["restarts"].values())
    books = report["acquisitions"]
    if not books:
        verdict.wrong.append("no acquisition in the report")
    by_name: dict[str, list[Path]] = {}
    for one in found:
        by_name.setdefault(_acquisition_of(one, verdict), []).append(one)
    for name, book in books.items():
        processed = book["processed_runs"]
        count = len(material.frames)
        judge_ledger(book, processed, count, verdict)
        folders = by_name.pop(name, [])
        finished = all(manifest.read(one)["state"] != "recording" for one in folders)
        recorded, gaps = _recorded(folders, material, verdict)
        judge_recording(book, recorded, gaps, verdict, finished=finished)
    for name in by_name:
        verdict.wrong.append(f"a recorded run of {name or 'nobody'}, not in the report")
    if len(books) == 1:
        (book,) = books.values()
        _judge_results(folder / "results", material, book["processed_runs"], verdict)


def _acquisition_of(run: Path, verdict: Verdict) -> str:
    try:
        return str(manifest.read(run)["acquisition"]["id"])
    except RunError as error:
        verdict.differences.append(str(error))
        return ""


# -- recordings ------------------------------------------------------------------------


def _recorded(
    folders: list[Path], material: Material, verdict: Verdict
) -> tuple[Mask, list[tuple[int, int, str]]]:
    """Return which frames lie on disk, all looked at, and the gaps there."""
    recorded = np.zeros(len(material.frames), np.bool_)
    gaps: list[tuple[int, int, str]] = []
    for folder in folders:
        if manifest.read(folder)["state"] == manifest.RECORDING:
            verdict.notes.append("a recording was not closed: recovered")
            verdict.notes += recover(folder).notes
        verdict.differences += [str(one) for one in damages(folder)]
        with open_run(folder) as run:
            recorded |= _frames_of(run, material, verdict)
            gaps += [(gap.first, gap.last, gap.cause) for gap in run.gaps]
            _judge_manifest(run, verdict)
    return recorded, gaps


def _frames_of(run: Run, material: Material, verdict: Verdict) -> Mask:
    """Return which frames a run holds; they are compared byte for byte."""
    seen = np.zeros(len(material.frames), np.int64)
    for batch in run.batches():
        sent = material.frames[batch.index]
        pixels = batch.pixels  # type: ignore[union-attr]
        if not np.array_equal(pixels, sent) or pixels.dtype != sent.dtype:
            verdict.differences.append(
                f"recorded frames {batch.index[0]} to {batch.index[-1]}"
            )
        np.add.at(seen, batch.index, 1)
    if (twice := int((seen > 1).sum())) > 0:
        verdict.differences.append(f"{twice} frames are recorded twice")
    found: Mask = seen > 0
    return found


def _judge_manifest(run: Run, verdict: Verdict) -> None:
    said = run.manifest["frames"]
    if said["recorded"] != run.frames:
        verdict.differences.append(
            f"the manifest says {said['recorded']} frames, {run.frames} are there"
        )
    held = mask_of(said["runs"], run.length)
    if not np.array_equal(held, mask_of(run.present(), run.length)):
        verdict.differences.append("the manifest lists other frames than are there")


def _judge_restored(material: Material, found: list[Path], verdict: Verdict) -> None:
    """Restore what a supervisor that was killed had recorded, and look at all of it.

    All frames up to the last that is there must be there: they are written in order,
    and what was not written is lost with the supervisor.
    """
    if not found:
        verdict.notes.append("nothing had been recorded")
    for folder in found:
        recorded, gaps = _recorded([folder], material, verdict)
        last = int(np.flatnonzero(recorded).max(initial=-1))
        known = recorded | mask_of(gaps, len(recorded))
        verdict.undeclared += int((~known[: last + 1]).sum())
        verdict.closed &= manifest.read(folder)["state"] == "recovered"
        verdict.notes.append(f"{int(recorded.sum())} frames restored")


def _judge_refusal(said: str, code: int, found: list[Path], verdict: Verdict) -> None:
    """Look at how an engine refused to start."""
    if code == 0:
        verdict.wrong.append("exit code 0 without memory")
    if "Traceback" in said:
        verdict.wrong.append(f"a traceback: {said[-2000:]}")
    if not any(word in said for word in CLEAR_REFUSALS):
        verdict.wrong.append(f"it does not say what is missing: {said[-500:]}")
    if found:
        verdict.wrong.append(f"it has begun a recording: {found}")
    verdict.notes.append(said.strip()[-300:])


# -- results ---------------------------------------------------------------------------


def _judge_results(
    folder: Path, material: Material, processed: dict[str, Any], verdict: Verdict
) -> None:
    """Compare the results with those of exactly the frames that were processed."""
    count = len(material.frames)
    seen = {
        chain: np.flatnonzero(mask_of(runs, count)) for chain, runs in processed.items()
    }
    for name, expected in material.expected(seen).items():
        path = folder / f"{name}.npz"
        if not path.exists():
            if len(seen[name.partition(".")[0]]):
                verdict.differences.append(f"{name} is missing")
            continue
        with np.load(path) as file:
            data, mask = file["data"], file.get("mask")
        at = seen[name.partition(".")[0]]
        if name.startswith(("stem.virtual", "stem.com")):
            data, mask = _at(data, mask, at, count)
            if mask is not None and not mask.all():
                verdict.differences.append(f"{name}: its mask leaves out frames")
        if not np.array_equal(data, expected, equal_nan=True):
            verdict.differences.append(f"{name}: {_how(data, expected)}")


def _at(
    data: Array, mask: Array | None, at: Array, count: int
) -> tuple[Array, Array | None]:
    """Return the values at the probe positions `at`, and the mask there."""
    flat = data.reshape(count, *data.shape[2:])[at]
    if mask is None:
        return flat, None
    held: Array = np.all(mask.reshape(count, -1), axis=1)
    return flat, held[at]


def _how(data: Array, expected: Array) -> str:
    if data.shape != expected.shape:
        return f"shape {data.shape}, not {expected.shape}"
    return f"{int((data != expected).sum())} of {data.size} values"
