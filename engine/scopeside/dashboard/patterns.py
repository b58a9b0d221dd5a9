"""The diffraction pattern of a probe position, and where it is from.

From the recording, which has exactly that frame, also while it grows; else from the
sample of frames that a processor of the kind ``frame`` has shown, and then it is the
nearest one, with its distance; else a sentence that says how to get it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scopeside.dashboard import picture
from scopeside.dashboard.page import Blob, Page
from scopeside.dashboard.plain import plain
from scopeside.dashboard.recorded import Recorded, Recordings, folder_of
from scopeside.dashboard.sample import Near, Position, Sample
from scopeside.dashboard.shelf import Shown
from scopeside.errors import RunError
from scopeside.result import Result

KEY = "pattern"
"""What such a picture is called in its header."""


class Patterns:
    """Answers the question ``pattern``: ``row``, ``column``; ``acquisition``, ``scan``.

    The answer is a picture; ``pattern`` in its header says where it is from.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._recordings = Recordings()
        self._sample = Sample()
        page.on_result(lambda shown: self._sample.hear(shown.result))
        page.on_engine(self._look_at)
        page.questions["pattern"] = self._answer

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

    def _newest(self) -> str:
        """Return the acquisition that is meant where none is named."""
        under_way = list(self._page.status.get("open") or {})
        return under_way[-1] if under_way else self._sample.acquisition

    def _recorded(
        self, found: Recorded, at: Position, acquisition: str, run: str
    ) -> Blob:
        meta = {"acq": acquisition, "t_frame_ns": found.time_ns, **at._asdict()}
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
        source = {"from": "recording", "run": run, "away": 0.0, "asked": at[1:]}
        return _packed(result, {**at._asdict(), **source})

    def _sampled(self, near: Near, asked: tuple[int, int], why: str) -> Blob:
        source = {
            "from": "sample",
            "away": near.away,
            "asked": asked,
            "kept": len(self._sample),
            "of": self._positions(),
            "not_recorded": why,
        }
        return _packed(near.result, {**near.at._asdict(), **source})

    def _positions(self) -> int | None:
        """Return how many positions the acquisition of the sample has, if known."""
        name = self._sample.acquisition
        for book in ("open", "acquisitions"):
            known = (self._page.status.get(book) or {}).get(name) or {}
            scan = (known.get("acquisition") or {}).get("scan")
            if scan is not None:
                rows, columns = scan["shape"]
                return int(rows) * int(columns) * int(scan.get("scans", 1))
        return None


def _packed(result: Result, source: Mapping[str, Any]) -> Blob:
    """Return a frame as a picture; `source`: where it is from."""
    meta = plain(result.meta)
    shown = Shown(KEY, result, max(1, result.frame + 1), time.time_ns())
    return Blob(picture.encoded(shown, {"meta": meta, "pattern": plain(source)}))


def _how_to_get_it(acquisition: str, heard: str) -> str:
    """Return why there is no pattern, and how to get one, as a sentence."""
    of = f"of {acquisition} " if acquisition else ""
    also = f"; the page has kept those of {heard}" if heard else ""
    return (
        f"no diffraction pattern {of}is kept{also}: record the run ([record] in the "
        "pipeline file) to see that of every position, or add a chain with "
        "edge = 'latest' and the processor 'frame' to see a sample of them"
    )
