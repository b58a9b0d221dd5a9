"""Stream V1 (legacy): messages of several parts, JSON texts and binary blobs.

    header  {"htype": "dheader-1.0", "series": n, "header_detail": "all|basic|none"}
            configuration (basic, all); flat field, mask and count-rate table, each
            as a JSON text and a blob (all); appendix (if one is set)
    image   {"htype": "dimage-1.0", "series": n, "frame": n, "hash": …}
            {"htype": "dimage_d-1.0", "shape": [x, y], "type": "uint16",
             "encoding": "bs16-lz4<", "size": n}
            pixels
            {"htype": "dconfig-1.0", "start_time": ns, "stop_time": ns, …}
            appendix (if one is set)
    end     {"htype": "dseries_end-1.0", "series": n}

The configuration may come as a message of its own, names without the leading ``d``.
``hash`` is never looked at: real detectors send one that fits neither blob nor pixels.
The loop reads flat JSON, whatever the order and the blanks; anything else goes through
`json`.

Source: DECTRIS, "SIMPLON API Reference" 1.8, "Stream interface".
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from scopeside.errors import ProtocolError
from scopeside.strangers import from_json
from scopeside_adapters.dectris.cbor import is_text, word
from scopeside_adapters.dectris.encoding import ITEMS, dtype_named, v1_encoding
from scopeside_adapters.dectris.events import (
    Event,
    ImageRead,
    SeriesDescribed,
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
    LZ4_BARE,
    MOST_PIXELS,
    NUMBER,
    RAW,
    SERIES,
    SIZE,
    START_NS,
    WIDTH,
    Rows,
    new_rows,
    row_of,
)
from scopeside_adapters.dectris.metadata import facts_of_v1
from scopeside_adapters.dectris.native import compiled
from scopeside_adapters.dectris.parcel import Array, Parcel
from scopeside_adapters.dectris.text import LIST, NUMBER_TEXT, STRING, next_pair, whole

_LARGEST_JSON = 1 << 20
_MOST_PARTS = 5
"""Of an image; what has more is two messages in one."""
_BEGINNINGS = (b'"dimage-1.0"', b'"dheader-1.0"', b'"dseries_end-1.0"')
_HTYPE, _SERIES, _FRAME = word("htype"), word("series"), word("frame")
_SHAPE, _TYPE, _ENCODING = word("shape"), word("type"), word("encoding")
_START = word("start_time")
_IMAGE, _IMAGE_D = word("dimage-1.0"), word("dimage_d-1.0")
_U8, _U16, _U32 = word("uint8"), word("uint16"), word("uint32")


@compiled
def _read_name(data: Array, at: int, end: int, row: Array) -> bool:
    """Read the first part of an image: series and number."""
    seen, state = 0, 0
    while True:
        state, a, b, kind, c, d, at = next_pair(data, at, end, state)
        if state != 1:
            return state == 2 and seen == 7
        if is_text(data, a, b - a, _HTYPE):
            if kind != STRING or not is_text(data, c, d - c, _IMAGE):
                return False
            seen |= 1
        elif is_text(data, a, b - a, _SERIES) or is_text(data, a, b - a, _FRAME):
            bit = 2 if data[a] == 115 else 4  # "s"
            value = whole(data, c, d) if kind == NUMBER_TEXT else -1
            if value < 0:
                return False
            row[SERIES if bit == 2 else NUMBER] = value
            seen |= bit


@compiled
def _read_encoding(data: Array, at: int, end: int, row: Array) -> bool:
    """Read ``[bs<BITS>][-][lz4]<endian>``; return whether it is a usual one."""
    codec, element = RAW, 0
    shuffled = end - at > 2 and data[at] == 98 and data[at + 1] == 115  # "bs"
    if shuffled:
        at += 2
        bits = 0
        while at < end and 48 <= data[at] <= 57 and bits < 100:
            bits = bits * 10 + data[at] - 48
            at += 1
        if bits not in (8, 16, 32):
            return False
        element = bits // 8
    if end - at > 1 and data[at] == 45:  # "-"
        at += 1
    lz4 = end - at == 4 and data[at] == 108 and data[at + 1] == 122
    if lz4 and data[at + 2] == 52:
        codec = BSLZ4 if shuffled else LZ4_BARE
        at += 3
    elif shuffled:
        return False
    if end - at != 1 or data[at] not in (60, 62):  # "<", ">"
        return False
    if data[at] == 62:
        row[ITEM] = -1
    row[CODEC], row[ELEMENT] = codec, element
    return True


@compiled
def _read_shape(data: Array, at: int, end: int, row: Array) -> bool:
    """Read ``x, y`` or ``x, y, 1``; return whether it is a usual shape."""
    for column in (WIDTH, HEIGHT, KIND):
        until = at
        while until < end and data[until] != 44:  # ","
            until += 1
        side = whole(data, at, until)
        if side < 1 or side > (1 if column == KIND else MOST_PIXELS):
            return column == KIND and at >= end
        row[column] = side
        at = until + 1
    return at > end


@compiled
def _read_form(data: Array, at: int, end: int, row: Array) -> bool:
    """Read the second part of an image: shape, type and encoding."""
    seen, item = 0, 0
    row[ITEM] = 1
    state = 0
    while True:
        state, a, b, kind, c, d, at = next_pair(data, at, end, state)
        if state != 1:
            break
        if is_text(data, a, b - a, _SHAPE):
            if kind != LIST or not _read_shape(data, c, d, row):
                return False
            seen |= 1
        elif is_text(data, a, b - a, _TYPE):
            if is_text(data, c, d - c, _U16):
                item = 2
            elif is_text(data, c, d - c, _U8):
                item = 1
            elif is_text(data, c, d - c, _U32):
                item = 4
            else:
                return False
            seen |= 2
        elif is_text(data, a, b - a, _ENCODING):
            if not _read_encoding(data, c, d, row):
                return False
            seen |= 4
        elif is_text(data, a, b - a, _HTYPE) and not is_text(data, c, d - c, _IMAGE_D):
            return False
    row[ITEM] *= item
    return state == 2 and seen == 7


@compiled
def _read_time(data: Array, at: int, end: int, row: Array) -> None:
    """Read the start of the exposure, ns, if the fourth part tells it."""
    state = 0
    while True:
        state, a, b, kind, c, d, at = next_pair(data, at, end, state)
        if state != 1:
            return
        if kind == NUMBER_TEXT and is_text(data, a, b - a, _START):
            row[START_NS] = whole(data, c, d)


@compiled
def _read(data: Array, part_at: Array, message_at: Array, rows: Array) -> None:
    for k in range(len(rows)):
        first, row = message_at[k], rows[k]
        parts = message_at[k + 1] - first
        row[KIND] = CAREFULLY
        if (
            not 3 <= parts <= _MOST_PARTS
            or part_at[first + 2] - part_at[first] > _LARGEST_JSON
        ):
            continue
        one, two, three = part_at[first], part_at[first + 1], part_at[first + 2]
        row[START_NS] = -1
        if not _read_name(data, one, two, row) or not _read_form(data, two, three, row):
            row[KIND] = CAREFULLY
            continue
        four = part_at[first + 3]
        row[AT], row[SIZE] = three, four - three
        if parts > 3 and part_at[first + 4] - four < _LARGEST_JSON:
            _read_time(data, four, part_at[first + 4], row)
        row[KIND] = IMAGE


class Reader:
    """Reads messages of stream V1."""

    name = "V1"

    def rows(self, parcel: Parcel) -> Rows:
        """Return where the image of each message is."""
        rows = new_rows(parcel.messages)
        _read(parcel.data, parcel.part_at, parcel.message_at, rows)
        return rows

    def events(self, parcel: Parcel, message: int) -> list[Event]:
        """Read a message that the loop has left, with care.

        Raises
        ------
        ProtocolError
            If it cannot be a message of stream V1, or is an image that cannot be
            taken.
        """
        parts = parcel.parts(message)
        return self.careful(parts, int(parcel.part_at[parcel.message_at[message]]))

    def careful(self, parts: list[memoryview], at: int = 0) -> list[Event]:
        """Read one message; `at` is where its bytes begin in a parcel."""
        if not parts:
            raise _wrong("an empty message")
        said = _loads(parts[0], "its first part")
        if said.get("htype") is None and len(parts) == 1:
            return [SeriesDescribed(facts_of_v1(said))]
        events = []
        for group in _groups(parts):
            events.append(_event(group, at))
            at += sum(map(len, group))
        return events


def _groups(parts: list[memoryview]) -> list[list[memoryview]]:
    """Cut a message at every part that begins another: some doubles glue them."""
    inner = [
        k
        for k in range(1, len(parts))
        if any(name in bytes(parts[k][:200]) for name in _BEGINNINGS)
    ]
    return [parts[a:b] for a, b in pairwise([0, *inner, len(parts)])]


def _event(parts: list[memoryview], at: int) -> Event:
    said = _loads(parts[0], "its first part")
    htype = said.get("htype")
    name = str(htype).removeprefix("d")
    if name == "image-1.0":
        return ImageRead(_image(said, parts, at))
    if name not in ("header-1.0", "series_end-1.0"):
        raise _wrong(f"'htype' is a header, an image or an end, not {htype!r:.40}")
    series = _number(said, "series")
    if name == "series_end-1.0":
        return SeriesEnded(series)
    facts: Mapping[str, Any] = {}
    if said.get("header_detail") in ("basic", "all") and len(parts) > 1:
        facts = _loads(parts[1], "its configuration")
    return SeriesStarted(series, facts_of_v1(facts))


def _image(said: Mapping[str, Any], parts: list[memoryview], at: int) -> Rows:
    number = _number(said, "frame")
    if len(parts) < 3:
        raise _wrong(f"image {number} has {len(parts)} parts; four are expected")
    form = _loads(parts[1], f"the form of image {number}")
    codec, element, swapped = v1_encoding(form.get("encoding"), number)
    if dtype_named(form.get("type")) is None:
        raise ProtocolError(
            f"image {number} has pixels of type {form.get('type')!r:.40}; uint8, "
            "uint16 and uint32 are taken",
            cause="wrong_dtype",
        )
    item = ITEMS[form["type"]]
    width, height = _sides(form.get("shape"), number)
    start = -1
    if len(parts) > 3:
        stamped = _loads(parts[3], f"the times of image {number}").get("start_time")
        start = stamped if type(stamped) is int and 0 <= stamped < 1 << 62 else -1
    return row_of(
        series=_number(said, "series"),
        number=number,
        start_ns=start,
        height=height,
        width=width,
        item=-item if swapped else item,
        codec=codec,
        element=element,
        at=at + len(parts[0]) + len(parts[1]),
        size=len(parts[2]),
    )


def _sides(shape: Any, number: int) -> tuple[int, int]:
    sides = shape if isinstance(shape, list) else []
    if (
        len(sides) not in (2, 3)
        or not all(type(side) is int and 1 <= side <= MOST_PIXELS for side in sides)
        or sides[2:] not in ([], [1])
    ):
        raise _wrong(f"image {number} has the shape {shape!r:.40}; [x, y] is expected")
    return sides[0], sides[1]


def _loads(part: memoryview, what: str) -> Mapping[str, Any]:
    if bytes(part[:3]) == b"\xd9\xd9\xf7" or bytes(part[:1]) == b"\xaa":
        raise ProtocolError(
            'the detector sends stream V2 (CBOR): set stream = "v2", or format = '
            "legacy on the detector",
            cause="wrong_stream",
        )
    if len(part) > _LARGEST_JSON:
        raise _wrong(f"{what} has {len(part)} bytes, which is too long for a header")
    try:
        said = from_json(bytes(part))
    except ValueError as error:
        raise _wrong(f"{what} is no JSON: {bytes(part[:40])!r}") from error
    if not isinstance(said, dict):
        raise _wrong(f"{what} is no JSON object: {bytes(part[:40])!r}")
    return said


def _number(said: Mapping[str, Any], name: str) -> int:
    value = said.get(name)
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise _wrong(f"'{name}' is a whole number, not {value!r:.40}")
    return value


def _wrong(message: str) -> ProtocolError:
    return ProtocolError(message, cause="malformed")
