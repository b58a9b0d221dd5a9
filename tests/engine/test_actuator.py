"""The threads that act, blank and stop: nothing waits, nothing is left pending."""

import contextlib
import os
import threading
import time

import pytest
import zmq
from tests.engine.scope_in_folder import Scope, calls, state, write
from tests.engine.small import eventually

from scopeside.control import blanker as blanker_module
from scopeside.control import stopper as stopper_module
from scopeside.control.actuator import Actuator, Order
from scopeside.control.blanker import Blanker
from scopeside.control.clock import FramesClock, WallClock
from scopeside.control.connection import Connection, plain
from scopeside.control.effects import Send
from scopeside.control.guard_process import GuardProcess
from scopeside.control.hold import Hold
from scopeside.control.instrument import Call, Readback
from scopeside.control.news import (
    Answered,
    Blanked,
    Lost,
    Orphaned,
    Post,
    Read,
    Stopped,
)
from scopeside.control.stopper import Stopper, Watch
from scopeside.errors import InstrumentError
from scopeside.wire import Kind, decode_own, encode

EVER_NS = 1 << 62
SHIFT = Call("set_beam_shift", {"x_m": 1e-9, "y_m": 0.0})
LIGHT = Call("blank", {"on": False})


class Bench:
    """Actuator, blanker and hold around a microscope in a folder."""

    def __init__(self, folder, closing):
        self.folder = folder
        self.hold = Hold()
        self.post, self.heard = Post(), Post()
        self.news = []
        params = Scope.Params(folder=folder)
        self.blanker = Blanker(Connection(Scope(params)), [self.post, self.heard])
        self.actuator = Actuator(
            Connection(Scope(params)),
            blanker=self.blanker,
            post=self.post,
            hold=self.hold,
            clock=WallClock(),
            read_every_s=0.02,
        )
        closing.callback(self._close)
        self.blanker.start()
        self.actuator.start()

    def _close(self):
        (self.folder / "hangs").unlink(missing_ok=True)
        self.actuator.stop(5)
        self.blanker.stop(5)
        self.post.close()
        self.heard.close()

    def until(self, kind, having=lambda _: True):
        """Wait for news of a kind and return it."""

        def found():
            return [n for n in self.news if isinstance(n, kind) and having(n)]

        def turn():
            time.sleep(0.001)
            self.news += self.post.take()

        eventually(found, turn, kind.__name__)
        return found()[0]

    def send(self, *those, name="1", deadline_ns=EVER_NS, hold=None):
        number = self.hold.number if hold is None else hold
        self.actuator.order(
            Order(Send(name, those, deadline_ns), number, self.blanker.asked)
        )

    def answered(self, *those, **how):
        self.send(*those, **how)
        return self.until(Answered)


@pytest.fixture
def closing():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def bench(tmp_path, closing):
    made = Bench(tmp_path, closing)
    made.until(Read)
    return made


def test_an_order_is_carried_out_and_read_back(bench):
    answer = bench.answered(SHIFT, Call("blank", {"on": False}))
    assert (answer.id, answer.ok, answer.reason) == ("1", True, "")
    said = answer.answer["calls"]
    assert [one["action"] for one in said] == ["set_beam_shift", "blank"]
    assert answer.readback.values["beam_shift_x_m"] == 1e-9
    assert answer.readback.values["blanked"] is False


def test_what_was_ordered_before_a_hold_is_not_begun(bench):
    bench.hold.ask()
    answer = bench.answered(SHIFT, hold=0)
    assert not answer.ok
    assert "held" in answer.reason
    assert calls(bench.folder, "set_beam_shift") == []


def test_a_hold_between_two_calls_keeps_the_second_from_being_begun(bench):
    (bench.folder / "hangs").touch()
    bench.send(SHIFT, Call("set_defocus", {"defocus_m": 1e-6}))
    eventually(lambda: calls(bench.folder, "set_beam_shift"), lambda: time.sleep(0.001))
    bench.hold.ask()
    (bench.folder / "hangs").unlink()
    answer = bench.until(Answered)
    assert not answer.ok
    assert "1 of 2 calls were done" in answer.reason
    assert calls(bench.folder, "set_defocus") == []


