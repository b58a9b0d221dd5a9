"""What a proposal stands on: whether it is fresh, whole, and of this engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from scopeside.control.checks import Check, failed, passed
from scopeside.control.proposal import Evidence, Proposal
from scopeside.control.settings import ControlSettings

MS = 1_000_000
AHEAD_NS = 100 * MS
"""So far may a time lie ahead of our clock. Computers that are kept by NTP agree within
some 10 ms; whatever is granted here is added to `max_age_ms`, so it is no more."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What the guard knows of the engine.

    Attributes
    ----------
    epoch
        Of the detector's adapter now; None before the supervisor was heard.
    degraded
        Names of processes that do not run.
    heard_ns
        When the supervisor was heard last.
    acquisition, newest_ns
        Of the newest frame that any evidence came from.
    """

    epoch: int | None = None
    degraded: tuple[str, ...] = ()
    heard_ns: int = 0
    acquisition: str = ""
    newest_ns: int = 0


def engine_of(engine: Engine, evidence: Evidence) -> Engine:
    """Return the engine as it is known after fresh evidence came."""
    if evidence.t_frame_ns < engine.newest_ns:
        return engine
    return replace(
        engine, acquisition=evidence.acquisition, newest_ns=evidence.t_frame_ns
    )


def engine_checked(
    engine: Engine, settings: ControlSettings, now_ns: int
) -> Iterator[Check]:
    """Check that all of the engine runs.

    By the clock of the frames there is nothing to check: what processes do now says
    nothing about a recording.
    """
    if settings.clock == "frames":
        yield passed("engine", "not checked: the clock is that of the frames")
    elif engine.epoch is None:
        yield failed("engine", "engine_restarting", "the engine was not heard yet")
    elif now_ns - engine.heard_ns > settings.silence_ms * MS:
        silent = (now_ns - engine.heard_ns) / MS
        text = f"the engine was not heard for {silent:.0f} ms"
        yield failed("engine", "engine_restarting", text)
    elif engine.degraded:
        names = ", ".join(engine.degraded[:10])
        yield failed("engine", "engine_restarting", f"does not run: {names:.200}")
    else:
        yield passed("engine", "all of the engine runs")


def evidence_checked(
    proposal: Proposal, engine: Engine, settings: ControlSettings, now_ns: int
) -> Iterator[Check]:
    """Check what does not change while a proposal waits for a person."""
    evidence = proposal.evidence
    yield _epoch(evidence, engine, settings)
    yield _acquisition(evidence, engine)
    yield _ahead("t_frame", evidence.t_frame_ns, now_ns)
    yield _ahead("created", proposal.created_ns, now_ns)
    if evidence.valid:
        yield passed("valid", "the results are valid")
    else:
        text = f"the results are not valid: {evidence.reason or 'they do not say why'}"
        yield failed("valid", "invalid_evidence", text)
    yield _confidence(evidence.confidence, settings.min_confidence)
    if evidence.missed == 0:
        yield passed("gap", "no result is missing")
    else:
        text = f"{evidence.missed} results were lost just before"
        yield failed("gap", "gap", text)


def age_checked(
    proposal: Proposal, settings: ControlSettings, now_ns: int
) -> Iterator[Check]:
    """Check that a proposal is fresh enough to be carried out without a person."""
    age_ms = (now_ns - proposal.evidence.t_frame_ns) / MS
    most = f"max_age_ms = {settings.max_age_ms:g}"
    if age_ms <= settings.max_age_ms:
        yield passed("age", f"the frame is {age_ms:.1f} ms old, within {most}")
    else:
        yield failed("age", "stale", f"the frame is {age_ms:.1f} ms old: above {most}")
    left_ms = (proposal.deadline_ns - now_ns) / MS
    if left_ms >= 0:
        yield passed("deadline", f"the deadline is in {left_ms:.1f} ms")
    else:
        text = f"the deadline passed {-left_ms:.1f} ms ago"
        yield failed("deadline", "expired", text)


def _epoch(evidence: Evidence, engine: Engine, settings: ControlSettings) -> Check:
    if settings.clock == "frames":
        return passed("epoch", "not checked: the clock is that of the frames")
    if engine.epoch is None or evidence.epoch == engine.epoch:
        return passed("epoch", f"epoch {evidence.epoch}")
    old = evidence.epoch < engine.epoch
    text = "the frame is from before the detector was started again"
    if not old:
        text = "the frame is from a start of the detector that has not come yet"
    text += f" (start {evidence.epoch}, now {engine.epoch})"
    return failed("epoch", "old_epoch" if old else "from_future", text)


def _acquisition(evidence: Evidence, engine: Engine) -> Check:
    """Check that the frame is not older than one of another acquisition."""
    same = engine.acquisition in ("", evidence.acquisition)
    if same or evidence.t_frame_ns >= engine.newest_ns:
        return passed("acquisition", f"acquisition {evidence.acquisition}")
    text = (
        f"the frame is of {evidence.acquisition}; there were newer frames of "
        f"{engine.acquisition}"
    )
    return failed("acquisition", "other_acquisition", text)


def _ahead(name: str, t_ns: int, now_ns: int) -> Check:
    ahead_ms = (t_ns - now_ns) / MS
    if ahead_ms <= AHEAD_NS / MS:
        return passed(name, f"{name} is not in the future")
    text = f"{name} lies {ahead_ms:.0f} ms in the future: above {AHEAD_NS / MS:g}"
    return failed(name, "from_future", text)


def _confidence(confidence: float | None, least: float) -> Check:
    if confidence is None:
        return passed("confidence", "the results do not say how sure they are")
    if confidence >= least:
        text = f"confidence {confidence:g} is at least min_confidence = {least:g}"
        return passed("confidence", text)
    text = f"confidence {confidence:g} is below min_confidence = {least:g}"
    return failed("confidence", "low_confidence", text)
