"""The bluesky control adapter without bluesky: settings, units, a wrong peer."""

import threading
import time
from contextlib import ExitStack

import msgpack
import pytest
import zmq

from scopeside.bluesky import PlanLink
from scopeside.control.instrument import Call
from scopeside.errors import ConfigError, InstrumentError
from scopeside.messages import validate
from scopeside.plugins import instrument_class
from scopeside_adapters.microscope.bluesky import BlueskyInstrument, BlueskyParams

DEFOCUS = Call("set_defocus", {"defocus_m": -5e-7})


class Done:
    def wait(self, timeout):
        """At once."""


class Device:
    """As much of an ophyd device as the link uses."""

    def __init__(self, name, value=0.0):
        self.name, self.value = name, value

    def set(self, value):
        self.value = value
        return Done()

    def read(self):
        return {self.name: {"value": self.value}}


def params(**changes):
    table = {
        "endpoint": "tcp://127.0.0.1:1",
        "devices": {"set_defocus.defocus_m": {"device": "focus", "scale": 1e6}},
        "timeout_s": 5.0,
    }
    return validate(BlueskyParams, {**table, **changes}, where="control.adapter")


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def folder(tmp_path):
    tmp_path.chmod(0o700)
    return tmp_path


def connected(stack, **settings):
    found = BlueskyInstrument(params(**settings))
    stack.callback(found.close)
    found.open()
    return found


def plan(link, values=None):
    """Carry commands out as a plan would, till the link is stopped."""

    def work():
        while not link.stopped:
            if (call := link.take(0.05)) is not None:
                for name, value in call.values.items():
                    link.devices[name].set(value)
                link.answer(call.id, True, values=values or call.values)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


# -- settings -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"devices": {"set_focus.x": "f"}}, "did you mean 'set_defocus'"),
        ({"devices": {"set_defocus.x": "f"}}, "field 'set_defocus.x' is not known"),
        ({"devices": {"place_beam.points": "f"}}, "is not known"),
        ({"devices": {"pause": "f"}}, "is not known"),
        ({"devices": {"blank.on": {"device": "b", "scale": 2.0}}}, "have no scale"),
        ({"devices": {"set_defocus.defocus_m": {"device": "b", "scale": 0}}}, "scale"),
        ({"devices": {"set_defocus.defocus_m": ""}}, "text that is not empty"),
        ({"endpoint": "tcp://10.0.0.1:5"}, "both ends are on one machine"),
        ({"blank_endpoint": "tcp://127.0.0.1:5"}, "devices has no 'blank.on'"),
        ({"timeout_s": 0}, "more than 0"),
    ],
)
def test_a_wrong_setting_is_refused_in_words(changes, said):
    with pytest.raises(ConfigError, match=said):
        params(**changes)


@pytest.mark.parametrize(
    ("names", "actions"),
    [
        (["set_beam_shift.x_m"], set()),
        (["set_beam_shift.x_m", "set_beam_shift.y_m"], {"set_beam_shift"}),
        (["move_stage.alpha_rad"], {"move_stage"}),
        (["blank.on"], {"blank"}),
        ([], set()),
    ],
)
def test_an_action_can_be_done_if_all_that_it_needs_has_a_device(names, actions):
    found = BlueskyInstrument(params(devices=dict.fromkeys(names, "d")))
    assert found.actions == actions


def test_it_is_found_by_its_kind():
    assert instrument_class("bluesky") is BlueskyInstrument


# -- the link -----------------------------------------------------------------------


def test_units_are_converted_to_those_of_the_device_and_back(stack, folder):
    focus = Device("focus")
    link = stack.enter_context(PlanLink(f"ipc://{folder}/plan", [focus]))
    plan(link)
    found = connected(stack, endpoint=f"ipc://{folder}/plan", state={"mode": "stem"})
    assert found.act(DEFOCUS) == pytest.approx({"defocus_m": -5e-7})
    assert focus.value == pytest.approx(-0.5)
    before = time.time_ns()
    read = found.read()
    assert before <= read.t_ns <= time.time_ns()
    assert read.values == {"mode": "stem", "defocus_m": pytest.approx(-5e-7)}


@pytest.mark.parametrize("fields", [{"defocus_m": "1"}, {"defocus_m": None}])
def test_what_is_no_number_never_leaves(stack, folder, fields):
    link = stack.enter_context(PlanLink(f"ipc://{folder}/plan", [Device("focus")]))
    found = connected(stack, endpoint=f"ipc://{folder}/plan")
    with pytest.raises(InstrumentError, match="is no number"):
        found.act(Call("set_defocus", fields))
    assert not link.called


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_plans_end_refuses_what_is_not_finite(stack, folder, value):
    link = stack.enter_context(PlanLink(f"ipc://{folder}/plan", [Device("focus")]))
    found = connected(stack, endpoint=f"ipc://{folder}/plan")
    with pytest.raises(InstrumentError, match="is a finite number"):
        found.act(Call("set_defocus", {"defocus_m": value}))
    assert not link.called


def test_an_action_or_field_without_a_device_is_not_done(stack, folder):
    devices = {"move_stage.x_m": "focus"}
    stack.enter_context(PlanLink(f"ipc://{folder}/plan", [Device("focus")]))
    found = connected(stack, endpoint=f"ipc://{folder}/plan", devices=devices)
    with pytest.raises(InstrumentError, match="no devices are named for set_defocus"):
        found.act(DEFOCUS)
    with pytest.raises(
        InstrumentError, match=r"no device is named for move_stage\.y_m"
    ):
        found.act(Call("move_stage", {"x_m": 0.0, "y_m": 0.0}))


