"""The laws of a control adapter: one that keeps them passes, a broken one does not."""

import threading
import time

import pytest

from scopeside.control.actions import checked, targets
from scopeside.control.instrument import Call, Readback
from scopeside.control.trial import check_instrument
from scopeside.errors import InstrumentError, RefusedError

CALLS = [
    Call("set_beam_shift", {"x_m": 1e-9, "y_m": -2e-9}),
    Call("move_stage", {"x_m": 1e-6}),
]
FAR = 3e-6


class Double:
    """An instrument in this process; every connection shares `settings`."""

    actions = frozenset({"set_beam_shift", "move_stage", "blank"})

    def __init__(self, settings):
        self.settings = settings
        self.is_open = False

    def check(self):
        return []

    def open(self):
        self.is_open = True

    def close(self):
        self.is_open = False

    def read(self):
        if not self.is_open:
            raise InstrumentError("it is not open")
        return Readback(time.time_ns(), dict(self.settings))

    def act(self, call):
        if not self.is_open:
            raise InstrumentError("it is not open")
        if call.action not in self.actions:
            raise InstrumentError(f"it cannot {call.action}")
        try:
            fields = checked(call.action, call.fields)
        except RefusedError as error:
            raise InstrumentError(str(error)) from error
        self.set(targets(call.action, fields))
        return {"done": True}

    def set(self, wanted):
        self.settings.update(wanted)


def new_settings():
    return {
        "beam_shift_x_m": 0.0,
        "beam_shift_y_m": 0.0,
        "stage_x_m": 0.0,
        "blanked": False,
        "mode": "TEM",
    }


def maker(cls):
    settings = new_settings()
    return lambda: cls(settings)


def test_an_instrument_that_keeps_the_laws_passes():
    check_instrument(maker(Double), CALLS)


def test_a_blank_beside_a_command_passes():
    arrived = threading.Event()

    class Slow(Double):
        def act(self, call):
            if call.fields.get("x_m") == FAR:
                arrived.clear()
                arrived.wait(10)
            return super().act(call)

        def read(self):
            arrived.set()  # the trial reads when it has blanked
            return super().read()

    check_instrument(maker(Slow), CALLS, busy=Call("move_stage", {"x_m": FAR}))


def broken(law):
    return pytest.raises(AssertionError, match=f"^law: .*{law}")


def test_an_action_that_nobody_knows_is_found():
    class Broken(Double):
        actions = Double.actions | {"explode"}

    with broken("explode"):
        check_instrument(maker(Broken), CALLS)


def test_an_action_that_is_not_tried_is_found():
    with broken("there is no call of .*move_stage"):
        check_instrument(maker(Double), CALLS[:1])


def test_one_that_clamps_is_found():
    class Broken(Double):
        def set(self, wanted):
            self.settings.update(
                {
                    k: v if v is True or v is False else min(v, 1e-10)
                    for k, v in wanted.items()
                }
            )

    with broken("set_beam_shift set beam_shift_x_m to 1e-09; it reads 1e-10"):
        check_instrument(maker(Broken), CALLS)


def test_the_tolerance_is_kept():
    class Coarse(Double):
        def set(self, wanted):
            self.settings.update(
                {k: v + 1e-8 if k == "stage_x_m" else v for k, v in wanted.items()}
            )

    check_instrument(maker(Coarse), CALLS, tolerance={"stage_x_m": 2e-8})
    with broken("move_stage set stage_x_m"):
        check_instrument(maker(Coarse), CALLS, tolerance={"stage_x_m": 5e-9})


def test_one_that_does_what_it_does_not_offer_is_found():
    class Broken(Double):
        def act(self, call):
            return {} if call.action == "set_fov" else super().act(call)

    with broken("set_fov.* raises InstrumentError"):
        check_instrument(maker(Broken), CALLS)


def test_one_that_takes_nan_is_found():
    class Broken(Double):
        def act(self, call):
            if call.action == "move_stage" and len(call.fields) == 1:
                return self.set({"stage_x_m": call.fields["x_m"]}) or {}
            return super().act(call)

    with broken("nan.* raises InstrumentError"):
        check_instrument(maker(Broken), CALLS)


def test_one_that_acts_before_it_refuses_is_found():
    class Broken(Double):
        def act(self, call):
            if "volume_dB" in call.fields:
                self.settings["stage_x_m"] = 5.0
            return super().act(call)

    with broken("what is refused changes nothing: .*stage_x_m"):
        check_instrument(maker(Broken), CALLS)


def test_connections_that_see_different_things_are_found():
    class Broken(Double):
        def __init__(self, settings):
            super().__init__(dict(settings))

    with broken("set_beam_shift set beam_shift_x_m"):
        check_instrument(maker(Broken), CALLS)


def test_one_that_answers_when_it_is_closed_is_found():
    class Broken(Double):
        def close(self):
            pass

    with broken(r"read\(\) after close\(\) raises"):
        check_instrument(maker(Broken), CALLS)


def test_a_readback_that_is_not_plain_is_found():
    class Broken(Double):
        def read(self):
            found = super().read()
            return Readback(found.t_ns, {**found.values, "defocus_m": float("nan")})

    with broken("a read-back is plain values"):
        check_instrument(maker(Broken), CALLS)


def test_a_blank_that_waits_for_a_move_is_found():
    class Broken(Double):
        lock = threading.Lock()

        def act(self, call):
            with self.lock:
                if call.fields.get("x_m") == FAR:
                    time.sleep(0.3)
                return super().act(call)

    with broken("a blank does not wait until move_stage is done"):
        check_instrument(maker(Broken), CALLS, busy=Call("move_stage", {"x_m": FAR}))
