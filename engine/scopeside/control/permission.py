"""What a message at the door asks for, and which role that takes. No I/O.

Who sent it is known from its key and never read from the message: a name in it that is
another's is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scopeside.errors import RefusedError
from scopeside.messages import unknown
from scopeside.wire import Kind, Message

ROLE_OF_ASK: Mapping[str, str] = {
    "hold": "",
    "blank": "",
    "status": "observe",
    "proposals": "observe",
    "arm": "arm",
    "advise": "arm",
    "accept": "arm",
    "decline": "arm",
    "do": "arm",
    "unblank": "unblank",
}
"""By what is asked; empty: every known program may."""
_MAX_ID = 200


def caller(name: str) -> str:
    """Return what a program is called inside of the guard and in the audit log.

    No acquisition bears a ``:``, so no id that the adviser makes begins so.
    """
    return f"door:{name}"


def admitted(message: Message, name: str, roles: frozenset[str]) -> dict[str, Any]:
    """Return the header as the guard may have it, ``who`` being the true one.

    Raises
    ------
    RefusedError
        With the cause ``no_role``, ``other_name``, ``wrong_type``, ``missing_field``,
        ``unknown_field`` or ``unknown_ask``.
    """
    header = message.header
    match message.kind:
        case Kind.PROPOSAL:
            _need("propose", name, roles)
            return _proposal(header, name)
        case Kind.STATUS:
            _need("observe", name, roles)
            return {"id": ident(header), "who": caller(name)}
        case Kind.ASK:
            return _ask(header, name, roles)
    raise RefusedError(
        f"the door takes PROPOSAL, ASK and STATUS, not {message.kind.name}",
        "unknown_ask",
    )


def ident(header: Mapping[str, Any]) -> str:
    """Return the id that an answer bears; empty where there is none or no text."""
    proposal = header.get("proposal")
    source = proposal if isinstance(proposal, Mapping) else header
    found = source.get("id", "")
    return found if isinstance(found, str) and len(found) <= _MAX_ID else ""


def _proposal(header: Mapping[str, Any], name: str) -> dict[str, Any]:
    proposal = header.get("proposal")
    if set(header) != {"proposal"} or not isinstance(proposal, Mapping):
        raise RefusedError("a PROPOSAL has one field: proposal, a table", "wrong_type")
    who = caller(name)
    if not ident(header).startswith(f"{who}/"):
        raise RefusedError(
            f"the id of a proposal of {name} begins with '{who}/' and has {_MAX_ID} "
            f"letters at most, not {proposal.get('id')!r:.60}",
            "other_name",
        )
    rule = proposal.get("rule")
    if rule != who and not (isinstance(rule, str) and rule.startswith(f"{who}/")):
        raise RefusedError(
            f"the rule of a proposal of {name} is '{who}' or begins with '{who}/', not "
            f"{rule!r:.60}",
            "other_name",
        )
    return {"proposal": dict(proposal)}


def _ask(header: Mapping[str, Any], name: str, roles: frozenset[str]) -> dict[str, Any]:
    ask = header.get("ask")
    if not isinstance(ask, str) or ask not in ROLE_OF_ASK:
        raise RefusedError(unknown("ask", f"{ask!s:.60}", ROLE_OF_ASK), "unknown_ask")
    if role := ROLE_OF_ASK[ask]:
        _need(role, name, roles)
    if ask == "do" and _lets_beam_on(header):
        _need("unblank", name, roles)
    if header.get("who", name) not in (name, caller(name)):
        raise RefusedError(
            f"this is {name}, by its key, not {header['who']!r:.60}", "other_name"
        )
    if header.get("id", "") != ident(header):
        raise RefusedError(f"id is a text of {_MAX_ID} letters at most", "wrong_type")
    return {**header, "who": caller(name)}


def _lets_beam_on(header: Mapping[str, Any]) -> bool:
    """Whether an ask ``do`` could be one to unblank: all but a plain ``on = true``."""
    fields = header.get("fields")
    on = fields.get("on") if isinstance(fields, Mapping) else None
    return header.get("action") == "blank" and on is not True


def _need(role: str, name: str, roles: frozenset[str]) -> None:
    if role not in roles:
        raise RefusedError(
            f"{name} has no role '{role}' (has: {', '.join(sorted(roles))})", "no_role"
        )
