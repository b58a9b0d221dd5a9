"""What strangers send becomes plain values, or a ValueError, and nothing else."""

import json

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import hostile

from scopeside import wire
from scopeside.bluesky import plan_wire
from scopeside.errors import ProtocolError, ShapeError
from scopeside.strangers import DEEPEST, from_json, from_msgpack
from scopeside_adapters.channels import wire as samples
from scopeside_adapters.microscope import wire as control

PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text()
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
    ),
)


def nested(levels):
    value = None
    for k in range(levels):
        value = [value] if k % 2 else {"a": value}
    return value


@given(VALUES)
def test_plain_values_come_as_they_were_sent(value):
    assert from_msgpack(msgpack.packb(value)) == value
    assert from_json(json.dumps(value).encode()) == value


def test_it_may_be_nested_so_deep_and_no_deeper():
    deepest, deeper = nested(DEEPEST), nested(DEEPEST + 1)
    assert from_msgpack(msgpack.packb(deepest)) == deepest
    assert from_json(json.dumps(deepest).encode()) == deepest
    with pytest.raises(ValueError, match="deeper than 64 levels"):
        from_msgpack(msgpack.packb(deeper))
    with pytest.raises(ValueError, match="deeper than 64 levels"):
        from_json(json.dumps(deeper).encode())


def test_many_values_beside_each_other_are_not_deep():
    wide = {str(k): [[k]] for k in range(1000)}
    assert from_msgpack(msgpack.packb(wide)) == wide
    assert from_json(json.dumps(wide).encode()) == wide


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'["\\ud800"]',
        b'{"\\udfff": 1}',
        b"[" + b"9" * 5000 + b"]",
    ],
    ids=["bottomless", "half a letter", "half a name", "5000 digits"],
)
def test_what_no_message_could_hold_is_refused(text):
    with pytest.raises(ValueError, match=r"deeper|surrogates|digits"):
        from_json(text)


def test_whole_numbers_beyond_64_bits_are_floats():
    assert from_json(b"[18446744073709551615, -9223372036854775808]") == [
        (1 << 64) - 1,
        -(1 << 63),
    ]
    found = from_json(b"[18446744073709551616, -9223372036854775809]")
    assert [type(one) for one in found] == [float, float]
    assert from_json(b"9" * 400) == float("inf")


@given(st.binary())
def test_garbage_raises_a_value_error_and_nothing_else(data):
    for read in (from_msgpack, from_json):
        try:
            read(data)
        except ValueError:
            continue


# Found by fuzzing: a value a few hundred levels deep went into the text of an error,
# and its repr ended the process with a RecursionError. Such a proposal, of whoever may
# propose, ended the guard.
DEEP = nested(500)


def test_a_message_with_a_deep_header_is_refused():
    for decode in (wire.decode, wire.decode_own):
        with pytest.raises(ProtocolError, match="deeper than 64"):
            decode(wire.encode(wire.Kind.PROPOSAL, {"proposal": {"id": DEEP}}))


def test_a_deep_answer_of_a_microscope_is_refused():
    head = {"v": 1, "id": "a", "ok": True, "session": "s"}
    with pytest.raises(ProtocolError, match="deeper than 64"):
        control.parse_values(msgpack.packb({**head, "values": {"x_m": DEEP}}), "a")


def test_a_deep_request_to_a_run_engine_is_refused():
    with pytest.raises(ProtocolError, match="deeper than 64"):
        plan_wire.request(msgpack.packb({"v": 1, "op": DEEP}))


def test_a_deep_sample_is_refused():
    for data in (msgpack.packb({"name": DEEP}), json.dumps({"name": DEEP}).encode()):
        with pytest.raises(ProtocolError, match="deeper than 64"):
            samples.parse([data])


@pytest.mark.parametrize("field", ["id", "kind", "scan", "encoding", "metadata"])
def test_whatever_stands_in_an_acquisition_its_error_can_be_shown(field):
    plain = hostile.acquisition().to_dict()
    with pytest.raises(ShapeError):
        type(hostile.acquisition()).from_dict({**plain, field: [nested(900)]})
