"""What needs no bluesky: documents, their bytes, the wire to a plan, the queue."""

import json
from contextlib import suppress

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside.bluesky import PlanLink, ScopesideOptimizer
from scopeside.bluesky.documents import LARGEST, Documents
from scopeside.bluesky.plan_wire import (
    MAX_BYTES,
    Reply,
    Request,
    checked_endpoint,
    reply,
    request,
)
from scopeside.bluesky.publish import DocumentSocket
from scopeside.bluesky.serial import dumps, loads
from scopeside.bluesky.waiting import Waiting
from scopeside.errors import ConfigError, ProtocolError
from scopeside.result import Result

# -- documents ----------------------------------------------------------------------


def result(name="mean", data=1.5, acq="m1", *, final=False, frame=0, **more):
    meta = {
        "acq": acq,
        "chain": "c",
        "processor": "sum",
        "final": final,
        "t_frame_ns": 10**9 * (frame + 1),
        "t_published_ns": 10**9 * (frame + 1) + 5 * 10**8,
    }
    return Result(name, data, first=0, frame=frame, used=frame + 1, meta=meta, **more)


def test_an_acquisition_is_a_run_and_a_quantity_a_stream():
    documents = Documents({"sample": "gold"})
    found = documents.take(result(units="counts"))
    found += documents.take(result(frame=1, data=2.5, units="counts", final=True))
    assert documents.complete
    found += documents.end()
    assert [name for name, _ in found] == [
        "start",
        "descriptor",
        "event",
        "event",
        "stop",
    ]
    start, descriptor, first, second, stop = (document for _, document in found)
    assert (start["acquisition"], start["sample"], start["time"]) == ("m1", "gold", 1.5)
    key = descriptor["data_keys"]["c_sum_mean"]
    assert (key["dtype"], key["shape"], key["units"]) == ("number", [], "counts")
    assert descriptor["run_start"] == stop["run_start"] == start["uid"]
    assert first["descriptor"] == second["descriptor"] == descriptor["uid"]
    assert second["data"]["c_sum_mean"] == 2.5
    assert second["data"]["c_sum_mean_last_frame"] == 1
    assert second["timestamps"]["c_sum_mean"] == 2.0
    assert (first["seq_num"], second["seq_num"]) == (1, 2)
    assert stop["exit_status"] == "success"
    assert stop["num_events"] == {"c_sum_mean": 2}


def test_a_run_whose_last_values_did_not_come_is_no_success():
    documents = Documents()
    documents.take(result())
    ((_, stop),) = documents.end()
    assert stop["exit_status"] == "abort"
    assert stop["reason"] == "no last value of c_sum_mean"
    assert documents.end() == []


def test_the_next_acquisition_ends_the_run():
    documents = Documents()
    documents.take(result(final=True))
    names = [name for name, _ in documents.take(result(acq="m2"))]
    assert names == ["stop", "start", "descriptor", "event"]


def test_an_array_of_another_shape_has_a_descriptor_of_its_own():
    documents = Documents()
    names = [
        name
        for length in (2, 2, 3)
        for name, _ in documents.take(result(data=np.zeros(length), axes=("frame",)))
    ]
    assert names == ["start", "descriptor", "event", "event", "descriptor", "event"]


def test_a_table_of_values_is_json_and_an_invalid_result_has_none():
    documents = Documents()
    event = documents.take(result(data={"row": 1, "found": True}))[-1][1]
    assert json.loads(event["data"]["c_sum_mean"]) == {"row": 1, "found": True}
    event = documents.take(result(data=None, valid=False, reason="no frames"))[-1][1]
    assert "c_sum_mean" not in event["data"]
    assert event["data"]["c_sum_mean_reason"] == "no frames"


def test_what_does_not_stand_on_all_frames_is_a_stream_of_its_own_with_its_mask():
    documents = Documents()
    mask = np.array([True, False])
    found = documents.take(result(data=np.zeros(2), mask=mask))
    found += documents.take(result(data=None, valid=False))
    found += documents.take(result(data=np.ones(2), final=True))
    assert documents.complete
    names = [one["name"] for name, one in found if name == "descriptor"]
    assert names == ["c_sum_mean_partial", "c_sum_mean_none", "c_sum_mean"]
    assert found[2][1]["data"]["c_sum_mean_mask"] is mask
    counts = documents.end()[0][1]["num_events"]
    assert counts == {"c_sum_mean_partial": 1, "c_sum_mean_none": 1, "c_sum_mean": 1}


def test_an_array_too_large_for_an_event_is_left_out_and_counted():
    documents = Documents()
    large = np.zeros(LARGEST + 1, np.uint8)
    event = documents.take(result(data=large))[-1][1]
    assert "c_sum_mean" not in event["data"]
    assert event["data"]["c_sum_mean_valid"] is True
    assert documents.left_out == 1


