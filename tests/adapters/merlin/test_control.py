"""Requests and replies of the control socket."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside.errors import ProtocolError
from scopeside_adapters.merlin.control import ControlParser, Reply, encode, parse_reply

REPLIES = encode("GET,NUMFRAMESTOACQUIRE,1,0") + encode("CMD,STARTACQUISITION,0")
PAYLOADS = ["GET,NUMFRAMESTOACQUIRE,1,0", "CMD,STARTACQUISITION,0"]


def test_a_request_is_encoded_as_the_specification_shows():
    assert encode("GET,NUMFRAMESTOACQUIRE") == b"MPX,0000000023,GET,NUMFRAMESTOACQUIRE"
    assert encode("CMD,STARTACQUISITION") == b"MPX,0000000021,CMD,STARTACQUISITION"


@given(st.lists(st.integers(0, len(REPLIES)), max_size=6).map(sorted))
def test_it_does_not_matter_where_the_network_cuts(cuts):
    parser, edges = ControlParser(), [0, *cuts, len(REPLIES)]
    found = [p for a, b in pairwise(edges) for p in parser.feed(REPLIES[a:b])]
    assert found == PAYLOADS


def one_too_small(payload):
    return b"MPX,%010d,%s" % (len(payload), payload.encode())


@given(st.integers(0, 60))
def test_a_length_that_is_one_too_small_is_accepted(cut):
    data = b"".join(one_too_small(payload) for payload in PAYLOADS)
    parser = ControlParser()
    assert parser.feed(data[:cut]) + parser.feed(data[cut:]) == PAYLOADS


def test_stray_bytes_and_nul_are_passed_over():
    parser = ControlParser()
    data = b"\0\0stray" + encode("SET,GAIN\0,0") + b"MPX,nonsense......" + REPLIES
    assert parser.feed(data) == ["SET,GAIN,0", *PAYLOADS]


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_garbage_raises_a_protocol_error_and_nothing_else(pieces):
    parser = ControlParser()
    for piece in pieces:
        try:
            parser.feed(piece)
        except ProtocolError:
            return


@pytest.mark.parametrize(
    "data",
    [b"HTTP/1.1 400 Bad Request\r\n", b"<html>", b"SSH-2.0-x", b"x" * (1 << 17)],
)
def test_another_program_is_recognised(data):
    with pytest.raises(ProtocolError, match="expected a reply b'MPX,…', got"):
        ControlParser().feed(data)


def test_a_huge_reply_is_refused_before_it_is_stored():
    with pytest.raises(ProtocolError, match="of 9999999998 bytes; at most 65536"):
        ControlParser().feed(b"MPX,9999999999,GET,")


def test_values_may_hold_commas():
    reply = parse_reply("GET,FILENAME,C:\\a,b,c.mib,0")
    assert reply == Reply("GET", "FILENAME", "C:\\a,b,c.mib", 0)


@pytest.mark.parametrize(
    ("error", "words"),
    [(0, ""), (1, "busy"), (2, "not recognised"), (3, "out of range"), (9, "error 9")],
)
def test_an_error_is_told_in_words(error, words):
    assert words in parse_reply(f"SET,GAIN,{error}").problem


@pytest.mark.parametrize(
    "payload", ["", "GET", "PUT,X,0", "SET,GAIN,", "SET,,0", "x,y"]
)
def test_what_is_no_reply_is_refused(payload):
    with pytest.raises(ProtocolError, match="expected a reply"):
        parse_reply(payload)


def test_many_beginnings_of_nothing_are_passed_over():
    # Found by fuzzing: each was a call within a call, up to a RecursionError.
    assert ControlParser().feed(b"MPX," * 10_000 + REPLIES) == PAYLOADS


@pytest.mark.parametrize("digit", "²³¹")
def test_an_error_in_digits_that_are_none_is_refused(digit):
    # Found by fuzzing: str.isdigit takes them, and int raised a ValueError.
    with pytest.raises(ProtocolError, match="expected a reply"):
        parse_reply(f"GET,GAIN,1,{digit}")
