"""Sentences on processes, graphics cards, channels, and what the engine is doing."""

from __future__ import annotations

from collections.abc import Iterator

from scopeside.dashboard.words.amounts import duration, times
from scopeside.dashboard.words.given import count, table, tables, text
from scopeside.dashboard.words.sentence import Now, Sentence

LATELY_S = 60.0
LOST_CARD = " failed)"
"""Ends the device of a worker that has lost its card: ``cpu (… failed)``."""

_ROLES = {
    "adapter": "the detector's process",
    "collector": "the collector",
    "channels": "the channels' process",
    "adviser": "the process of rules and policies",
    "guard": "the guard",
    "recorder": "the recorder",
    "page": "the page's process",
}
_PHASES = {
    "starting": ("ok", "the engine is starting; the first time kernels are compiled"),
    "recovering": (
        "warn",
        "the detector's process has died: what was received is being finished, then it "
        "is started again",
    ),
    "draining": ("warn", "the engine is stopping: what was received is processed"),
    "ending": ("warn", "the engine is ending: results are written"),
    "ended": ("warn", "the engine has ended"),
}


def process_sentences(now: Now) -> Iterator[Sentence]:
    """Yield what is to be said of processes, cards and channels."""
    known = _PHASES.get(text(now.status, "phase"))
    if known is not None:
        level, words = known
        yield Sentence("warn" if level == "warn" else "ok", "phase", words)
    for process in tables(now.status, "processes"):
        yield from _process(now, text(process, "name"), text(process, "role"))
        yield from _state(now, text(process, "name"), text(process, "state"))
        yield from _card(text(process, "name"), text(process, "device"))
    yield from _channels(now)
    for index, words in enumerate(_plaintext(now)):
        yield Sentence("ok", f"plaintext.{index}", words)


def called(name: str, role: str = "") -> str:
    """Return what a process is called in a sentence."""
    role = role or name.partition(".")[0]
    return _ROLES.get(role) or f"{name}"


def _process(now: Now, name: str, role: str) -> Iterator[Sentence]:
    at_s = now.rates.restarted_s.get(name)
    if at_s is None or now.now_s - at_s > LATELY_S:
        return
    n = count(now.status, "restarts", name)
    yield Sentence(
        "warn",
        f"restart.{name}",
        f"{called(name, role)} died and was started again "
        f"{duration(now.now_s - at_s)} ago ({times(n)} in all)",
        "its last words are in the notes",
    )


def _state(now: Now, name: str, state: str) -> Iterator[Sentence]:
    if state != "degraded":
        return
    edge = name.split(".")[1] if name.startswith("worker.") and "." in name else ""
    others = bool(edge) and not table(now.status, "queues", edge).get("degraded")
    if not edge:
        after = ""
    elif others:
        after = f"; the other workers of {edge} go on"
    else:
        after = f"; nobody works for {edge}, its frames are dropped from now on"
    yield Sentence(
        "bad",
        f"degraded.{name}",
        f"{called(name)} died too often and was given up{after}",
        "read the notes for its first error; stop, mend it, start again",
    )


def _card(name: str, device: str) -> Iterator[Sentence]:
    if not device.endswith(LOST_CARD):
        return
    card = device.removeprefix("cpu (").removesuffix(LOST_CARD)
    yield Sentence(
        "warn",
        f"card.{name}",
        f"the graphics card {card} has failed: {name} goes on without it, slower; "
        "nothing is lost",
        "start again when the card is well",
    )


def _channels(now: Now) -> Iterator[Sentence]:
    for name in table(now.status, "channels"):
        state = text(now.status, "channels", name, "state")
        reason = text(now.status, "channels", name, "reason")
        if state not in ("silent", "lost"):
            continue
        words = "sends nothing" if state == "silent" else "is lost and tried again"
        why = f": {reason}" if reason else ""
        yield Sentence(
            "warn",
            f"channel.{name}",
            f"the channel {name} {words}{why}; frames go on without its samples",
            "look at its source",
        )


def _plaintext(now: Now) -> list[str]:
    found = now.status.get("plaintext")
    if not isinstance(found, list | tuple):
        return []
    return [one for one in found if isinstance(one, str)]
