"""Commands and results against bluesky, bluesky-adaptive and ophyd themselves."""

import asyncio
import os
import subprocess
import sys
import threading
import time
import tomllib
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest

from scopeside.bluesky import PlanLink, ScopesideOptimizer, follow, problem
from scopeside.bluesky.documents import Documents
from scopeside.bluesky.plans import until_called
from scopeside.bluesky.publish import DocumentSocket
from scopeside.bluesky.serial import loads
from scopeside.control.instrument import Call
from scopeside.errors import InstrumentError
from scopeside.messages import validate
from scopeside.result import Result
from scopeside_adapters.microscope.bluesky import BlueskyInstrument

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.peers

RunEngine = pytest.importorskip(
    "bluesky.run_engine", reason="bluesky is not installed (extra bluesky)"
).RunEngine
SynAxis = pytest.importorskip(
    "ophyd.sim", reason="ophyd is not installed (extra bluesky)"
).SynAxis

SHIFT = Call("set_beam_shift", {"x_m": 2e-9, "y_m": -1e-9})
TABLE = {
    "set_beam_shift.x_m": {"device": "shift_x", "scale": 1e9},
    "set_beam_shift.y_m": {"device": "shift_y", "scale": 1e9},
    "move_stage.x_m": {"device": "stage_x", "scale": 1e3},
    "blank.on": "blanker",
}


class Broken(SynAxis):
    """A device that cannot be set."""

    def set(self, value):
        raise ValueError("the axis is jammed")


class Slow(SynAxis):
    """A device that arrives when it is told to."""

    def __init__(self, **more):
        super().__init__(**more)
        self.began, self.arrive = threading.Event(), threading.Event()

    def set(self, value):
        status = super().set(value)
        held = type(status)(positioner=self, target=value)
        self.began.set()

        def hold():
            self.arrive.wait(30)
            held.set_finished()

        threading.Thread(target=hold, daemon=True).start()
        return held


class Asynchronous:
    """A device that is read in an event loop, as those of ophyd-async are."""

    def __init__(self, name):
        self._axis, self.name, self.parent = SynAxis(name=name), name, None
        self.set = self._axis.set

    async def read(self):
        await asyncio.sleep(0)
        return self._axis.read()

    async def describe(self):
        return self._axis.describe()

    async def read_configuration(self):
        return {}

    async def describe_configuration(self):
        return {}


class Lab:
    """A RunEngine with four devices, and the guard's two connections to it."""

    def __init__(self, folder, stack, stage=SynAxis, **settings):
        folder.chmod(0o700)
        self.stack = stack
        self.plan_at = f"ipc://{folder}/plan"
        self.blank_at = f"ipc://{folder}/blank"
        self.devices = {
            name: SynAxis(name=name) for name in ("shift_x", "shift_y", "blanker")
        }
        self.devices["stage_x"] = stage(name="stage_x")
        self.documents = []
        self.engine = RunEngine({}, context_managers=[])
        self.engine.subscribe(lambda name, doc: self.documents.append((name, doc)))
        stack.callback(self.stop_engine)
        self.link = None
        self.settings = settings
        self.error = None

    def stop_engine(self):
        loop = self.engine.loop
        loop.call_soon_threadsafe(loop.stop)
        self.engine._th.join(20)
        loop.close()

    def listen(self, names=("shift_x", "shift_y", "stage_x"), *, direct=False):
        self.link = self.stack.enter_context(
            PlanLink(
                self.plan_at,
                [self.devices[name] for name in names],
                blanker=self.devices["blanker"],
                blank_endpoint=self.blank_at if direct else "",
                loop=self.engine.loop,
            )
        )
        return self.link

    def run(self, plan):
        """Let the RunEngine do a plan, beside the test."""

        def work():
            try:
                self.engine(plan)
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                self.error = error

        thread = threading.Thread(target=work, daemon=True)
        thread.start()

        def end():
            self.link.stop()
            thread.join(20)
            assert not thread.is_alive()

        self.stack.callback(end)
        return end

    def guard(self, **settings):
        table = {"endpoint": self.plan_at, "devices": TABLE, **self.settings}
        params = validate(BlueskyInstrument.Params, {**table, **settings})
        found = BlueskyInstrument(params)
        self.stack.callback(found.close)
        found.open()
        return found

    def events(self):
        return [doc for name, doc in self.documents if name == "event"]


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def lab(tmp_path, stack):
    return Lab(tmp_path, stack)


