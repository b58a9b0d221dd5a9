"""The diffraction pattern of a probe position, and where it is from.

From the recording, which has exactly that frame, also while it grows; else from the
sample of frames that a processor of the kind ``frame`` has shown, and then it is the
nearest one, with its distance; else a sentence that says how to get it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.dashboard import picture
from scopeside.dashboard.page import Blob, Page
from scopeside.dashboard.plain import plain
from scopeside.dashboard.recorded import Recorded, Recordings, folder_of
from scopeside.dashboard.sample import Near, Position, Sample
from scopeside.dashboard.shelf import Shown
from scopeside.errors import RunError
from scopeside.result import Result
from scopeside.runs.locate import runs_of
from scopeside.scan import Scan

KEY = "pattern"
"""What such a picture is called in its header."""
MOST_RUNS = 4096
"""Of positions that follow each other, which are told of."""


class Patterns:
    """Answers what patterns there are, and shows one.

    ``pattern``: ``row``, ``column``, or a ``frame`` of the recording; ``acquisition``,
    ``scan``. The answer is a picture; ``pattern`` in its header says where it is from.

    ``patterns``: ``acquisition``, ``scan``. The answer says which positions have one:
    ``runs`` [first, last] of them, row by row; ``from``, ``shape``, ``kept``, ``of``.

    ``recording``: ``acquisition``. How many ``frames`` of it are recorded by now.

    Parameters
    ----------
    keep
        Called with each picture that is shown, so that a part can be asked for.
    """

    def __init__(
        self, page: Page, keep: Callable[[Shown], None] = lambda _shown: None
    ) -> None:
        self._page = page
        self._keep = keep
        self._number = itertools.count(1)
        self._recordings = Recordings()
        self._sample = Sample()
        page.on_result(lambda shown: self._sample.hear(shown.result))
        page.on_engine(self._look_at)
        page.questions["pattern"] = self._answer
        page.questions["patterns"] = self._where
        page.questions["recording"] = self._how_many

    def _look_at(self, engine: Path | None) -> None:
        """Begin anew with another engine; that of one that has ended stays."""
        if engine is not None:
            self._recordings.close()
            self._sample.forget()

    def _answer(self, asked: Mapping[str, str]) -> Blob:
        """Return the picture.

        Raises
        ------
        RunError
            If there is none; the message says how to get it.
        """
        if "frame" in asked:
            return self._by_number(asked)
        row, column = int(asked["row"]), int(asked["column"])
        scan = int(asked["scan"]) if "scan" in asked else None
        acquisition = asked.get("acquisition") or self._newest()
        folder = folder_of(self._page.status, acquisition)
        why = ""
        if folder is not None:
            try:
                found = self._recordings.at(folder, row, column, scan or 0)
            except RunError as error:
                why = str(error)
            else:
                at = Position(scan or 0, row, column)
                return self._recorded(found, at, acquisition, folder.name)
        near = self._sample.nearest(acquisition, row, column, scan)
        if near is None:
            raise RunError(why or _how_to_get_it(acquisition, self._sample.acquisition))
        return self._sampled(near, (row, column), why)

    def _by_number(self, asked: Mapping[str, str]) -> Blob:
        acquisition, folder = self._recording(asked)
        found = self._recordings.frame(folder, int(asked["frame"]))
        return self._recorded(found, None, acquisition, folder.name)

    def _recording(self, asked: Mapping[str, str]) -> tuple[str, Path]:
        acquisition = asked.get("acquisition") or self._newest()
        folder = folder_of(self._page.status, acquisition)
        if folder is None:
            raise RunError(f"{acquisition or 'the acquisition'} is not recorded")
        return acquisition, folder

    def _how_many(self, asked: Mapping[str, str]) -> dict[str, Any]:
        acquisition, folder = self._recording(asked)
        there = self._recordings.there(folder)
        last = there[-1][1] if there else -1
        count = sum(b - a + 1 for a, b in there)
        return {"acquisition": acquisition, "last": last, "frames": count}

    def _where(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """Return the positions that have a pattern; nothing is no error."""
        acquisition = asked.get("acquisition") or self._newest()
        number = int(asked["scan"]) if "scan" in asked else None
        scan = self._scan_of(acquisition)
        if scan is None:
            raise RunError(f"{acquisition or 'the acquisition'} is no scan")
        folder = folder_of(self._page.status, acquisition)
        if folder is not None:
            runs = self._recordings.there(folder)
            places = _places(scan, runs, number or 0)
        else:
            kept = self._sample.positions(acquisition, number)
            flat = [at.row * scan.shape[1] + at.column for at in kept]
            places = np.unique(np.array(flat, np.int64))
        told = runs_of(places)
        return {
            "from": "sample" if folder is None else "recording",
            "acquisition": acquisition,
            "shape": list(scan.shape),
            "runs": told[:MOST_RUNS],
            "left_out": max(0, len(told) - MOST_RUNS),
            "kept": len(places),
            "of": scan.positions,
        }

    def _newest(self) -> str:
        """Return the acquisition that is meant where none is named."""
        under_way = list(self._page.status.get("open") or {})
        return under_way[-1] if under_way else self._sample.acquisition

    def _recorded(
        self, found: Recorded, at: Position | None, acquisition: str, run: str
    ) -> Blob:
        """Return a frame of a recording; `at`: where the beam was, if it was asked."""
        place = {} if at is None else at._asdict()
        meta = {"acq": acquisition, "t_frame_ns": found.time_ns, **place}
        result = Result(
            KEY,
            found.frame,
            frame=found.number,
            first=found.number,
            used=1,
            expected=1,
            units="counts",
            axes=("y", "x"),
            meta=meta,
        )
        source = {"from": "recording", "run": run, "away": 0.0, **place}
        if at is not None:
            source["asked"] = at[1:]
        return self._packed(result, source)

    def _sampled(self, near: Near, asked: tuple[int, int], why: str) -> Blob:
        scan = self._scan_of(self._sample.acquisition)
        source = {
            "from": "sample",
            "away": near.away,
            "asked": asked,
            "kept": len(self._sample),
            "of": None if scan is None else scan.positions * scan.scans,
            "binning": near.result.meta.get("binning", 1),
            "not_recorded": why,
        }
        return self._packed(near.result, {**near.at._asdict(), **source})

    def _scan_of(self, name: str) -> Scan | None:
        """Return the path of the beam of an acquisition, as far as it is known."""
        for book in ("open", "acquisitions"):
            known = (self._page.status.get(book) or {}).get(name) or {}
            scan = (known.get("acquisition") or {}).get("scan")
            if scan is not None:
                return Scan.from_dict(scan)
        return None

    def _packed(self, result: Result, source: Mapping[str, Any]) -> Blob:
        """Return a frame as a picture; `source`: where it is from."""
        meta = plain(result.meta)
        shown = Shown(KEY, result, next(self._number), time.time_ns())
        self._keep(shown)
        beside = {"meta": meta, "pattern": plain(source)}
        return Blob(picture.encoded(shown, beside))


def _places(
    scan: Scan, runs: list[tuple[int, int]], number: int
) -> npt.NDArray[np.int64]:
    """Return the positions of scan `number` that frames are of, ascending."""
    begin = scan.offset + number * scan.period
    end = begin + scan.period - 1
    near = [(max(a, begin), min(b, end)) for a, b in runs if b >= begin and a <= end]
    frames = [np.arange(a, b + 1) for a, b in near]
    if not frames:
        return np.empty(0, np.int64)
    places = scan.position_of(np.concatenate(frames))
    places = places[places >= 0] - number * scan.positions
    found: npt.NDArray[np.int64] = np.unique(places)
    return found


def _how_to_get_it(acquisition: str, heard: str) -> str:
    """Return why there is no pattern, and how to get one, as a sentence."""
    of = f"of {acquisition} " if acquisition else ""
    also = f"; the page has kept those of {heard}" if heard else ""
    return (
        f"no diffraction pattern {of}is kept{also}: record the run ([record] in the "
        "pipeline file) to see that of every position, or add a chain with "
        "edge = 'latest' and the processor 'frame' to see a sample of them"
    )
