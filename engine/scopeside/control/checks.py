"""One thing that was looked at before a command, and what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

CAUSES: Mapping[str, str] = MappingProxyType(
    {
        "unknown_action": "the action is not one of the vocabulary",
        "wrong_type": "a value is of another type than it must be, or too long",
        "unknown_field": "a field that the action or the proposal does not have",
        "missing_field": "a field that must be there is not",
        "not_finite": "a number is NaN or infinite",
        "out_of_range": "a value lies below min or above max",
        "no_limits": "the pipeline file sets no limits for this action or field",
        "step": "too far from the value read back last",
        "excursion": "too far from the value at arming",
        "rate": "too soon after the last command of this action",
        "flood": "more proposals or requests in a second than are looked at",
        "expired": "its deadline has passed, or it waited too long for a person",
        "from_future": "a frame, time or epoch that has not come yet",
        "stale": "the frame that it stands on is too old",
        "old_epoch": "the detector was started again since that frame",
        "other_acquisition": "the frame is of an acquisition that is over",
        "invalid_evidence": "the result that it stands on says it is not valid",
        "low_confidence": "the result that it stands on is not sure enough",
        "gap": "results are missing just before the one it stands on",
        "engine_restarting": "the engine is silent, or a process of it does not run",
        "replayed": "the id was used before, for something else",
        "not_offered": "the instrument cannot do this action",
        "no_connection": "there is no instrument",
        "no_readback": "the instrument does not say what it is set to",
        "busy": "another command is under way, or one like it waits for a person",
        "parked": "parked until a person arms or advises",
        "not_armed": "it waits for a person, or the pipeline file forbids arming",
        "observe_only": "mode = observe: it is written down and not done",
        "unblank_forbidden": "the beam may be let on by a person's unblank only",
        "budget": "the dose budget does not allow it",
        "no_dose_calibration": "a dose budget is set that cannot be counted",
        "no_role": "who asks has no right to ask this",
        "plan": "the instrument cannot do it from where it is",
        "unknown_id": "nothing of that id waits for a person",
        "unknown_ask": "a person can ask no such thing",
        "declined": "a person said no",
        "instrument": "the instrument did not do it, or not as it was asked",
        "overdue": "the instrument did not answer in time",
        "second_writer": "somebody else changed what the guard had set",
        "silence": "the engine was not heard for silence_ms",
        "restarted": "the guard was started again",
        "held": "a person asked to hold",
        "blanked": "a person asked to blank",
        "ended": "the guard ends",
    }
)
"""Every cause of a refusal, failure or park, in words."""


@dataclass(frozen=True, slots=True)
class Check:
    """A check that was made.

    Attributes
    ----------
    name
        What was looked at, one word.
    cause
        Empty if it passed; else one of `CAUSES`.
    text
        What was found, in words.
    """

    name: str
    cause: str
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the audit log."""
        return {
            "check": self.name,
            "ok": not self.cause,
            "cause": self.cause,
            "text": self.text,
        }


def passed(name: str, text: str) -> Check:
    """Return a check that found nothing wrong."""
    return Check(name, "", text)


def failed(name: str, cause: str, text: str) -> Check:
    """Return a check that forbids the command."""
    assert cause in CAUSES
    return Check(name, cause, text)
