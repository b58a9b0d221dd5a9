"""The envelope: what goes in comes out, and garbage has a cause."""

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside.errors import ProtocolError
from scopeside.wire import (
    MAGIC,
    MAX_HEADER,
    MAX_PARTS,
    VERSION,
    Kind,
    decode,
    decode_own,
    encode,
)

CAUSES = {
    "truncated",
    "wrong_magic",
    "wrong_version",
    "wrong_kind",
    "oversized",
    "wrong_header",
}
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)
HEADERS = st.dictionaries(st.text(max_size=6), VALUES, max_size=5)
PAYLOADS = st.lists(st.binary(max_size=20), max_size=5)


def cause_of(parts):
    with pytest.raises(ProtocolError) as caught:
        decode(parts)
    return caught.value.cause


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(Kind), HEADERS, PAYLOADS)
def test_what_goes_in_comes_out(kind, header, payload):
    message = decode(encode(kind, header, payload))
    assert message.kind is kind
    assert message.header == header
    assert [bytes(part) for part in message.payload] == payload


@settings(deadline=None, max_examples=300)
@given(st.lists(st.binary(max_size=40), max_size=5))
def test_garbage_raises_a_protocol_error_with_a_cause(parts):
    assert cause_of(parts) in CAUSES


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60))
def test_a_garbled_header_raises_nothing_else(header):
    try:
        found = decode([MAGIC + bytes((VERSION, Kind.BATCH)), header])
        cause = "wrong_header"
        assert all(isinstance(key, str) for key in found.header)
    except ProtocolError as error:
        cause = error.cause
    assert cause == "wrong_header"


@settings(deadline=None, max_examples=100)
@given(HEADERS, st.integers(0, 200), st.integers(0, 255))
def test_one_wrong_byte_raises_nothing_else(header, at, byte):
    parts = [bytearray(part) for part in encode(Kind.START, header)]
    part = parts[at % 2]
    part[at % len(part)] = byte
    try:
        decode(parts)
        cause = "wrong_header"
    except ProtocolError as error:
        cause = error.cause
    assert cause in CAUSES


def test_the_payload_is_not_copied():
    pixels = bytearray(b"abcd")
    found = decode(encode(Kind.BATCH, {}, [pixels]))
    pixels[0] = ord("z")
    assert bytes(found.payload[0]) == b"zbcd"


@pytest.mark.parametrize(
    ("parts", "cause"),
    [
        ([], "truncated"),
        ([b"SF\x01\x02"], "truncated"),
        ([b"SF\x01", b"\x80"], "truncated"),
        ([b"SF\x01\x02\x00", b"\x80"], "truncated"),
        ([b"", b"\x80"], "wrong_magic"),
        ([b"HTTP", b"\x80"], "wrong_magic"),
        ([b"SF\x02\x02", b"\x80"], "wrong_version"),
        ([b"SF\x01\xff", b"\x80"], "wrong_kind"),
        ([b"SF\x01\x00", b"\x80"], "wrong_kind"),
        ([b"SF\x01\x02", b""], "wrong_header"),
        ([b"SF\x01\x02", b"\x90"], "wrong_header"),
        ([b"SF\x01\x02", b"\x81\x01\x01"], "wrong_header"),
        ([b"SF\x01\x02", b"\x80\x80"], "wrong_header"),
        ([b"SF\x01\x02", b"\x90" * 2000], "wrong_header"),
        ([b"SF\x01\x02", b"\xdd\xff\xff\xff\xff"], "wrong_header"),
        ([b"SF\x01\x02", b"\x80", *[b""] * MAX_PARTS], "oversized"),
        ([b"SF\x01\x02", bytes(MAX_HEADER + 1)], "oversized"),
    ],
)
def test_every_offence_has_its_cause(parts, cause):
    assert cause_of(parts) == cause


def test_the_message_names_both_versions():
    with pytest.raises(ProtocolError, match=r"is version 1 .*, got version 7"):
        decode([b"SF\x07\x01", b"\x80"])


def test_our_own_messages_may_be_as_large_as_they_must():
    header = {"runs": [[k, k] for k in range(200_000)]}
    parts = encode(Kind.PART, header, [b"x"] * 300)
    assert len(parts[1]) > MAX_HEADER
    found = decode_own(parts)
    assert found.header == header
    assert len(found.payload) == 300


def test_the_envelope_is_what_other_languages_are_told():
    assert encode(Kind.BATCH, {"a": 1}) == [b"SF\x01\x02", msgpack.packb({"a": 1})]
