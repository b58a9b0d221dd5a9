"""View offsets out of shifters, judged by the guard's core, on turned axes."""

import pytest
from tests.engine.test_view import STAGE, TURNED, Instrument, calibration, readback

from scopeside.control.effects import Send, Tell
from scopeside.control.guard import Guard
from scopeside.control.instrument import Readback
from scopeside.control.settings import ControlSettings
from scopeside.control.with_view import WithView
from scopeside.messages import validate

MS = 1_000_000


def pair(largest):
    one = {
        "min": -1e-5,
        "max": 1e-5,
        "step": largest,
        "excursion": 1e-5,
        "tolerance": 1e-8,
    }
    return {"every_s": 0.1, "x_m": one, "y_m": one}


@pytest.fixture
def scope(tmp_path):
    calibration(TURNED).save(tmp_path / "shift.json")
    calibration(STAGE, "stage").save(tmp_path / "stage.json")
    return Scope(tmp_path)


class Scope:
    """A guard and a microscope; commands are carried out as its process does it."""

    def __init__(self, folder):
        view = {
            "shifter": {
                "by": "image_shift",
                "calibration": ["shift.json"],
                "range_m": 1e-6,
            },
            "stage": {"calibration": ["stage.json"]},
        }
        table = {
            "mode": "advise",
            "adapter": {"kind": "some"},
            "view": view,
            "limits": {
                "set_view_offset": pair(4e-6),
                "set_image_shift": pair(2e-6),
                "move_stage": pair(4e-6),
            },
        }
        self.settings = validate(ControlSettings, table, folder=folder)
        self.now_ns = 10**18
        self.inner = Instrument()
        self.view = WithView(self.inner, self.settings.view, "some")
        self.view.open()
        self.guard = Guard(self.settings, self.view.actions, plan=self.view.plan)
        self.guard.beat(1, [], self.now_ns)
        self.guard.read(self.read(), self.now_ns)
        self.guard.ask({"ask": "advise", "id": "a"}, "anna", self.now_ns)
        self.asked = 0

    def read(self):
        return Readback(self.now_ns, self.view.read().values)

    def go(self, x_m, y_m):
        """Ask for a view offset; return what was sent and what was told."""
        self.now_ns += 300 * MS
        self.asked += 1
        self.guard.beat(1, [], self.now_ns)
        self.guard.read(self.read(), self.now_ns)
        request = {
            "ask": "do",
            "id": f"d{self.asked}",
            "action": "set_view_offset",
            "fields": {"x_m": x_m, "y_m": y_m},
        }
        effects = self.guard.ask(request, "anna", self.now_ns)
        for send in [one for one in effects if isinstance(one, Send)]:
            for call in send.calls:
                self.view.act(call)
            self.now_ns += 5 * MS
            done = (send.id, True, {}, "", self.read(), self.now_ns)
            effects += self.guard.answered(*done)
        sent = [c for e in effects if isinstance(e, Send) for c in e.calls]
        (told,) = [e for e in effects if isinstance(e, Tell)]
        return [call.action for call in sent], told


def test_a_small_offset_is_made_by_the_shifter_and_is_read_back(scope):
    sent, told = scope.go(3e-7, -2e-7)
    assert (sent, told.state) == (["set_image_shift"], "done")
    assert scope.read().number("view_offset_x_m") == pytest.approx(3e-7)
    assert scope.read().number("view_offset_y_m") == pytest.approx(-2e-7)


def test_a_large_one_is_handed_over_to_the_stage_and_mended_by_the_shifter(scope):
    assert scope.go(5e-7, 0.0)[0] == ["set_image_shift"]
    sent, told = scope.go(2e-6, 0.0)
    assert (sent, told.state) == (["move_stage", "set_image_shift"], "done")
    assert scope.read().number("image_shift_x_m") == 0.0
    assert scope.read().number("view_offset_x_m") == pytest.approx(2e-6)
    sent, told = scope.go(2.1e-6, 5e-8)
    assert (sent, told.state) == (["set_image_shift"], "done")
    assert scope.read().number("view_offset_y_m") == pytest.approx(5e-8)


def test_another_optical_state_is_refused_and_nothing_is_sent(scope):
    scope.inner.now = readback(mode="STEM")
    sent, told = scope.go(3e-7, 0.0)
    assert sent == []
    assert told.state == "refused"
    assert "view_offset_x_m is not read back" in told.reason


def test_a_call_of_the_plan_that_breaks_its_own_limits_is_refused(scope):
    scope.inner.now = readback(shift=(2.5e-6, 0.0))
    sent, told = scope.go(-2.2e-6, -1.2e-6)
    assert (sent, told.state, told.cause) == ([], "refused", "step")
    assert "set_image_shift.x_m = 0 lies 2.5e-06 from" in told.reason
