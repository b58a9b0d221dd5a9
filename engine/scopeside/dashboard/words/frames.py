"""Sentences on frames: those that are lost, do not come, or wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scopeside.dashboard.words.amounts import duration, frames
from scopeside.dashboard.words.given import count, number, table, text
from scopeside.dashboard.words.losses import loss
from scopeside.dashboard.words.sentence import Now, Sentence

QUIET_S = 3.0
QUIET_FRAMES = 5
"""No frame for so many frame times, and for `QUIET_S`, is told."""
FULL_S = 1.0
WAITS_SHARE = 0.2
"""A detector that waits for so much of the time is told."""
BEHIND_S = 2.0
MOST_INVALID = 3


def frame_sentences(now: Now) -> Iterator[Sentence]:
    """Yield what is to be said of frames and results."""
    yield from _losses(now)
    yield from _quiet(now)
    yield from _full(now)
    yield from _behind(now)
    yield from _invalid(now)
    yield from _last_acquisition(now)


def _losses(now: Now) -> Iterator[Sentence]:
    new, told = now.rates.new(), set()
    for (edge, outcome, cause), n in sorted(now.rates.lost().items()):
        what = loss(outcome, cause)
        if what.level == "ok" or not n:
            continue
        where = "detector" if what.detector else edge
        about = f"lost.{where}.{outcome}.{cause}"
        if about in told:
            continue  # what never came is missing on every edge
        told.add(about)
        lately = new.get((edge, outcome, cause), 0)
        who = "" if what.detector else f"{edge}: "
        if lately:
            all_in_all = f" ({n:,} in all)" if n > lately else ""
            text_ = f"{frames(lately)} lost in the last minute{all_in_all}: {what.why}"
            yield Sentence(what.level, about, who + text_, what.what_to_do)
        else:
            text_ = f"{frames(n)} lost earlier, none in the last minute: {what.why}"
            yield Sentence("ok", about, who + text_, what.what_to_do)


def _quiet(now: Now) -> Iterator[Sentence]:
    if text(now.status, "phase") != "running" or list(_full(now)):
        return  # while memory is full the detector waits: that is why
    for name, one in _open(now):
        calibration = table(one, "acquisition", "calibration")
        frame_s = max(
            number(calibration, key) for key in ("frame_time_s", "exposure_s")
        )
        quiet_s = now.now_s - now.rates.quiet_since_s
        if quiet_s < max(QUIET_S, QUIET_FRAMES * frame_s):
            continue
        received = count(one, "ingest", "received")
        expected = count(one, "acquisition", "frames")
        if expected and received >= expected:
            continue  # none is to come
        of = f" of {expected:,}" if expected else ""
        yield Sentence(
            "warn",
            f"quiet.{name}",
            f"no frame has come for {duration(quiet_s)}; {received:,}{of} are here",
            "is the scan running, the camera triggered, its program alive?",
        )


def _full(now: Now) -> Iterator[Sentence]:
    since = now.rates.full_since_s
    share = now.rates.blocked_share()
    full_s = 0.0 if since is None else now.now_s - since
    if full_s >= FULL_S:
        how = f"has been full for {duration(full_s)}"
    elif share >= WAITS_SHARE:
        how = f"was full for {100 * share:.0f} % of the last seconds"
    else:
        return
    yield Sentence(
        "warn",
        "slab",
        f"the memory for frames {how}: the detector waits, and a camera that cannot "
        "wait loses frames",
        "a chain is slower than the detector: more workers, or another policy",
    )


def _behind(now: Now) -> Iterator[Sentence]:
    for edge in table(now.status, "edges"):
        behind_s = behind(now, edge)
        if edge != "record" and behind_s is not None and behind_s >= BEHIND_S:
            waiting = count(now.status, "edges", edge, "in_flight")
            yield Sentence(
                "warn",
                f"behind.{edge}",
                f"{edge} is {duration(behind_s)} behind the detector: "
                f"{frames(waiting)} wait",
                "more workers, or fewer processors in this chain",
            )


def behind(now: Now, edge: str) -> float | None:
    """Return how long the frames that an edge has not done yet will take it, s."""
    waiting = count(now.status, "edges", edge, "in_flight")
    rate = now.rates.processed_per_s(edge)
    if not waiting:
        return 0.0
    return waiting / rate if rate > 0 else None


def _invalid(now: Now) -> Iterator[Sentence]:
    for one in now.invalid[:MOST_INVALID]:
        why = one.reason or "no reason was given"
        yield Sentence("warn", f"invalid.{one.key}", f"{one.key} has no value: {why}")
    more = len(now.invalid) - MOST_INVALID
    if more > 0:
        yield Sentence("warn", "invalid", f"{more} more results have no value")


def _last_acquisition(now: Now) -> Iterator[Sentence]:
    ended = table(now.status, "acquisitions")
    if not ended or table(now.status, "open"):
        return
    name = list(ended)[-1]
    state, reason = text(ended, name, "state"), text(ended, name, "reason")
    for problem in _texts(table(ended, name).get("problems")):
        yield Sentence("bad", f"problem.{name}", problem)
    if state == "failed":
        why = reason or "no reason was given"
        yield Sentence(
            "bad", f"ended.{name}", f"the last acquisition has failed: {why}",
            "read the notes",
        )  # fmt: skip
    elif state == "incomplete":
        missing = table(ended, name, "ingest", "missing")
        n = sum(count(missing, cause) for cause in missing)
        yield Sentence(
            "warn", f"ended.{name}",
            f"the last acquisition is incomplete: {frames(n)} missing",
        )  # fmt: skip


def _open(now: Now) -> Iterator[tuple[str, Any]]:
    yield from table(now.status, "open").items()


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list | tuple):
        return []
    return [one for one in value if isinstance(one, str)][:MOST_INVALID]
