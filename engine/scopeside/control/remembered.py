"""What became of the last few thousand commands, so that none is carried out twice."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scopeside.errors import RefusedError

MAX_IDS = 8192
MAX_ID = 200


@dataclass(slots=True)
class Memory:
    """An id that was used, for what, and the outcome so far."""

    digest: str
    created_ns: int
    state: str = ""
    cause: str = ""
    reason: str = ""


class Remembered:
    """By id. The oldest are forgotten, and whatever is as old as they are is refused.

    So a command cannot come a second time because it was forgotten.
    """

    def __init__(self) -> None:
        self._memories: OrderedDict[str, Memory] = OrderedDict()
        self._forgotten_ns = -1

    def __len__(self) -> int:
        return len(self._memories)

    def earlier(self, key: str, digest: str, created_ns: int) -> Memory | None:
        """Return what is known of an id; None if it is new, and is remembered now.

        Raises
        ------
        RefusedError
            If the id was used for something else, or could have been: ``replayed``.
        """
        memory = self._memories.get(key)
        if memory is not None and memory.digest == digest:
            return memory
        if memory is not None:
            text = f"the id {key:.60} was used before for something else"
            raise RefusedError(text, "replayed")
        if created_ns <= self._forgotten_ns:
            text = f"{key:.60} is as old as what is forgotten by now"
            raise RefusedError(text, "replayed")
        self._memories[key] = Memory(digest, created_ns)
        if len(self._memories) > MAX_IDS:
            _, oldest = self._memories.popitem(last=False)
            self._forgotten_ns = max(self._forgotten_ns, oldest.created_ns)
        return None

    def became(self, key: str, state: str, cause: str = "", reason: str = "") -> None:
        """Take note of an outcome."""
        memory = self._memories.get(key)
        if memory is not None:
            memory.state, memory.cause, memory.reason = state, cause, reason


def usable_id(found: Any) -> str:
    """Return an id, exactly as it stands.

    Raises
    ------
    RefusedError
        If it is no text of 1 to 200 printable characters: ``wrong_type``.
    """
    if isinstance(found, str) and 1 <= len(found) <= MAX_ID and found.isprintable():
        return found
    shown = (
        f"{len(found)} characters" if isinstance(found, str) else type(found).__name__
    )
    raise RefusedError(
        f"an id is 1 to {MAX_ID} printable characters, not {shown}", "wrong_type"
    )


def digest_of(values: Mapping[str, Any]) -> str:
    """Return what tells contents apart, whatever the order of their names.

    Raises
    ------
    ValueError, TypeError, RecursionError
        If they cannot be written down as UTF-8 JSON.
    """
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