# -- our own plan -------------------------------------------------------------------


def test_a_plan_carries_out_what_the_guard_sends_and_the_guard_hears_the_read_back(lab):
    end = lab.run(follow(lab.listen()))
    guard = lab.guard()
    assert guard.act(SHIFT) == pytest.approx(
        {"beam_shift_x_m": 2e-9, "beam_shift_y_m": -1e-9}
    )
    assert lab.devices["shift_x"].position == pytest.approx(2.0)
    assert guard.act(Call("move_stage", {"x_m": 1e-6})) == pytest.approx(
        {"stage_x_m": 1e-6}
    )
    assert guard.read().values == pytest.approx(
        {
            "beam_shift_x_m": 2e-9,
            "beam_shift_y_m": -1e-9,
            "stage_x_m": 1e-6,
            "blanked": False,
        }
    )
    assert guard.actions == {"set_beam_shift", "move_stage", "blank"}
    end()
    assert [name for name, _ in lab.documents] == [
        "start",
        "descriptor",
        "event",
        "descriptor",
        "event",
        "stop",
    ]
    assert lab.events()[0]["data"]["shift_x"] == pytest.approx(2.0)
    assert lab.documents[-1][1]["exit_status"] == "success"


def test_a_device_that_is_read_in_the_engines_loop_is_read_there(tmp_path, stack):
    lab = Lab(tmp_path, stack, stage=Asynchronous)
    lab.run(follow(lab.listen()))
    guard = lab.guard()
    assert guard.read().values["stage_x_m"] == 0.0
    moved = guard.act(Call("move_stage", {"x_m": 1e-6}))
    assert moved == pytest.approx({"stage_x_m": 1e-6})
    assert guard.read().values["stage_x_m"] == pytest.approx(1e-6)


def test_a_device_that_fails_is_told_and_the_plan_goes_on(tmp_path, stack):
    lab = Lab(tmp_path, stack, stage=Broken)
    lab.run(follow(lab.listen()))
    guard = lab.guard()
    with pytest.raises(InstrumentError, match="the axis is jammed"):
        guard.act(Call("move_stage", {"x_m": 1e-6}))
    assert guard.act(SHIFT)


def test_a_plan_that_is_stopped_answers_what_it_had_begun(tmp_path, stack):
    lab = Lab(tmp_path, stack, stage=Slow)
    lab.run(follow(lab.listen()))
    guard = lab.guard()
    stage = lab.devices["stage_x"]

    def stop():
        stage.began.wait(20)
        lab.engine.request_pause(defer=False)
        while lab.engine.state != "paused":
            time.sleep(0.01)
        lab.engine.abort()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(InstrumentError, match="the plan was stopped"):
        guard.act(Call("move_stage", {"x_m": 1e-6}))
    thread.join()
    stage.arrive.set()
    assert type(lab.error).__name__ == "RunEngineInterrupted"


def test_without_a_plan_a_command_is_called_off_and_never_begun(lab):
    link = lab.listen()
    guard = lab.guard(timeout_s=0.3)
    with pytest.raises(InstrumentError, match="did not answer set within"):
        guard.act(SHIFT)
    until(lambda: not link.called)
    lab.run(follow(link))
    assert guard.read().values["beam_shift_x_m"] == 0.0
    assert not lab.events()


def test_a_guard_that_dies_leaves_nothing_pending(lab):
    link = lab.listen()
    guard = lab.guard(timeout_s=1.0)
    thread = threading.Thread(target=attempt, args=(guard, SHIFT))
    thread.start()
    until(lambda: link.called)
    killed = guard._plan
    # As a kill would: the connection goes and nothing is called off.
    killed.disconnect(lab.plan_at)
    until(lambda: not link.called)
    thread.join()
    assert link.take() is None


def test_a_second_guard_is_refused_while_the_first_one_lives(lab):
    lab.listen()
    first, second = lab.guard(), lab.guard()
    second._owner = "scopeside 1"
    with pytest.raises(InstrumentError, match="another guard"):
        second.read()
    assert first.read()


# -- blanking -----------------------------------------------------------------------


