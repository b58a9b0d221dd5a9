"""The control adapter of the simulated microscope, over its real socket."""

import threading

import msgpack
import pytest
from tests.adapters.microscope.peer import Peer

from scopeside.control.instrument import Call
from scopeside.control.trial import check_instrument, opened
from scopeside.errors import ConfigError, InstrumentError
from scopeside.messages import validate
from scopeside.plugins import instrument_class
from scopeside_adapters.microscope.simulator import (
    SimulatorControl,
    SimulatorControlParams,
)
from scopeside_adapters.simulator.control import ControlServer
from scopeside_adapters.simulator.microscope import Microscope

ANYWHERE = "tcp://127.0.0.1:0"
PAIR = {"x_m": 1e-9, "y_m": -2e-9}
CALLS = [
    Call("set_beam_shift", PAIR),
    Call("set_image_shift", PAIR),
    Call("set_view_offset", PAIR),
    Call("move_stage", {"x_m": 1e-6, "alpha_rad": 0.1}),
    Call("set_defocus", {"defocus_m": -1e-6}),
    Call("set_magnification", {"value": 2e5}),
    Call("set_fov", {"width_m": 1e-7}),
    Call("set_exposure", {"exposure_s": 0.5}),
    Call("set_dose_rate", {"e_per_A2_s": 3.0}),
    Call("place_beam", {"points": [(0.0, 0.5), (1.0, 1.0)], "dwell_s": 1e-3}),
    Call("pause", {}),
    Call("resume", {}),
]
BLANK = Call("blank", {"on": True})


def serve(microscope=None, endpoint=ANYWHERE, **delay_ms):
    microscope = microscope or Microscope(scans=True, optics={"mode": "STEM"})
    return ControlServer(microscope, endpoint, delay_ms)


def to(server, **more):
    return SimulatorControl(SimulatorControlParams(endpoint=server.endpoint, **more))


def test_it_keeps_the_laws_of_an_instrument():
    with serve(move_stage=700.0) as server:
        check_instrument(lambda: to(server), CALLS, busy=CALLS[3])


def test_it_is_found_by_its_kind():
    assert instrument_class("simulator") is SimulatorControl


def test_a_readback_has_every_quantity_the_optics_and_the_session():
    microscope = Microscope(scans=True, optics={"high_tension_V": 300e3})
    with serve(microscope) as server, opened(lambda: to(server)) as instrument:
        values = instrument.read().values
    assert values["high_tension_V"] == 300e3
    assert values["session"] == microscope.session
    assert values["epoch"] == 0
    assert values["view_offset_x_m"] == 0.0
    assert values["blanked"] is False


def test_what_the_microscope_refuses_is_told_in_its_words():
    with serve() as server, opened(lambda: to(server)) as instrument:
        with pytest.raises(InstrumentError, match=r"defocus_m = 5\.0 is outside"):
            instrument.act(Call("set_defocus", {"defocus_m": 5.0}))
        assert instrument.read().values["epoch"] == 0


def test_a_placed_beam_says_how_many_points_it_has_visited():
    with serve() as server, opened(lambda: to(server)) as instrument:
        assert instrument.act(CALLS[9])["visited"] == 2


def test_a_blank_puts_an_end_to_placing_and_that_is_told():
    long = Call("place_beam", {"points": [(0.0, 0.0)], "dwell_s": 50.0})
    with (
        serve() as server,
        opened(lambda: to(server)) as one,
        opened(lambda: to(server)) as other,
    ):
        errors = []

        def place():
            with pytest.raises(InstrumentError, match="a blank put an end") as caught:
                one.act(long)
            errors.append(caught.value)

        thread = threading.Thread(target=place)
        thread.start()
        while other.read().values["epoch"] == 0:
            pass
        other.act(BLANK)
        thread.join(20)
        assert len(errors) == 1
        assert other.read().values["blanked"] is True


def test_before_the_run_has_begun_it_says_so_and_later_it_opens(tmp_path):
    endpoint = f"ipc://{tmp_path}/control"
    params = SimulatorControlParams(endpoint=endpoint, answer_s=0.1)
    instrument = SimulatorControl(params)
    assert instrument.check() == []
    with pytest.raises(InstrumentError, match="there when the run has begun"):
        instrument.open()
    with serve(endpoint=endpoint):
        instrument.open()
        assert instrument.read().values["epoch"] == 0
        instrument.close()


def test_a_microscope_that_was_started_anew_refuses_commands_until_it_was_read(
    tmp_path,
):
    endpoint = f"ipc://{tmp_path}/control"
    instrument = SimulatorControl(SimulatorControlParams(endpoint=endpoint))
    with serve(endpoint=endpoint):
        instrument.open()
        instrument.act(CALLS[4])
        old = instrument.read().values["session"]
    with serve(endpoint=endpoint):
        with pytest.raises(InstrumentError, match="started anew"):
            instrument.act(CALLS[4])
        with pytest.raises(InstrumentError, match="started anew"):
            instrument.act(Call("blank", {"on": False}))
        instrument.act(BLANK)  # that always works
        values = instrument.read().values
        assert (values["epoch"], values["defocus_m"]) == (1, 0.0)
        assert values["session"] != old
        instrument.act(CALLS[4])
        instrument.close()


def test_a_command_whose_sender_has_given_up_is_not_carried_out_later():
    with (
        serve(set_defocus=200.0, blank=400.0) as server,
        opened(lambda: to(server, act_s=0.1)) as hasty,
        opened(lambda: to(server)) as patient,
    ):
        with pytest.raises(InstrumentError, match="whether it did what was asked"):
            hasty.act(CALLS[4])
        patient.act(BLANK)  # answered after the delay of the other is over
        values = patient.read().values
    assert (values["epoch"], values["defocus_m"]) == (1, 0.0)


def lies(about):
    def reply(request):
        asked = msgpack.unpackb(request)
        good = {
            "id": asked.get("id"),
            "ok": True,
            "state": {"defocus_m": 0.0, "blanked": False},
            "t_ns": 1,
            "session": "s",
        }
        return (
            msgpack.packb({**good, **about}) if "id" in asked else msgpack.packb(good)
        )

    return reply


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({}, "says that set_defocus is done, but defocus_m is 0.0"),
        ({"id": "other"}, "answered to 'other', not to"),
        ({"state": None}, "answered without a state"),
        ({"state": {1: 2}}, "answered"),
        ({"ok": False, "reason": "no"}, "refused set_defocus: no"),
        ({"ok": 1}, "refused set_defocus"),
    ],
)
def test_a_peer_that_lies_or_answers_nonsense_is_found(about, words):
    with (
        Peer(lies(about)) as peer,
        opened(lambda: to(peer)) as instrument,
        pytest.raises(InstrumentError, match=words),
    ):
        instrument.act(CALLS[4])


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91" * 2000, b"hello", b"\x80"])
def test_garbage_is_an_error_in_words(data):
    with Peer(lambda request: data) as peer:
        instrument = to(peer)
        with pytest.raises(InstrumentError, match="the simulated microscope at"):
            instrument.open()


@pytest.mark.parametrize("endpoint", ["tcp://10.0.0.1:5600", "tcp://*:5600", "here"])
def test_other_machines_are_refused(endpoint):
    with pytest.raises(ConfigError, match="endpoint"):
        validate(SimulatorControlParams, {"endpoint": endpoint})
