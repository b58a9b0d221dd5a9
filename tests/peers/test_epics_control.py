"""The control adapter `epics` against other people's soft IOC, over both protocols."""

import math
import threading
import time

import pytest
from tests.peers.epics_scope import ioc

from scopeside.control.instrument import Call
from scopeside.control.trial import check_instrument
from scopeside.errors import InstrumentError
from scopeside.messages import validate
from scopeside_adapters.microscope.epics.instrument import EpicsInstrument
from scopeside_adapters.microscope.epics.parameters import EpicsParams

pytestmark = pytest.mark.peers

QUANTITIES = {
    "image_shift_x_m": {"put": "TEM:SHIFT:X", "read": "TEM:SHIFT:X:RBV", "scale": 1e9},
    "image_shift_y_m": {"put": "TEM:SHIFT:Y", "read": "TEM:SHIFT:Y:RBV", "scale": 1e9},
    "defocus_m": {"put": "TEM:FOCUS", "read": "TEM:FOCUS:RBV", "scale": 1e6},
    "blanked": {"put": "TEM:BLANK", "read": "TEM:BLANK:RBV"},
    "high_tension_V": {"read": "TEM:HT:RBV", "scale": 1e-3},
    "mode": {"read": "TEM:MODE:RBV", "text": True},
}
STUCK = {"exposure_s": {"put": "TEM:STUCK", "read": "TEM:STUCK:RBV"}}
CALLS = [
    Call("set_image_shift", {"x_m": 1e-7, "y_m": -2e-7}),
    Call("set_defocus", {"defocus_m": -1.5e-6}),
]


@pytest.fixture(scope="module", autouse=True)
def needed():
    """Loaded with the first test, not by each process that looks for tests."""
    pytest.importorskip("softioc", reason="softioc is not installed (extra dev)")
    pytest.importorskip("aioca", reason="aioca is not installed (extra epics)")
    pytest.importorskip("p4p", reason="p4p is not installed (extra epics)")


@pytest.fixture(scope="module")
def served():
    # Channel Access reads these once in a process, when its first client is made.
    with pytest.MonkeyPatch.context() as patch, ioc() as found:
        for name, value in found.environment.items():
            patch.setenv(name, value)
        yield found


def instrument(protocol, quantities=None, **values):
    said = {"protocol": protocol, "quantities": quantities or QUANTITIES, **values}
    return EpicsInstrument(validate(EpicsParams, {"timeout_s": 5.0, **said}))


@pytest.mark.parametrize("protocol", ["ca", "pva"])
def test_keeps_the_laws_of_an_instrument(served, protocol):
    near = {"image_shift_x_m": 1e-15, "image_shift_y_m": 1e-15, "defocus_m": 1e-15}
    check_instrument(lambda: instrument(protocol), CALLS, tolerance=near)


@pytest.mark.parametrize("protocol", ["ca", "pva"])
def test_all_quantities_are_read_in_si_units(served, protocol):
    one = instrument(protocol)
    one.open()
    try:
        one.act(Call("set_defocus", {"defocus_m": 2e-6}))
        values = one.read().values
    finally:
        one.close()
    assert values["high_tension_V"] == pytest.approx(200e3)
    assert values["mode"] == "TEM"
    assert values["blanked"] is False
    assert values["defocus_m"] == pytest.approx(2e-6)


@pytest.mark.parametrize("protocol", ["ca", "pva"])
def test_what_the_ioc_clamps_without_a_word_is_an_error(served, protocol):
    one = instrument(protocol, settle_s=0.2)
    one.open()
    try:
        with pytest.raises(
            InstrumentError, match=r"reads 500\.0 where 1000000000\.0 was"
        ):
            one.act(Call("set_image_shift", {"x_m": 1.0, "y_m": 0.0}))
        one.act(Call("set_image_shift", {"x_m": 0.0, "y_m": 0.0}))
    finally:
        one.close()


def test_a_read_back_that_does_not_follow_is_an_error(served):
    one = instrument("pva", STUCK, settle_s=0.1)
    one.open()
    try:
        with pytest.raises(InstrumentError, match=r"STUCK:RBV reads 0\.0 where 5\.0"):
            one.act(Call("set_exposure", {"exposure_s": 5.0}))
    finally:
        one.close()


def test_not_a_number_never_leaves(served):
    one = instrument("ca")
    one.open()
    try:
        with pytest.raises(InstrumentError, match="not finite"):
            one.act(Call("set_defocus", {"defocus_m": math.nan}))
    finally:
        one.close()


@pytest.mark.parametrize("protocol", ["ca", "pva"])
def test_a_blank_does_not_wait_for_another_command(served, protocol):
    slow = instrument(protocol, {**QUANTITIES, **STUCK}, settle_s=1.0)
    quick = instrument(protocol)
    slow.open()
    quick.open()
    failed = []

    def act():
        try:
            slow.act(Call("set_exposure", {"exposure_s": 7.0}))
        except InstrumentError as error:
            failed.append(error)

    thread = threading.Thread(target=act)
    try:
        thread.start()
        time.sleep(0.05)
        quick.act(Call("blank", {"on": True}))
        assert thread.is_alive()
        assert quick.read().values["blanked"] is True
        quick.act(Call("blank", {"on": False}))
    finally:
        thread.join()
        slow.close()
        quick.close()
    assert failed


@pytest.mark.parametrize("protocol", ["ca", "pva"])
def test_a_pv_that_nobody_serves_is_named(served, protocol):
    there_is_none = {"mode": {"read": "TEM:NOBODY", "text": True}}
    one = instrument(protocol, {**QUANTITIES, **there_is_none}, timeout_s=0.5)
    with pytest.raises(InstrumentError, match="PV 'TEM:NOBODY' could not be read"):
        one.open()
    one.close()


@pytest.mark.parametrize("protocol", ["ca", "pva"])
def test_an_ioc_that_dies_is_an_error_and_can_come_back(protocol, served):
    one = instrument(protocol, timeout_s=1.0)
    one.open()
    try:
        served.kill()
        with pytest.raises(InstrumentError):
            one.act(Call("set_defocus", {"defocus_m": 1e-6}))
        served.start()
        one.close()
        one = instrument(protocol, timeout_s=30.0)
        one.open()
        one.act(Call("set_defocus", {"defocus_m": 1e-6}))
    finally:
        one.close()