def test_the_beam_is_blanked_beside_a_busy_plan_where_there_is_a_way(tmp_path, stack):
    lab = Lab(tmp_path, stack, stage=Slow)
    link = lab.listen(direct=True)
    lab.run(follow(link))
    acts = lab.guard(blank_endpoint=lab.blank_at)
    blanks = lab.guard(blank_endpoint=lab.blank_at)
    moving = threading.Thread(
        target=attempt, args=(acts, Call("move_stage", {"x_m": 1e-6}))
    )
    moving.start()
    assert lab.devices["stage_x"].began.wait(20)
    assert blanks.act(Call("blank", {"on": True})) == {"blanked": True}
    assert moving.is_alive()
    lab.devices["stage_x"].arrive.set()
    moving.join(20)


def test_without_that_way_a_busy_plan_cannot_blank_and_it_is_said(tmp_path, stack):
    lab = Lab(tmp_path, stack, stage=Slow)
    lab.run(follow(lab.listen()))
    acts, blanks = lab.guard(), lab.guard(timeout_s=0.3)
    moving = threading.Thread(
        target=attempt, args=(acts, Call("move_stage", {"x_m": 1e-6}))
    )
    moving.start()
    assert lab.devices["stage_x"].began.wait(20)
    with pytest.raises(InstrumentError, match="THE BEAM IS NOT BLANKED"):
        blanks.act(Call("blank", {"on": True}))
    lab.devices["stage_x"].arrive.set()
    moving.join(20)
    assert lab.devices["blanker"].position == 0


def test_a_plan_that_is_idle_blanks_and_unblanks(lab):
    lab.run(follow(lab.listen()))
    guard = lab.guard()
    assert guard.act(Call("blank", {"on": True})) == {"blanked": True}
    assert guard.act(Call("blank", {"on": False})) == {"blanked": False}


def test_letting_the_beam_on_is_always_the_plans(lab):
    lab.listen(direct=True)
    guard = lab.guard(blank_endpoint=lab.blank_at, timeout_s=0.3)
    assert guard.act(Call("blank", {"on": True})) == {"blanked": True}
    with pytest.raises(InstrumentError, match="did not answer blank"):
        guard.act(Call("blank", {"on": False}))
    assert guard.read().values["blanked"] is True


# -- bluesky-adaptive ---------------------------------------------------------------


@pytest.fixture
def adaptive():
    return pytest.importorskip(
        "bluesky_adaptive.plans", reason="bluesky-adaptive >= 1.0 is not installed"
    )


def test_optimize_of_bluesky_adaptive_consumes_our_commands(lab, adaptive):
    from bluesky_adaptive.protocols import Optimizer, TrialFaultAware

    link = lab.listen(("shift_x", "shift_y"))
    optimizer = ScopesideOptimizer(link)
    assert isinstance(optimizer, Optimizer)
    assert isinstance(optimizer, TrialFaultAware)
    lab.run(adaptive.optimize(problem(optimizer), iterations=3))
    devices = {key: TABLE[key] for key in TABLE if "stage" not in key}
    guard = lab.guard(devices=devices)
    for k in range(3):
        asked = {"x_m": k * 1e-9, "y_m": -k * 1e-9}
        answer = guard.act(Call("set_beam_shift", asked))
        assert answer == pytest.approx(
            {"beam_shift_x_m": k * 1e-9, "beam_shift_y_m": -k * 1e-9}
        )
    until(lambda: lab.documents and lab.documents[-1][0] == "stop")
    assert lab.error is None
    assert lab.documents[-1][1]["num_events"] == {"commands": 3, "primary": 3}


def test_until_called_waits_without_holding_up_the_engine(lab, adaptive):
    link = lab.listen(("shift_x", "shift_y"))
    one = problem(ScopesideOptimizer(link))

    def plan():
        while (yield from until_called(link)):
            yield from adaptive.optimize(one)

    lab.run(plan())
    devices = {key: TABLE[key] for key in TABLE if "stage" not in key}
    guard = lab.guard(devices=devices)
    assert guard.act(SHIFT)
    assert guard.act(SHIFT)


def test_a_plan_of_bluesky_adaptive_that_fails_is_the_guards_answer(
    tmp_path, stack, adaptive
):
    lab = Lab(tmp_path, stack, stage=Broken)
    lab.run(adaptive.optimize(problem(ScopesideOptimizer(lab.listen(("stage_x",))))))
    guard = lab.guard(devices={"move_stage.x_m": "stage_x"})
    with pytest.raises(InstrumentError, match="the plan failed"):
        guard.act(Call("move_stage", {"x_m": 1e-6}))
    until(lambda: lab.error is not None)
    assert "jammed" in str(lab.error)