def test_a_park_between_two_calls_keeps_the_second_from_being_begun(bench):
    (bench.folder / "hangs").touch()
    those = (SHIFT, Call("set_defocus", {"defocus_m": 1e-6}))
    order = Order(Send("1", those, EVER_NS), 0, 0)
    bench.actuator.order(order)
    eventually(lambda: calls(bench.folder, "set_beam_shift"), lambda: time.sleep(0.001))
    order.cancelled.set()
    (bench.folder / "hangs").unlink()
    assert "parked" in bench.until(Answered).reason
    assert calls(bench.folder, "set_defocus") == []


def test_an_order_given_after_a_hold_is_carried_out(bench):
    bench.hold.ask()
    assert bench.answered(SHIFT).ok


def test_an_order_is_not_begun_after_its_deadline(bench):
    answer = bench.answered(SHIFT, deadline_ns=time.time_ns() - 10_000_000)
    assert not answer.ok
    assert "deadline" in answer.reason
    assert calls(bench.folder, "set_beam_shift") == []


def test_what_the_instrument_refuses_is_said_and_nothing_follows(bench):
    (bench.folder / "refuses").touch()
    answer = bench.answered(SHIFT, LIGHT)
    assert not answer.ok
    assert answer.reason == "set_beam_shift: not now (0 of 2 calls were done)"
    assert calls(bench.folder, "blank") == []
    assert answer.readback is not None


def test_an_instrument_that_goes_away_is_said_and_found_again(bench):
    (bench.folder / "gone").touch()
    assert bench.until(Lost).reason == "nobody answers"
    assert "no connection" in bench.answered(SHIFT).reason
    (bench.folder / "gone").unlink()
    bench.news.clear()
    bench.until(Read)


def test_an_instrument_that_is_not_there_at_first_is_waited_for(tmp_path, closing):
    (tmp_path / "gone").touch()
    bench = Bench(tmp_path, closing)
    bench.until(Lost)
    (tmp_path / "gone").unlink()
    bench.until(Read)
    assert bench.answered(SHIFT).ok


def test_a_blank_does_not_wait_for_a_command_in_flight(bench):
    (bench.folder / "hangs").touch()
    bench.send(SHIFT)
    eventually(lambda: calls(bench.folder, "set_beam_shift"), lambda: time.sleep(0.001))
    number = bench.blanker.blank("test")
    assert bench.until(Blanked) == Blanked(number, True, "", True)
    assert state(bench.folder)["blanked"] is True
    assert calls(bench.folder, "set_beam_shift done") == []


def test_a_beam_let_on_by_a_call_in_flight_is_blanked_again(bench):
    (bench.folder / "hangs").touch()
    bench.send(LIGHT)
    eventually(lambda: calls(bench.folder, "blank"), lambda: time.sleep(0.001))
    number = bench.blanker.blank("test")
    bench.until(Blanked)
    (bench.folder / "hangs").unlink()
    bench.until(Blanked, lambda news: news.number > number)
    assert state(bench.folder)["blanked"] is True


def test_a_beam_let_on_after_a_blank_stays_on(bench):
    bench.blanker.blank("test")
    bench.until(Blanked)
    bench.hold.ask()
    assert bench.answered(LIGHT).ok
    assert state(bench.folder)["blanked"] is False
    assert bench.blanker.asked == 1


@pytest.mark.parametrize("enforced", [True, False])
def test_a_guard_that_fails_by_an_error_of_its_own_holds_and_blanks(bench, enforced):
    process = GuardProcess.__new__(GuardProcess)
    process._hold, process._blanker = bench.hold, bench.blanker
    process._watch = Watch(enforced=enforced)
    process.fail()
    assert bench.hold.number == 1
    assert state(bench.folder).get("blanked", False) is enforced


