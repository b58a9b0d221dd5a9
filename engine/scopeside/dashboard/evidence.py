"""The picture that a proposal stands on, as far as the page has seen one."""

from __future__ import annotations

import itertools
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.control.audit_read import entries, proposal_of, table
from scopeside.control.audit_words import joined, printable
from scopeside.dashboard import picture
from scopeside.dashboard.guard_watch import GuardWatch
from scopeside.dashboard.page import Blob, Page
from scopeside.dashboard.shelf import Shown
from scopeside.errors import AuditError
from scopeside.publication import digest

MOST_EVENTS = 256
"""Events with a thumbnail that are kept."""
MOST_RECORDS = 20_000
"""So far back in the audit log a proposal is looked for."""
LARGEST_THUMBNAIL = 512
CUT_PX = 32
"""Around a place that is cut out of an image, each way."""
_NAMED = re.compile(r"\bevent (\d+)\b")

Pixels = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Kept:
    """An event that came with a thumbnail, or at least with a place."""

    shown: Shown
    acquisition: str
    digest: str
    data: Mapping[str, Any]

    @property
    def thumbnail(self) -> Pixels | None:
        """What is seen there; None if it does not say."""
        try:
            found = np.asarray(self.data.get("thumbnail", ()), np.float32)
        except (ValueError, TypeError):
            return None
        good = found.ndim == 2 and 0 < max(found.shape) <= LARGEST_THUMBNAIL
        return found if good and found.size else None


class Evidence:
    """The question ``evidence``: a picture with a mark, or why there is none."""

    def __init__(self, page: Page, watch: GuardWatch) -> None:
        self._page, self._watch = page, watch
        self._lock = threading.Lock()
        self._events: OrderedDict[int, Kept] = OrderedDict()
        page.on_result(self._hear)
        page.on_engine(lambda engine: self._forget() if engine is not None else None)
        page.questions["evidence"] = self._question

    def _hear(self, shown: Shown) -> None:
        result = shown.result
        if result.kind != "event" or not isinstance(result.data, Mapping):
            return
        if not result.valid or "thumbnail" not in result.data:
            return
        acquisition = str(result.meta.get("acq", ""))
        kept = Kept(shown, acquisition, digest(result), result.data)
        with self._lock:
            self._events[shown.number] = kept
            while len(self._events) > MOST_EVENTS:
                self._events.popitem(last=False)

    def _forget(self) -> None:
        with self._lock:
            self._events.clear()

    # ---------------------------------------------------------------------------

    def _question(self, asked: Mapping[str, str]) -> Any:
        try:
            found = self._proposal(asked["id"])
        except AuditError as error:
            return {"none": f"the audit log cannot be read: {error}"}
        if found is None:
            return {"none": "what it stands on is not in the audit log, or not yet"}
        proposal = dict(found)
        evidence = table(proposal.get("evidence"))
        event, how = self._event(proposal, evidence)
        if event is not None and (thumbnail := event.thumbnail) is not None:
            return _of_thumbnail(event, thumbnail, how)
        image = self._image(evidence)
        if image is None:
            return {"none": "no result of it is an image: there is nothing to be shown"}
        return _of_image(image, event)

    def _proposal(self, name: str) -> Mapping[str, Any] | None:
        """Return a proposal as the audit log has it; only its end is looked at."""
        path = self._watch.audit
        if path is None or not name:
            return None
        for entry in itertools.islice(entries(path), MOST_RECORDS):
            proposal = proposal_of(entry.record)
            if proposal.get("id") == name:
                return proposal
        return None

    def _event(
        self, proposal: Mapping[str, Any], evidence: Mapping[str, Any]
    ) -> tuple[Kept | None, str]:
        """Return the event that a proposal stands on, or that it names; and which."""
        acquisition = evidence.get("acquisition")
        with self._lock:
            events = [
                one
                for one in reversed(self._events.values())
                if one.acquisition == acquisition
            ]
        digests = {source.get("digest") for source in _sources(evidence)}
        for one in events:
            if one.digest in digests:
                return one, "the very result that it stands on"
        named = _NAMED.search(str(proposal.get("why", "")))
        for one in events:
            if named is not None and one.data.get("id") == int(named[1]):
                return one, f"event {named[1]}, which it names, as it was seen last"
        return None, ""

    def _image(self, evidence: Mapping[str, Any]) -> Shown | None:
        """Return the newest image of the same processor, else chain, else any."""
        images = [one for one in self._page.shelf.all() if picture.is_picture(one)]
        source = next(_sources(evidence), {})
        chain, processor = source.get("chain"), source.get("processor")

        def nearness(one: Shown) -> tuple[bool, bool, bool, int]:
            meta = one.result.meta
            same = meta.get("acq") == evidence.get("acquisition")
            of_chain = meta.get("chain") == chain
            by_it = of_chain and meta.get("processor") == processor
            return same, by_it, of_chain, one.number

        return max(images, key=nearness, default=None)


def _sources(evidence: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    sources = evidence.get("sources")
    return map(table, sources if isinstance(sources, list) else [])


def _of_thumbnail(event: Kept, thumbnail: Pixels, how: str) -> Blob:
    rows, columns = thumbnail.shape
    data, frame = event.data, event.shown.result.frame
    status, radius = data.get("status"), data.get("radius_px")
    error = data.get("radius_error_px")
    size = f"radius {radius:.3g} px" if isinstance(radius, int | float) else ""
    if size and isinstance(error, int | float):
        size += f" ± {error:.2g} px"
    about = joined([f"{printable(status, 20)}, frame {frame}", size, how])
    mark = {
        "row": (rows - 1) / 2,
        "col": (columns - 1) / 2,
        "r": max(rows, columns) / 5,
    }
    header = _header(event.shown, about, mark)
    header["units"] = "standard deviations of the noise"
    return Blob(picture.pictured(thumbnail, header))


def _of_image(shown: Shown, event: Kept | None) -> Blob:
    result = shown.result
    data, row, col = np.asarray(result.data), None, None
    if event is not None:
        row, col = _number(event.data.get("y")), _number(event.data.get("x"))
    frames = f"frames {result.first} … {result.frame}"
    about = f"{shown.key}, {frames}: the newest image there is, not the evidence itself"
    inside = (
        row is not None
        and col is not None
        and 0 <= row < data.shape[0]
        and 0 <= col < data.shape[1]
    )
    mask = result.mask
    mark: dict[str, float] | None = None
    if inside:
        assert row is not None
        assert col is not None
        top, left = max(0, int(row) - CUT_PX), max(0, int(col) - CUT_PX)
        cut = slice(top, int(row) + CUT_PX + 1), slice(left, int(col) + CUT_PX + 1)
        data, mask = data[cut], None if mask is None else mask[cut]
        mark = {"row": row - top, "col": col - left, "r": CUT_PX / 4}
        about += ", cut around the place"
    header = _header(shown, about, mark)
    header["units"] = result.units
    return Blob(picture.pictured(data, header, mask))


def _header(
    shown: Shown, about: str, mark: Mapping[str, float] | None
) -> dict[str, Any]:
    return {
        **picture.header_of(shown),
        "axes": [],
        "final": True,
        "meta": {},
        "pixel": None,
        "mark": mark,
        "about": about,
    }


def _number(value: Any) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if good and np.isfinite(value) else None
