"""What travels from a rule to the guard: a wish, and the evidence that it stands on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from scopeside.errors import RefusedError

_MAX_TEXT = 500


@dataclass(frozen=True, slots=True)
class Source:
    """A result that a proposal stands on."""

    chain: str
    processor: str
    name: str
    digest: str
    """Of the result's contents: `scopeside.publication.digest`."""
    params: int
    """Version of the processor's parameters."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a proposal stands on.

    Attributes
    ----------
    acquisition, epoch
        Of the frames; the epoch is that of the detector's adapter.
    first, frame
        Indices of the first and the last frame of it.
    t_frame_ns
        Time stamp of the last frame, ns since 1970 UTC.
    sources
        The results, the one that led to the proposal first.
    confidence
        0 … 1; None where the result does not say.
    valid, reason
        Whether the results are valid, and why not.
    missed
        Results that were lost on the way between this one and the one before.
    """

    acquisition: str
    epoch: int
    first: int
    frame: int
    t_frame_ns: int
    sources: tuple[Source, ...] = ()
    confidence: float | None = None
    valid: bool = True
    reason: str = ""
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a rule, a policy or another program asks for.

    Attributes
    ----------
    id
        Equal proposals bear equal ids: acquisition, rule, frame, and a count.
    action, fields
        As in `scopeside.control.actions`.
    rule
        Name of the rule or policy.
    why
        In words, for people.
    created_ns
        When it was made, ns since 1970 UTC.
    deadline_ns
        After this it must not be carried out any more.
    """

    id: str
    action: str
    fields: Mapping[str, Any]
    rule: str
    evidence: Evidence
    created_ns: int
    deadline_ns: int
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they travel and as they are written down."""
        return {**asdict(self), "fields": dict(self.fields)}

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Read what a stranger sent: every field known, there, and of its type.

        `fields` is looked at only as far as being a table; `actions.checked` does the
        rest.

        Raises
        ------
        RefusedError
            With the cause ``wrong_type``, ``unknown_field`` or ``missing_field``.
        """
        found = _typed("proposal", values, _PROPOSAL)
        evidence = _typed("evidence", found["evidence"], _EVIDENCE)
        evidence["sources"] = tuple(
            Source(**_typed("evidence.sources", one, _SOURCE))
            for one in evidence["sources"]
        )
        confidence = evidence["confidence"]
        if confidence is not None and not 0 <= confidence <= 1:  # false for NaN too
            raise RefusedError(
                f"evidence.confidence is 0 … 1, not {confidence!r:.60}", "wrong_type"
            )
        return cls(**{**found, "evidence": Evidence(**evidence)})


@dataclass(frozen=True, slots=True)
class Wish:
    """What a policy asks for; the adviser adds evidence, id and times."""

    action: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    confidence: float | None = None
    """Of the policy in this; None: that of the result."""
    valid_for_s: float | None = None
    """After so long it is not carried out any more; None: `control.valid_for_ms`."""


_SOURCE = {
    "chain": str,
    "processor": str,
    "name": str,
    "digest": str,
    "params": int,
}
_EVIDENCE = {
    "acquisition": str,
    "epoch": int,
    "first": int,
    "frame": int,
    "t_frame_ns": int,
    "sources": (list, tuple),
    "confidence": (int, float, type(None)),
    "valid": bool,
    "reason": str,
    "missed": int,
}
_PROPOSAL = {
    "id": str,
    "action": str,
    "fields": Mapping,
    "rule": str,
    "evidence": Mapping,
    "created_ns": int,
    "deadline_ns": int,
    "why": str,
}
_WHOLE = 1 << 63


def _typed(what: str, values: Any, types: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` with exactly the keys and types that are asked for."""
    if not isinstance(values, Mapping):
        raise RefusedError(f"{what} is a table, not {values!r:.60}", "wrong_type")
    for key in values:
        if key not in types:
            raise RefusedError(f"{what} has no field {key!s:.60}", "unknown_field")
    if missing := [key for key in types if key not in values]:
        raise RefusedError(f"{what} lacks {', '.join(missing)}", "missing_field")
    for key, kind in types.items():
        value = values[key]
        wrong = not isinstance(value, kind) or (
            isinstance(value, bool) and kind is not bool
        )
        if wrong or (isinstance(value, str) and len(value) > _MAX_TEXT):
            raise RefusedError(f"{what}.{key} cannot be {value!r:.60}", "wrong_type")
        if isinstance(value, int) and abs(value) >= _WHOLE:
            raise RefusedError(f"{what}.{key} is too large", "wrong_type")
    return dict(values)
