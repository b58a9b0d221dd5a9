"""Messages as they were received, one after another in one array."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MOST_PARTS = 16
"""Parts of a message that are kept; a header of V1 has at most nine."""


class Parcel:
    """Room for messages of several parts each.

    Attributes
    ----------
    data
        (bytes,) uint8: the parts, one after another.
    part_at
        Where each part begins; one more entry than there are parts.
    message_at
        With which part each message begins; one more entry than there are messages.
    messages
        How many messages there are.
    room
        A message that begins beyond so many bytes goes into the next parcel.
    """

    def __init__(self, data: Array, messages: int, room: int) -> None:
        self.data = data
        self.room = room
        self.part_at: Array = np.zeros(messages * MOST_PARTS + 1, np.int64)
        self.message_at: Array = np.zeros(messages + 1, np.int64)
        self.messages = 0

    @classmethod
    def empty(cls, messages: int, room: int, largest: int) -> Parcel:
        """Return room for so many messages, of which one has at most `largest` bytes.

        Memory that is never written to costs nothing.
        """
        return cls(np.empty(room + largest, np.uint8), messages, room)

    def clear(self) -> None:
        """Make room again."""
        self.messages = 0

    @classmethod
    def of(cls, messages: list[list[bytes]]) -> Parcel:
        """Return a parcel that holds `messages`, each a list of its parts."""
        data = np.frombuffer(b"".join(b"".join(m) for m in messages), np.uint8)
        parcel = cls(data, len(messages), len(data))
        parts = 0
        for k, message in enumerate(messages):
            for part in message[:MOST_PARTS]:
                parcel.part_at[parts + 1] = parcel.part_at[parts] + len(part)
                parts += 1
            parcel.message_at[k + 1] = parts
        parcel.messages = len(messages)
        return parcel

    @property
    def bytes(self) -> int:
        """How many bytes the messages have."""
        return int(self.part_at[self.message_at[self.messages]])

    def parts(self, message: int) -> list[memoryview]:
        """Return the parts of a message, not copied."""
        first, last = self.message_at[message], self.message_at[message + 1]
        edges = self.part_at[first : last + 1].tolist()
        return [self.data[a:b].data for a, b in pairwise(edges)]