def test_a_blank_that_fails_is_tried_again_until_it_works(bench):
    (bench.folder / "dark").touch()
    bench.blanker.blank("test")
    first = bench.until(Blanked)
    assert (first.ok, first.last) == (False, False)
    assert "the blanker is stuck; it is tried again" in first.reason
    assert bench.blanker.busy
    (bench.folder / "dark").unlink()
    assert bench.until(Blanked, lambda news: news.last).ok
    assert not bench.blanker.busy
    assert state(bench.folder)["blanked"] is True


def test_a_blank_is_given_up_after_a_time(bench, monkeypatch):
    monkeypatch.setattr(blanker_module, "GIVE_UP_S", 0.0)
    (bench.folder / "dark").touch()
    bench.blanker.blank("test")
    assert not bench.until(Blanked, lambda news: news.last).ok
    assert not bench.blanker.busy


def test_an_instrument_that_reads_back_not_blanked_is_not_believed(bench, monkeypatch):
    monkeypatch.setattr(Scope, "act", lambda self, call: {})
    write(bench.folder / "blanked.value", "false")
    bench.blanker.blank("test")
    assert "reads back not blanked" in bench.until(Blanked).reason


def test_without_an_instrument_a_blank_fails_at_once(closing):
    post = Post()
    closing.callback(post.close)
    blanker = Blanker(None, [post])
    closing.callback(blanker.stop, 5)
    blanker.start()
    number = blanker.blank("test")
    news = []
    eventually(lambda: news, lambda: news.extend(post.take()), "an answer")
    assert news == [Blanked(number, False, "there is no instrument", True)]


# -- the connection ----------------------------------------------------------------


class Odd:
    actions = frozenset()

    def __init__(self, values):
        self.values = values

    def open(self):
        raise ValueError("what is this")

    def close(self):
        raise OSError("cannot")

    def read(self):
        return self.values


def test_whatever_a_plug_in_raises_is_an_instrument_error():
    connection = Connection(Odd({}))
    with pytest.raises(InstrumentError, match="ValueError: what is this"):
        connection.open()
    assert connection.close() == "OSError: cannot"


@pytest.mark.parametrize(
    "found",
    [
        None,
        {"a": 1.0},
        Readback(1.5, {}),
        Readback(1, {"a": float("nan")}),
        Readback(1, {"a": float("inf")}),
        Readback(1, {"a": None}),
        Readback(1, {"a": [1.0]}),
    ],
)
def test_a_read_back_that_cannot_be_is_an_error(found):
    with pytest.raises(InstrumentError):
        Connection(Odd(found)).read()


def test_an_answer_becomes_plain_values():
    found = plain({"a": [1, 2.5, None, True], 3: float("nan"), "b": object})
    assert found == {
        "a": [1, 2.5, None, True],
        "3": "nan",
        "b": "<class 'object'>",
    }


def test_the_clock_of_frames_moves_with_them_and_never_back():
    clock = FramesClock()
    assert clock.now_ns() == 0
    for t_ns in (5, 3, 9):
        clock.hear(t_ns)
    assert clock.now_ns() == 9


# -- the stopper -------------------------------------------------------------------


class Stop:
    """A stopper, and a person who talks to it."""

    def __init__(self, bench, folder, closing, parent=None):
        self.bench = bench
        self.watch = Watch()
        endpoint = f"ipc://{folder}/stop"
        self.stopper = Stopper(
            endpoint,
            hold=bench.hold,
            blanker=bench.blanker,
            post=bench.post,
            heard=bench.heard,
            watch=self.watch,
            parent=os.getppid() if parent is None else parent,
            silence_s=0.05,
        )
        closing.callback(self.stopper.stop)
        self.stopper.start()
        self.context = zmq.Context()
        closing.callback(self.context.destroy, linger=0)
        self.person = self.context.socket(zmq.DEALER)
        closing.callback(self.person.close, linger=0)
        self.person.connect(endpoint)

    def asks(self, **header):
        self.person.send_multipart(encode(Kind.ASK, header))
        return self.answer()

    def answer(self):
        assert self.person.poll(20_000), "no answer"
        return decode_own(self.person.recv_multipart()).header


