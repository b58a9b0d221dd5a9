"""Stream V2: one CBOR map a message, ``start``, ``image`` or ``end``.

    [d9 d9 f7] map
      "type": "image", "series_id": uint, "image_id": uint, "start_time": [n, rate], …
      "data": {channel: 40([[height, width], 69(56500(["bslz4", 2, bytes]))]), …}

Tags: 40 an array of two dimensions (RFC 8746), 64 to 70 its numbers, 56500 DECTRIS
compression. The loop reads images of this form, whatever the order of the names and
however numbers are written; anything else goes through cbor2.

Source: DECTRIS, "Stream V2" and "DECTRIS compression tag" (github
dectris/documentation).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from scopeside.errors import ProtocolError
from scopeside_adapters.dectris.cbor import (
    ARRAY,
    BYTES,
    INDEFINITE,
    MAP,
    TAG,
    TEXT,
    UINT,
    cbor_library,
    head,
    is_text,
    skip,
    whole,
    word,
)
from scopeside_adapters.dectris.encoding import seconds_as_ns, v2_codec
from scopeside_adapters.dectris.events import (
    Event,
    ImageRead,
    SeriesEnded,
    SeriesStarted,
)
from scopeside_adapters.dectris.images import (
    AT,
    BSLZ4,
    CAREFULLY,
    CODEC,
    ELEMENT,
    HEIGHT,
    IMAGE,
    ITEM,
    KIND,
    LZ4_FRAMED,
    MOST_PIXELS,
    NUMBER,
    OTHER,
    RAW,
    SERIES,
    SIZE,
    START_NS,
    WIDTH,
    Rows,
    new_rows,
    row_of,
)
from scopeside_adapters.dectris.metadata import facts_of_v2
from scopeside_adapters.dectris.native import compiled
from scopeside_adapters.dectris.parcel import Array, Parcel

_MULTI_DIM = 40
_COMPRESSED = 56500
ITEM_OF_TAG = {64: 1, 68: 1, 65: -2, 66: -4, 69: 2, 70: 4}
"""Bytes of a pixel by its tag; negative where big endian."""

_TYPE, _IMAGE = word("type"), word("image")
_SERIES_ID, _IMAGE_ID = word("series_id"), word("image_id")
_START_TIME, _DATA = word("start_time"), word("data")
_BSLZ4, _LZ4 = word("bslz4"), word("lz4")


@compiled
def _pixels(data: Array, at: int, end: int, row: Array) -> int:
    """Read one channel into `row`; return where it ends, -1 if it is unusual."""
    major, tag, at = head(data, at, end)
    if at < 0 or major != TAG or tag != 40:
        return -1
    for _ in range(2):  # [[height, width], pixels]
        major, n, at = head(data, at, end)
        if at < 0 or major != ARRAY or n != 2:
            return -1
    for column in (HEIGHT, WIDTH):
        major, n, at = head(data, at, end)
        if at < 0 or major != UINT or n < 1 or n > MOST_PIXELS:
            return -1
        row[column] = n
    major, tag, at = head(data, at, end)
    if at < 0 or major != TAG:
        return -1
    if tag in (64, 68):
        row[ITEM] = 1
    elif tag in (69, 70):
        row[ITEM] = 2 if tag == 69 else 4
    elif tag in (65, 66):
        row[ITEM] = -2 if tag == 65 else -4
    else:
        return -1
    return _payload(data, at, end, row)


@compiled
def _payload(data: Array, at: int, end: int, row: Array) -> int:
    """Read plain or compressed bytes into `row`; return where they end, or -1."""
    row[CODEC], row[ELEMENT] = RAW, 0
    major, n, at = head(data, at, end)
    if at >= 0 and major == TAG:
        at = _compression(data, at, end, row) if n == 56500 else -1
        if at < 0:
            return -1
        major, n, at = head(data, at, end)
    if at < 0 or major != BYTES or n < 0 or n > end - at:
        return -1
    row[AT], row[SIZE] = at, n
    return at + n


@compiled
def _compression(data: Array, at: int, end: int, row: Array) -> int:
    """Read ``[algorithm, element size,``; return where the bytes begin, or -1."""
    major, n, at = head(data, at, end)
    if at < 0 or major != ARRAY or n != 3:
        return -1
    major, n, at = head(data, at, end)
    if at < 0 or major != TEXT or n < 0 or n > end - at:
        return -1
    if is_text(data, at, n, _BSLZ4):
        row[CODEC] = BSLZ4
    elif is_text(data, at, n, _LZ4):
        row[CODEC] = LZ4_FRAMED
    else:
        return -1
    major, element, at = head(data, at + n, end)
    if at < 0 or major != UINT or element not in (0, 1, 2, 4):
        return -1
    row[ELEMENT] = element
    return at


@compiled
def _channel(data: Array, at: int, end: int, channel: Array, row: Array) -> int:
    """Read the channel asked for (empty: the first) out of the map of channels."""
    major, n, at = head(data, at, end)
    if at < 0 or major != MAP or n < 1:
        return -1
    found = False
    for _ in range(n):
        major, size, at = head(data, at, end)
        if at < 0 or major != TEXT or size < 0 or size > end - at:
            return -1
        wanted = not found and (channel.size == 0 or is_text(data, at, size, channel))
        at += size
        at = _pixels(data, at, end, row) if wanted else skip(data, at, end)
        if at < 0:
            return -1
        found = found or wanted
    return at if found else -1


@compiled
def _time(data: Array, at: int, end: int, row: Array) -> int:
    """Read a Rational, seconds, into the row as ns; leave it unsaid if it is none."""
    major, n, inside = head(data, at, end)
    if inside >= 0 and major == ARRAY and n == 2:
        one, ticks, inside = head(data, inside, end)
        if inside >= 0 and one == UINT:
            two, rate, inside = head(data, inside, end)
            if inside >= 0 and two == UINT and 0 < rate <= 4_000_000_000:
                seconds = ticks // rate
                if seconds < 4_000_000_000:
                    part = (ticks % rate) * 1_000_000_000 // rate
                    row[START_NS] = seconds * 1_000_000_000 + part
    return skip(data, at, end)


@compiled
def _read_one(data: Array, at: int, end: int, channel: Array, row: Array) -> int:
    """Read a message into `row`; return of which kind it is."""
    major, n, at = head(data, at, end)
    if at >= 0 and major == TAG and n == 55799:
        major, n, at = head(data, at, end)
    if at < 0 or major != MAP or n == INDEFINITE:
        return CAREFULLY
    row[START_NS] = -1
    seen = 0
    for _ in range(n):
        major, size, at = head(data, at, end)
        if at < 0 or major != TEXT or size < 0 or size > end - at:
            return CAREFULLY
        name = at
        at += size
        if is_text(data, name, size, _TYPE):
            major, size, at = head(data, at, end)
            if at < 0 or major != TEXT or size < 0 or size > end - at:
                return CAREFULLY
            if not is_text(data, at, size, _IMAGE):
                return OTHER
            at += size
            seen |= 1
        elif is_text(data, name, size, _SERIES_ID) or is_text(
            data, name, size, _IMAGE_ID
        ):
            bit = 2 if data[name] == 115 else 4  # "s"
            major, value, at = head(data, at, end)
            if at < 0 or major != UINT:
                return CAREFULLY
            row[SERIES if bit == 2 else NUMBER] = value
            seen |= bit
        elif is_text(data, name, size, _START_TIME):
            at = _time(data, at, end, row)
        elif is_text(data, name, size, _DATA):
            at = _channel(data, at, end, channel, row)
            seen |= 8
        else:
            at = skip(data, at, end)
        if at < 0:
            return CAREFULLY
    return IMAGE if seen == 15 and at == end else CAREFULLY


@compiled
def _read(
    data: Array, part_at: Array, message_at: Array, channel: Array, rows: Array
) -> None:
    for k in range(len(rows)):
        first, last = message_at[k], message_at[k + 1]
        kind = CAREFULLY
        if last - first == 1:
            kind = _read_one(data, part_at[first], part_at[last], channel, rows[k])
        rows[k, KIND] = kind


class Reader:
    """Reads messages of stream V2.

    Parameters
    ----------
    channel
        The channel to take, such as ``threshold_1``; empty: the first of each image.
    """

    name = "V2"
    other = "V1"

    def __init__(self, channel: str = "") -> None:
        self._channel = word(channel)
        self._wanted = channel

    def rows(self, parcel: Parcel) -> Rows:
        """Return where the image of each message is."""
        rows = new_rows(parcel.messages)
        _read(parcel.data, parcel.part_at, parcel.message_at, self._channel, rows)
        return rows

    def events(self, parcel: Parcel, message: int) -> list[Event]:
        """Read a message that the loop has left, with care.

        Raises
        ------
        ProtocolError
            If it cannot be a message of stream V2, or is an image that cannot be
            taken.
        """
        at = int(parcel.part_at[parcel.message_at[message]])
        events = []
        # A message has one part; some doubles glue several together.
        for part in parcel.parts(message):
            events.append(self.careful(part, at))
            at += len(part)
        return events

    def careful(self, part: memoryview, at: int = 0) -> Event:
        """Read one message; `at` is where its bytes begin in a parcel."""
        if bytes(part[:1]) == b"{":
            raise ProtocolError(
                'the detector sends stream V1 (legacy): set stream = "v1", or '
                "format = cbor on the detector",
                cause="wrong_stream",
            )
        said = _loads(part)
        kind = said.get("type")
        if kind == "image":
            return self._image(said, part, at)
        series = _number(said, "series_id")
        if kind == "end":
            return SeriesEnded(series)
        if kind == "start":
            return SeriesStarted(series, facts_of_v2(said))
        raise _wrong(f"'type' is start, image or end, not {kind!r:.40}")

    def _image(self, said: Mapping[str, Any], part: memoryview, at: int) -> ImageRead:
        number = _number(said, "image_id")
        channels = said.get("data")
        if not isinstance(channels, Mapping) or not channels:
            raise _wrong(f"image {number} has no 'data' by channel")
        name = self._wanted or next(iter(channels))
        if name not in channels:
            has = ", ".join(map(str, channels))
            raise ProtocolError(
                f"image {number} has no channel {name!r}, which the setting 'channel' "
                f"asks for; it has {has:.100}",
                cause="no_channel",
            )
        values, payload = _unpacked(channels[name], number)
        inside = bytes(part).find(payload)
        if inside < 0:
            raise _wrong(f"the pixels of image {number} come in pieces")
        return ImageRead(
            row_of(
                series=_number(said, "series_id"),
                number=number,
                start_ns=seconds_as_ns(said.get("start_time")),
                at=at + inside,
                size=len(payload),
                **values,
            )
        )


def _unpacked(array: Any, number: int) -> tuple[dict[str, int], bytes]:
    """Return what a MultiDimArray is, and its bytes as they were sent."""
    try:
        outer, ((height, width), typed) = array.tag, array.value
        tag, payload = typed.tag, typed.value
    except (AttributeError, TypeError, ValueError) as error:
        raise _wrong(f"image {number} is no array of two dimensions") from error
    sides = [height, width]
    if outer != _MULTI_DIM or not all(
        type(side) is int and 1 <= side <= MOST_PIXELS for side in sides
    ):
        raise _wrong(f"image {number} is no array of two dimensions")
    if tag not in ITEM_OF_TAG:
        raise ProtocolError(
            f"image {number} has pixels of CBOR tag {tag}; unsigned integers of 8, 16 "
            "or 32 bits are taken",
            cause="wrong_dtype",
        )
    values = {"height": height, "width": width, "item": ITEM_OF_TAG[tag]}
    if getattr(payload, "tag", None) == _COMPRESSED:
        try:
            name, element, payload = payload.value
        except (TypeError, ValueError) as error:
            raise _wrong(f"the compression of image {number} is unknown") from error
        values["codec"] = v2_codec(name, number)
        if type(element) is not int or element not in (0, 1, 2, 4):
            raise _wrong(f"image {number} has elements of {element!r:.20} bytes")
        values["element"] = element
    if not isinstance(payload, bytes):
        raise _wrong(f"image {number} has no bytes")
    return values, payload


def _number(said: Mapping[str, Any], name: str) -> int:
    value = said.get(name)
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise _wrong(f"'{name}' is a whole number, not {value!r:.40}")
    return value


def _wrong(message: str) -> ProtocolError:
    return ProtocolError(message, cause="malformed")


def _loads(part: memoryview) -> Mapping[str, Any]:
    data = np.frombuffer(part, np.uint8)
    if not whole(data, 0, len(data)):
        raise ProtocolError(
            f"a message of {len(data)} bytes is no CBOR, or is cut short",
            cause="malformed",
        )
    library = cbor_library()
    try:
        said = library.loads(bytes(part))
    except Exception as error:
        raise _wrong(f"CBOR with impossible values: {error}") from error
    if isinstance(said, Mapping):
        return said
    raise _wrong(f"a message is a map, not {type(said).__name__}")