def test_a_device_that_the_plan_does_not_have_is_named_when_we_connect(stack, folder):
    stack.enter_context(PlanLink(f"ipc://{folder}/plan", [Device("other")]))
    with pytest.raises(InstrumentError, match=r"no device focus \(has: other\)"):
        connected(stack, endpoint=f"ipc://{folder}/plan")


def test_a_blanker_that_the_plan_does_not_have_is_named_when_we_connect(stack, folder):
    stack.enter_context(PlanLink(f"ipc://{folder}/plan", [Device("shutter")]))
    with pytest.raises(InstrumentError, match=r"no blanker shutter \(has: none\)"):
        connected(
            stack,
            endpoint=f"ipc://{folder}/plan",
            devices={"blank.on": "shutter"},
        )


@pytest.mark.parametrize("value", ["open", float("nan"), None])
def test_a_device_that_reads_no_number_is_an_error(stack, folder, value):
    stack.enter_context(PlanLink(f"ipc://{folder}/plan", [Device("focus", value)]))
    found = connected(stack, endpoint=f"ipc://{folder}/plan")
    with pytest.raises(InstrumentError, match="focus reads no finite number"):
        found.read()


def test_a_blanker_between_open_and_closed_is_an_error(stack, folder):
    blanker = Device("shutter", 0.5)
    stack.enter_context(PlanLink(f"ipc://{folder}/plan", [], blanker=blanker))
    found = connected(
        stack, endpoint=f"ipc://{folder}/plan", devices={"blank.on": "shutter"}
    )
    with pytest.raises(InstrumentError, match=r"shutter reads 0\.5"):
        found.read()


def test_on_the_direct_way_nothing_but_blanking_is_done(stack, folder):
    at = {"endpoint": f"ipc://{folder}/plan", "blank_endpoint": f"ipc://{folder}/blank"}
    blanker = Device("shutter", False)
    stack.enter_context(
        PlanLink(
            at["endpoint"], [], blanker=blanker, blank_endpoint=at["blank_endpoint"]
        )
    )
    found = connected(stack, **at, devices={"blank.on": "shutter"}, timeout_s=0.5)
    for op, fields in (
        ("set", {"action": "x", "values": {"shutter": 0}, "within_s": 1.0}),
        ("blank", {"on": False, "within_s": 1.0}),
    ):
        with pytest.raises(InstrumentError, match="blanked, nothing else"):
            found._ask(found._direct, op, **fields)
    assert blanker.value is False
    assert found.act(Call("blank", {"on": True})) == {"blanked": True}


# -- a peer that misbehaves ---------------------------------------------------------


@pytest.fixture
def peer(stack, folder):
    """A ROUTER that answers each message with what the test tells it to."""
    context = zmq.Context()
    stack.callback(context.destroy, linger=0)
    socket = context.socket(zmq.ROUTER)
    socket.bind(f"ipc://{folder}/plan")
    answers, heard, ends = [], [], threading.Event()

    def work():
        while not ends.is_set():
            if socket.poll(20):
                route, data = socket.recv_multipart()
                heard.append(msgpack.unpackb(data))
                if answers and (answer := answers.pop(0)) is not None:
                    socket.send_multipart([route, answer(heard[-1]["id"])])

    thread = threading.Thread(target=work)
    thread.start()
    stack.callback(socket.close, linger=0)
    stack.callback(thread.join)
    stack.callback(ends.set)
    return answers, heard


def good(ident):
    return msgpack.packb({"id": ident, "ok": True, "reason": "", "values": {}})


def test_a_silent_plan_is_an_error_and_the_command_is_called_off(stack, folder, peer):
    answers, heard = peer
    answers += [good, None]
    found = connected(stack, endpoint=f"ipc://{folder}/plan", timeout_s=0.2)
    with pytest.raises(InstrumentError, match="did not answer set within"):
        found.act(DEFOCUS)
    ends = time.monotonic() + 10
    while len(heard) < 3 and time.monotonic() < ends:
        time.sleep(0.005)
    assert [one["op"] for one in heard] == ["hello", "set", "cancel"]
    assert heard[2]["of"] == heard[1]["id"]


@pytest.mark.parametrize(
    "garbage",
    [
        lambda _: b"",
        lambda _: b"\xc1",
        lambda i: msgpack.packb({"id": i}),
        lambda i: msgpack.packb({"id": i, "ok": 1, "reason": "", "values": {}}),
        lambda i: msgpack.packb(
            {"id": i, "ok": True, "reason": "", "values": {"focus": "x"}}
        ),
    ],
)
def test_garbage_from_the_plan_is_an_error(stack, folder, peer, garbage):
    peer[0].extend([good, garbage])
    found = connected(stack, endpoint=f"ipc://{folder}/plan")
    with pytest.raises(InstrumentError, match="the plan's process"):
        found.act(DEFOCUS)


def test_an_answer_to_something_else_is_passed_over(stack, folder, peer):
    peer[0].extend([good, lambda _: good("another")])
    found = connected(stack, endpoint=f"ipc://{folder}/plan", timeout_s=0.2)
    with pytest.raises(InstrumentError, match="did not answer"):
        found.act(DEFOCUS)


def test_nobody_there_is_said_and_nothing_is_left_behind(stack, folder):
    found = BlueskyInstrument(params(endpoint=f"ipc://{folder}/plan", timeout_s=0.2))
    (said,) = found.check()
    assert "nobody listens" in said
    with pytest.raises(InstrumentError, match="not connected"):
        found.read()
    found.close()
    found.close()