@pytest.fixture
def stop(bench, tmp_path, closing):
    return Stop(bench, tmp_path, closing)


def test_a_hold_is_answered_and_told_to_the_main_loop(stop):
    answer = stop.asks(ask="hold", id="7", who="anna")
    assert (answer["id"], answer["ok"]) == ("7", True)
    assert stop.bench.hold.number == 1
    assert stop.bench.until(Stopped) == Stopped(1, "hold", "anna", "")
    assert calls(stop.bench.folder, "blank") == []


def test_a_blank_is_answered_when_the_beam_is_blanked(stop):
    answer = stop.asks(ask="blank", id="7", who="anna")
    assert (answer["ok"], answer["state"]) == (True, "done")
    assert state(stop.bench.folder)["blanked"] is True
    assert stop.bench.until(Stopped) == Stopped(1, "blank", "anna", "")


def test_a_blank_that_fails_is_answered_so(stop):
    (stop.bench.folder / "dark").touch()
    answer = stop.asks(ask="blank", id="7", who="anna")
    assert not answer["ok"]
    assert "stuck" in answer["reason"]


@pytest.mark.parametrize("ask", ["unblank", "arm", None, 5, ["hold"]])
def test_nothing_else_can_be_asked_of_the_stopper(stop, ask):
    answer = stop.asks(ask=ask, id="7", who="anna")
    assert not answer["ok"]
    assert stop.bench.hold.number == 0


def test_garbage_does_not_harm_the_stopper(stop):
    for parts in ([b""], [b"SF"], [b"SF\1\145", b"\xc1"], [b"x"] * 100):
        stop.person.send_multipart(parts)
    assert stop.asks(ask="hold", id=b"\xff", who=[1])["ok"]
    assert stop.bench.until(Stopped).who == "somebody"


def test_a_main_loop_that_stands_still_is_held_and_blanked(stop):
    stop.watch.enforced = True
    stop.watch.turned = time.monotonic() - 1
    assert "stood still" in stop.bench.until(Stopped).reason
    assert stop.bench.until(Blanked).ok
    assert stop.bench.hold.number == 1


def test_without_a_budget_a_main_loop_that_stands_still_is_held_only(stop):
    stop.watch.turned = time.monotonic() - 1
    stop.bench.until(Stopped)
    assert stop.bench.blanker.asked == 0


def test_a_supervisor_that_is_gone_is_noticed(bench, tmp_path, closing):
    stop = Stop(bench, tmp_path, closing, parent=-1)
    assert "supervisor" in bench.until(Stopped).reason
    bench.until(Orphaned)
    assert stop.bench.blanker.asked == 0


def test_an_orphan_whose_main_loop_hangs_ends_itself(
    bench, tmp_path, closing, monkeypatch
):
    exits = []
    monkeypatch.setattr(stopper_module, "GONE_S", 0.01)
    monkeypatch.setattr(os, "_exit", exits.append)
    Stop(bench, tmp_path, closing, parent=-1)
    eventually(lambda: exits, lambda: time.sleep(0.001), "the end")
    assert exits[0] == 3


def test_an_orphan_does_not_end_itself_while_a_blank_is_tried(
    bench, tmp_path, closing, monkeypatch
):
    exits = []
    monkeypatch.setattr(stopper_module, "GONE_S", 0.01)
    monkeypatch.setattr(os, "_exit", exits.append)
    (bench.folder / "dark").touch()
    stop = Stop(bench, tmp_path, closing)
    assert not stop.asks(ask="blank", id="1")["ok"]
    stop.stopper._parent = -1
    bench.until(Orphaned)
    assert stop.asks(ask="hold", id="2")["ok"]
    assert exits == []
    (bench.folder / "dark").unlink()
    eventually(lambda: exits, lambda: time.sleep(0.001), "the end")
    assert state(bench.folder)["blanked"] is True


def test_threads_end_when_they_are_told_to(tmp_path):
    before = threading.active_count()
    with contextlib.ExitStack() as closing:
        Bench(tmp_path, closing).until(Read)
    assert threading.active_count() == before
