"""Moves messages between a ZeroMQ socket and a parcel, many in one call.

A message that pyzmq receives costs more Python than a 96×96 frame costs to decode.
"""

# ruff: noqa: PLR0917 - a kernel takes flat arrays by position
from __future__ import annotations

from typing import Any, cast

import numpy as np
import zmq

from scopeside_adapters.dectris.native import call_int, call_option, compiled, zeromq
from scopeside_adapters.dectris.parcel import MOST_PARTS, Array, Parcel

_NOBLOCK = int(zmq.NOBLOCK)
_SNDMORE = int(zmq.SNDMORE)
_RCVMORE = int(zmq.RCVMORE)


@compiled
def _receive(
    recv: int,
    option: int,
    socket: int,
    data: Array,
    part_at: Array,
    message_at: Array,
    messages: int,
    limit: int,
    room: int,
) -> int:
    """Take what is waiting; return how many messages there are then."""
    more = np.zeros(1, np.int32)
    size = np.zeros(1, np.int64)
    part = message_at[messages]
    base = data.ctypes.data
    while messages < limit and part_at[part] <= room:
        flags, kept = _NOBLOCK, 0
        while True:
            at = part_at[part]
            got = call_int(recv, socket, base + at, data.size - at, flags)
            if got < 0:
                return messages
            if kept < MOST_PARTS:
                part += 1
                # What does not fit has been cut by ZeroMQ: an empty part is no image.
                part_at[part] = at + got if got <= data.size - at else at
                kept += 1
            more[0], size[0] = 0, 4
            call_option(option, socket, _RCVMORE, more.ctypes.data, size.ctypes.data)
            if more[0] == 0:
                break
            flags = 0  # further parts of a message are there once its first one is
        messages += 1
        message_at[messages] = part
    return messages


@compiled
def _send(
    send: int,
    socket: int,
    data: Array,
    part_at: Array,
    message_at: Array,
    first: int,
    last: int,
) -> int:
    """Send messages `first` to `last` (exclusive); return with which it stopped."""
    base = data.ctypes.data
    for message in range(first, last):
        parts = range(message_at[message], message_at[message + 1])
        for part in parts:
            flags = _NOBLOCK if part == parts.stop - 1 else _NOBLOCK | _SNDMORE
            at = part_at[part]
            n = part_at[part + 1] - at
            # Only the first part can be refused: a message goes as a whole.
            if call_int(send, socket, base + at, n, flags) < 0:
                return message
    return last


def receive_into(parcel: Parcel, socket: zmq.Socket[bytes], limit: int) -> int:
    """Add the messages that are waiting, `limit` in all; return how many came.

    What lies beyond the parcel's room belongs to one message; a part that does not
    fit even there is left empty.
    """
    before = parcel.messages
    if zeromq("zmq_recv") and zeromq("zmq_getsockopt"):
        parcel.messages = _receive(
            zeromq("zmq_recv"),
            zeromq("zmq_getsockopt"),
            cast("Any", socket).underlying,
            parcel.data,
            parcel.part_at,
            parcel.message_at,
            before,
            limit,
            parcel.room,
        )
    else:
        _receive_in_python(parcel, socket, limit)
    return parcel.messages - before


def _receive_in_python(parcel: Parcel, socket: zmq.Socket[bytes], limit: int) -> None:
    """Do the same where ZeroMQ's own functions cannot be reached."""
    part = int(parcel.message_at[parcel.messages])
    while parcel.messages < limit and parcel.part_at[part] <= parcel.room:
        try:
            parts = socket.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return
        for frame in parts[:MOST_PARTS]:
            at = int(parcel.part_at[part])
            until = at + len(frame.buffer)
            if until <= len(parcel.data):
                parcel.data[at:until] = np.frombuffer(frame.buffer, np.uint8)
            part += 1
            parcel.part_at[part] = until if until <= len(parcel.data) else at
        parcel.messages += 1
        parcel.message_at[parcel.messages] = part


def send_from(parcel: Parcel, socket: zmq.Socket[bytes], first: int, last: int) -> int:
    """Send messages from `first` on; return the first that found no room."""
    if zeromq("zmq_send"):
        return int(
            _send(
                zeromq("zmq_send"),
                cast("Any", socket).underlying,
                parcel.data,
                parcel.part_at,
                parcel.message_at,
                first,
                last,
            )
        )
    for message in range(first, last):
        try:
            socket.send_multipart(parcel.parts(message), zmq.NOBLOCK)
        except zmq.Again:
            return message
    return last


def load() -> None:
    """Compile the loop that receives, or find it compiled."""
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        receive_into(Parcel.empty(1, 0, 1), socket, 1)
