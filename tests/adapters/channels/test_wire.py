"""Messages with samples, and those that are none."""

import json
import re
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside.errors import ProtocolError
from scopeside_adapters.channels.wire import MAX_MESSAGE, parse

NAN, INF = float("nan"), float("inf")


def packed(**fields):
    return msgpack.packb({"name": "t", "t_ns": 5, "value": 1.5, **fields})


@pytest.mark.parametrize("pack", [msgpack.packb, lambda v: json.dumps(v).encode()])
def test_one_sample_or_many_as_msgpack_or_json(pack):
    found = parse([pack({"name": "t", "t_ns": 5, "value": 1})])
    assert (found.name, found.unit) == ("t", None)
    assert (found.times.tolist(), found.values.tolist()) == ([5], [1.0])
    many = {"name": "t", "t_ns": [5, 6], "value": [1.5, -2], "unit": "K"}
    found = parse([pack(many)])
    assert (found.times.tolist(), found.values.tolist()) == ([5, 6], [1.5, -2.0])
    assert found.unit == "K"


def test_a_topic_may_come_before():
    assert parse([b"lab/t", packed()]).name == "t"


@pytest.mark.parametrize(
    ("parts", "cause"),
    [
        ([], "truncated"),
        ([b""], "truncated"),
        ([b"a", b"b", packed()], "oversized"),
        ([b"x" * (MAX_MESSAGE + 1)], "oversized"),
        ([b"hello"], "wrong_message"),
        ([b"{"], "wrong_message"),
        ([b"[" * 50_000], "wrong_message"),
        ([b'{"a":' * 10_000], "wrong_message"),
        ([b"\x91" * 50_000], "wrong_message"),
        ([b"\xdd\xff\xff\xff\xff"], "wrong_message"),
        ([b"{}"], "wrong_message"),
        ([packed()[:-1]], "wrong_message"),
        ([packed() + b"x"], "wrong_message"),
        ([packed(name=7)], "wrong_message"),
        ([packed(name="")], "wrong_message"),
        ([packed(name="n" * 200)], "wrong_message"),
        ([packed(unit=1)], "wrong_message"),
        ([packed(t_ns=[1, 2])], "wrong_message"),
        ([packed(t_ns=None)], "wrong_value"),
        ([packed(t_ns=1.5)], "wrong_value"),
        ([packed(t_ns=True)], "wrong_value"),
        ([packed(t_ns=-1)], "wrong_value"),
        ([packed(t_ns=1 << 62)], "wrong_value"),
        ([packed(value=None)], "wrong_value"),
        ([packed(value="hot")], "wrong_value"),
        ([packed(value=NAN)], "wrong_value"),
        ([packed(value=INF)], "wrong_value"),
        ([packed(value=True)], "wrong_value"),
        ([b'{"name":"t","t_ns":1,"value":1e999}'], "wrong_value"),
        ([b'{"name":"t","t_ns":1,"value":' + b"9" * 400 + b"}"], "wrong_value"),
        ([b'{"name":"t","t_ns":1,"value":' + b"9" * 5000 + b"}"], "wrong_message"),
    ],
)
def test_what_is_no_sample_is_refused_with_its_cause(parts, cause):
    with pytest.raises(ProtocolError) as refused:
        parse(parts)
    assert refused.value.cause == cause


@given(st.lists(st.binary(max_size=100), max_size=3))
def test_garbage_raises_protocol_errors_and_nothing_else(parts):
    try:
        parse(parts)
    except ProtocolError:
        return


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats()
    | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(
    st.fixed_dictionaries(
        {}, optional={"name": PLAIN, "t_ns": PLAIN, "value": PLAIN, "unit": PLAIN}
    )
)
def test_fields_of_any_kind_raise_protocol_errors_and_nothing_else(fields):
    try:
        found = parse([msgpack.packb(fields)])
    except ProtocolError:
        return
    assert len(found.times) == len(found.values)


def test_the_examples_of_the_documentation_are_one_and_the_same():
    page = (Path(__file__).parents[3] / "docs/wire.md").read_text(encoding="utf-8")
    section = page.partition("# Sample wire")[2].partition("# Results wire")[0]
    as_json, as_hex = (
        re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)[1]
        for language in ("json", "hex")
    )
    found = [parse([as_json.encode()]), parse([bytes.fromhex(as_hex)])]
    for name, times, values, unit in found:
        assert (name, unit) == ("temperature", "degC")
        assert (times.tolist(), values.tolist()) == ([1767225600000000000], [21.5])
