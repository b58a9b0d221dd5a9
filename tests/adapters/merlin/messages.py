"""Bytes as a Merlin sends them, for tests of the parser and the source."""

from __future__ import annotations

import numpy as np

from scopeside_adapters.merlin import recording
from scopeside_adapters.merlin.protocol import (
    FrameReceived,
    HeaderReceived,
    Skipped,
    Stream,
    Wanted,
)

ROWS = 4
"""Of a chip that reads out a region of interest: small frames."""
PIXELS, DEPTH = recording.pixel_format("R64", "1x1", ROWS, 6)
FRAMES = np.random.default_rng(2024).integers(0, 64, (8, ROWS, 256), np.uint8)


def announced(frames=8, per_trigger=1, counters="Counter 0"):
    """The message that begins an acquisition, shorter than a real one."""
    text = recording.acquisition_header(frames, per_trigger, "1x1", DEPTH, counters)
    return message(text.rstrip())


def message(payload):
    return b"MPX,%010d," % (len(payload) + 1) + payload


def frame(number=1, kind="R64", depth=DEPTH, rows=ROWS, seed=None, **more):
    """The message of a frame; its pixels are those of FRAMES, or seeded."""
    pixels, depth = recording.pixel_format(kind, "1x1", rows, depth)
    head = recording.frame_header(number, pixels, kind, "1x1", depth=depth, **more)
    image = FRAMES[(number - 1) % len(FRAMES)]
    if seed is not None or pixels.frame_shape != image.shape:
        rng = np.random.default_rng(seed)
        image = rng.integers(0, 2, pixels.frame_shape, pixels.dtype)
    return message(head + recording.stored(image[None], pixels).tobytes())


def series(numbers=range(1, 9), **options):
    return announced(**options) + b"".join(frame(number) for number in numbers)


def events(stream):
    """Take what a stream holds; give what it is."""
    found = []
    while not isinstance(event := stream.next(), Wanted):
        found.append(event)
        stream.take(event.end)
    return found


def feed(pieces, largest=1 << 20, size=1 << 12):
    """Put pieces of bytes through a stream; give the events and the stream."""
    stream = Stream(largest, size)
    found = []
    for piece in pieces:
        left = memoryview(piece)
        while left:
            room = stream.room()
            n = min(len(room), len(left))
            room[:n] = left[:n]
            stream.filled(n)
            left = left[n:]
            found += events(stream)
    return found, stream


def kinds(found):
    """What was found, in short: H, numbers of frames, causes of what was skipped."""
    out = []
    for event in found:
        match event:
            case HeaderReceived():
                out.append("H")
            case FrameReceived():
                out.append(event.header.sequence)
            case Skipped():
                out.append(event.cause)
    return out
