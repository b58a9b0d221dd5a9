"""What every control adapter sees to before it asks its instrument for anything."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from scopeside.control.actions import checked
from scopeside.control.instrument import Call
from scopeside.errors import InstrumentError, RefusedError
from scopeside.messages import unknown


def fields_of(call: Call, actions: Collection[str], name: str) -> dict[str, Any]:
    """Return the fields of a call, checked once more where they are used.

    Parameters
    ----------
    actions
        What the instrument offers.
    name
        Who it is, in the operator's words.

    Raises
    ------
    InstrumentError
        If the action is not offered, or its fields are not all known, there, finite
        and of their type.
    """
    if call.action not in actions:
        raise InstrumentError(
            f"{name}: {unknown('action', f'{call.action!s:.60}', actions)}"
        )
    try:
        return checked(call.action, call.fields)
    except RefusedError as error:
        raise InstrumentError(f"{name}: {error}") from error
