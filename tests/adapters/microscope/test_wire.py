"""Answers on the control wire are read exactly, and garbage is a ProtocolError."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside.control.instrument import Call
from scopeside.errors import ProtocolError
from scopeside_adapters.microscope import wire

PARSERS = [wire.parse_hello, wire.parse_values, wire.parse_done]
GOOD = {
    "v": 1,
    "id": "a",
    "ok": True,
    "session": "s",
    "name": "EM 3",
    "actions": ["blank"],
    "now_ns": 5,
    "values": {"blanked": False, "defocus_m": 1, "mode": "TEM"},
}
TEXT = st.text(max_size=5)
PLAIN = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | TEXT
)
ANYTHING = (
    PLAIN | st.lists(PLAIN, max_size=3) | st.dictionaries(PLAIN, PLAIN, max_size=3)
)


def packed(**about):
    return msgpack.packb({**GOOD, **about})


def test_requests_are_as_they_are_documented():
    assert msgpack.unpackb(wire.hello("a")) == {"v": 1, "id": "a", "ask": "hello"}
    assert msgpack.unpackb(wire.read("a")) == {"v": 1, "id": "a", "ask": "read"}
    call = Call("blank", {"on": True})
    assert msgpack.unpackb(wire.command("a", call, session="s", deadline_ns=7)) == {
        "v": 1,
        "id": "a",
        "ask": "command",
        "action": "blank",
        "fields": {"on": True},
        "deadline_ns": 7,
        "session": "s",
    }


def test_good_answers_are_read():
    hello = wire.Hello("s", "EM 3", frozenset({"blank"}), 5)
    assert wire.parse_hello(packed(), "a") == hello
    values = {"blanked": False, "defocus_m": 1.0, "mode": "TEM"}
    assert wire.parse_values(packed(), "a") == wire.Values("s", values)
    assert wire.parse_done(packed(answer={"n": 2}), "a") == wire.Done("s", {"n": 2.0})
    assert wire.parse_done(packed(), "a") == wire.Done("s", {})


@pytest.mark.parametrize("parse", PARSERS)
def test_a_refusal_is_read_in_the_words_of_the_peer(parse):
    assert parse(packed(ok=False, reason="no"), "a") == wire.Refused("no")


@pytest.mark.parametrize(
    ("parse", "about", "cause", "words"),
    [
        (wire.parse_hello, {"v": 2}, "wrong_version", "got v = 2"),
        (wire.parse_hello, {"v": True}, "wrong_version", "got v = True"),
        (wire.parse_hello, {"id": "b"}, "other_id", "expected the answer to 'a'"),
        (wire.parse_hello, {"ok": 1}, "wrong_value", "ok is true or false"),
        (wire.parse_hello, {"session": ""}, "wrong_value", "session is a text"),
        (wire.parse_hello, {"name": "x" * 501}, "wrong_value", "name is a text"),
        (wire.parse_hello, {"actions": "blank"}, "wrong_value", "actions is a list"),
        (wire.parse_hello, {"actions": [1]}, "wrong_value", "actions is a list"),
        (wire.parse_hello, {"now_ns": -1}, "wrong_value", "now_ns is a time"),
        (wire.parse_hello, {"now_ns": 1.0}, "wrong_value", "now_ns is a time"),
        (wire.parse_values, {"values": []}, "wrong_value", "values is a map"),
        (
            wire.parse_values,
            {"values": {str(k): k for k in range(1001)}},
            "wrong_value",
            "at most 1000",
        ),
        (wire.parse_values, {"values": {1: 2}}, "wrong_message", "not msgpack"),
        (
            wire.parse_values,
            {"values": {"x": float("nan")}},
            "wrong_value",
            r"values\.x is a finite number",
        ),
        (wire.parse_values, {"values": {"x": None}}, "wrong_value", "not None"),
        (wire.parse_values, {"values": {"x": "y" * 501}}, "wrong_value", "short text"),
        (wire.parse_done, {"answer": [1]}, "wrong_value", "answer is a map"),
        (wire.parse_done, {"ok": False}, "wrong_value", "reason is a text"),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(parse, about, cause, words):
    with pytest.raises(ProtocolError, match=words) as caught:
        parse(packed(**about), "a")
    assert caught.value.cause == cause


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91" * 3000, msgpack.packb([1])])
def test_what_is_no_message_is_refused(data):
    with pytest.raises(ProtocolError):
        wire.parse_done(data, "a")


def test_an_answer_that_is_too_large_is_refused_unread():
    with pytest.raises(ProtocolError, match="1048576 bytes at most"):
        wire.parse_done(bytes(wire.LARGEST_ANSWER + 1), "a")


@given(st.sampled_from(PARSERS), st.binary(max_size=100))
def test_garbage_is_never_an_answer(parse, data):
    with pytest.raises(ProtocolError):
        parse(data, "a")


@given(
    st.sampled_from(PARSERS),
    st.dictionaries(st.sampled_from([*GOOD, "reason", "answer"]), ANYTHING),
)
def test_whatever_a_map_holds_it_is_read_or_refused(parse, about):
    try:
        found = parse(packed(**about), "a")
    except ProtocolError:
        return
    if isinstance(found, wire.Values):
        assert all(isinstance(v, float | bool | str) for v in found.values.values())