def test_a_command_for_other_devices_than_the_plans_is_refused(lab, adaptive):
    link = lab.listen()
    optimizer = ScopesideOptimizer(link, ["shift_x", "shift_y"])
    lab.run(adaptive.optimize(problem(optimizer)))
    guard = lab.guard()
    with pytest.raises(InstrumentError, match="sets shift_x, shift_y together"):
        guard.act(Call("move_stage", {"x_m": 1e-6}))
    assert guard.act(SHIFT)


# -- documents ----------------------------------------------------------------------


def results():
    meta = {"acq": "m1", "chain": "c", "processor": "sum", "t_frame_ns": 10**18}
    meta["t_published_ns"] = 10**18
    image = np.arange(6, dtype=np.uint16).reshape(2, 3)
    yield Result("image", image, axes=("y", "x"), meta={**meta, "final": False})
    yield Result("mean", 2.5, units="counts", meta={**meta, "final": True})
    yield Result("found", {"row": 1}, meta={**meta, "final": True})
    yield Result("image", 2 * image, axes=("y", "x"), meta={**meta, "final": True})


def test_our_documents_are_those_of_the_event_model():
    event_model = pytest.importorskip("event_model")
    documents = Documents({"sample": "gold"})
    found = [one for result in results() for one in documents.take(result)]
    found += documents.end()
    validators = event_model.schema_validators
    for name, document in found:
        validators[event_model.DocumentNames[name]].validate(document)
    assert found[-1][1]["exit_status"] == "success"


def test_a_remote_dispatcher_of_bluesky_reads_what_we_publish(stack):
    from bluesky.callbacks.zmq import RemoteDispatcher

    out = stack.enter_context(DocumentSocket("tcp://127.0.0.1:0", prefix="scope"))
    loop = asyncio.new_event_loop()
    heard = []
    dispatcher = RemoteDispatcher(
        out.endpoint, prefix=b"scope", loop=loop, deserializer=loads, strict=True
    )
    dispatcher.subscribe(lambda name, document: heard.append((name, document)))

    def listen():
        with suppress(asyncio.CancelledError):
            dispatcher.start()

    thread = threading.Thread(target=listen)
    thread.start()
    documents = Documents()

    def begun():
        out.send([("start", {"uid": "before", "time": 0.0})])
        return heard

    until(begun)
    for result in results():
        out.send(documents.take(result))
    out.send(documents.end())
    until(lambda: heard[-1][0] == "stop")
    loop.call_soon_threadsafe(dispatcher._task.cancel)
    thread.join(20)
    ours = [(name, one) for name, one in heard if one["uid"] != "before"]
    assert [name for name, _ in ours] == [
        "start",
        "descriptor",
        "event",
        "descriptor",
        "event",
        "descriptor",
        "event",
        "event",
        "stop",
    ]
    assert ours[-2][1]["data"]["c_sum_image"].tolist() == [[0, 2, 4], [6, 8, 10]]


# -- the example --------------------------------------------------------------------


def test_the_example_plan_does_what_the_guard_asks(tmp_path, stack):
    tmp_path.chmod(0o700)
    table = tomllib.loads((EXAMPLES / "bluesky_plan.toml").read_text("utf-8"))
    adapter = dict(table["control"]["adapter"])
    assert adapter.pop("kind") == "bluesky"
    adapter["endpoint"] = f"ipc://{tmp_path}/plan"
    adapter["blank_endpoint"] = f"ipc://{tmp_path}/blank"
    program = subprocess.Popen(
        [sys.executable, EXAMPLES / "bluesky_plan.py", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    stack.callback(program.wait, 20)
    stack.callback(program.kill)
    guard = BlueskyInstrument(validate(BlueskyInstrument.Params, adapter))
    stack.callback(guard.close)
    until(lambda: not guard.check())
    guard.open()
    assert guard.act(SHIFT) == pytest.approx(
        {"beam_shift_x_m": 2e-9, "beam_shift_y_m": -1e-9}
    )
    assert guard.act(Call("move_stage", {"x_m": 1e-6})) == pytest.approx(
        {"stage_x_m": 1e-6}
    )
    assert guard.act(Call("blank", {"on": True})) == {"blanked": True}
    assert guard.actions <= set(table["control"]["limits"]) | {"blank"}


def attempt(guard, call):
    with suppress(InstrumentError):
        guard.act(call)


def until(true, patience_s=20.0):
    ends = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.005)