# -- their bytes --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["<f8", ">u2", "?", "<i4", "<c16"])
def test_an_array_comes_back_as_it_was(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    found = loads(dumps({"data": {"a": array, "n": np.float32(0.5)}}))
    np.testing.assert_array_equal(found["data"]["a"], array)
    assert found["data"]["n"] == 0.5


def test_objects_do_not_travel():
    with pytest.raises(TypeError):
        dumps({"a": np.array([object()])})
    forged = {"__array__": "|O", "shape": [1], "data": b"\0" * 8}
    with pytest.raises(ValueError, match="holds numbers"):
        loads(msgpack.packb(forged))


@pytest.mark.parametrize(
    "forged",
    [
        {"__array__": "<f8", "shape": [1 << 40], "data": b""},
        {"__array__": "<f8", "shape": [-1], "data": b"\0" * 8},
        {"__array__": "<f8", "shape": ["x"], "data": b""},
        {"__array__": "<f8"},
        {"__array__": 7, "shape": [], "data": b""},
    ],
)
def test_a_forged_array_is_refused(forged):
    with pytest.raises(ValueError, match=r"array|document|dtype"):
        loads(msgpack.packb(forged))


@given(st.binary(max_size=200))
def test_garbage_is_a_document_or_a_value_error(data):
    with suppress(ValueError):
        loads(data)


def test_documents_are_published_on_this_machine_only():
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1"):
        DocumentSocket("tcp://0.0.0.0:5568")
    with pytest.raises(ConfigError, match="no spaces"):
        DocumentSocket("tcp://127.0.0.1:0", prefix="a b")


# -- the wire to a plan -------------------------------------------------------------

ASKED = [
    Request("1", "hello", "g", devices=("a",), blanker="b"),
    Request("1", "read", "g", devices=("a",)),
    Request("1", "set", "g", action="x", values={"a": 1.5, "b": True}, within_s=2.0),
    Request("1", "blank", "g", on=False, within_s=2.0),
    Request("1", "cancel", "g", of="0"),
]


@pytest.mark.parametrize("asked", ASKED)
def test_a_request_comes_through(asked):
    assert request(asked.pack()) == asked


def test_an_answer_comes_through():
    said = Reply("1", False, "jammed", {"a": 1.5})
    assert reply(said.pack()) == said


def changed(**changes):
    values = msgpack.unpackb(ASKED[2].pack())
    values.update(changes)
    return msgpack.packb({k: v for k, v in values.items() if v is not ...})


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "wrong_header"),
        (b"\xc1", "wrong_header"),
        (msgpack.packb([1]), "wrong_header"),
        (msgpack.packb({1: 2}), "wrong_header"),
        (b"x" * (MAX_BYTES + 1), "oversized"),
        (changed(v=2), "wrong_version"),
        (changed(op="eval"), "wrong_kind"),
        (changed(op=["set"]), "wrong_kind"),
        (changed(values={"a": float("nan")}), "wrong_header"),
        (changed(values={"a": float("inf")}), "wrong_header"),
        (changed(values={"a": "1"}), "wrong_header"),
        (changed(values={1: 1}), "wrong_header"),
        (changed(values=[1]), "wrong_header"),
        (changed(within_s=0), "wrong_header"),
        (changed(within_s=float("nan")), "wrong_header"),
        (changed(within_s=True), "wrong_header"),
        (changed(action="x" * 501), "wrong_header"),
        (changed(more=1), "wrong_header"),
        (changed(within_s=...), "wrong_header"),
    ],
)
def test_a_request_that_is_none_is_refused(data, cause):
    with pytest.raises(ProtocolError) as refused:
        request(data)
    assert refused.value.cause == cause


@given(st.binary(max_size=80))
def test_garbage_is_a_protocol_error(data):
    for read in (request, reply):
        with pytest.raises(ProtocolError):
            read(data)


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://10.0.0.1:5", "tcp://*:5", "tcp://host:5", "ipc://x", "inproc://x", ""],
)
def test_another_machine_is_no_end_of_this_link(endpoint):
    with pytest.raises(ValueError, match="both ends are on one machine"):
        checked_endpoint(endpoint)


# -- waiting ------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def asked(ident, op="set", within_s=1.0):
    return Request(
        ident, op, "g", action="" if op == "blank" else "x", within_s=within_s
    )


def test_commands_wait_in_turn_but_a_blank_goes_first():
    waiting = Waiting(Clock())
    for one in (asked("1"), asked("2"), asked("3", "blank")):
        assert waiting.put(one, {}) == ""
    assert [waiting.take()[0].id for _ in range(3)] == ["3", "1", "2"]
    assert waiting.take() == (None, [])


def test_a_command_that_waited_too_long_is_not_begun():
    clock = Clock()
    waiting = Waiting(clock)
    waiting.put(asked("1", within_s=1.0), {})
    waiting.put(asked("2", within_s=3.0), {})
    clock.now = 1.0
    call, late = waiting.take()
    assert call.id == "2"
    assert [(one.id, one.ok) for one in late] == [("1", False)]


def test_no_more_than_a_few_wait_and_none_after_the_end():
    waiting = Waiting(Clock())
    for k in range(Waiting.MOST):
        assert waiting.put(asked(str(k)), {}) == ""
    assert "wait for the plan already" in waiting.put(asked("x"), {})
    assert len(waiting.drop("gone", {"1", "2"})) == 2
    waiting.close()
    assert waiting.put(asked("x"), {}) == "the plan has ended"


class Device:
    def __init__(self, name):
        self.name = name

    def set(self, value):
        """Not called here."""

    def read(self):
        return {self.name: {"value": 1.0}}


@pytest.mark.parametrize(
    ("devices", "more", "said"),
    [
        ([object()], {}, "no device with a name"),
        ([Device("a"), Device("a")], {}, "two devices are called 'a'"),
        ([], {"blank_endpoint": "tcp://127.0.0.1:0"}, "needs a blanker"),
    ],
)
def test_a_link_that_cannot_be_is_refused(devices, more, said):
    with pytest.raises(ConfigError, match=said):
        PlanLink("tcp://127.0.0.1:0", devices, **more)


def test_a_link_in_a_folder_that_is_open_to_others_is_refused(tmp_path):
    tmp_path.chmod(0o755)
    with pytest.raises(ConfigError, match="closed to others"):
        PlanLink(f"ipc://{tmp_path}/plan", [])


def test_an_optimizer_for_devices_that_are_not_there_is_refused():
    with (
        PlanLink("tcp://127.0.0.1:0", [Device("a")]) as link,
        pytest.raises(ConfigError, match="has no device b"),
    ):
        ScopesideOptimizer(link, ["b"])
