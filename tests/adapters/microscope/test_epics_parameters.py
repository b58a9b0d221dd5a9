"""Which PVs are of use, and what is offered with them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside.control.instrument import Call
from scopeside.errors import ConfigError, InstrumentError
from scopeside.messages import validate
from scopeside_adapters.microscope.epics.instrument import EpicsInstrument
from scopeside_adapters.microscope.epics.parameters import EpicsParams, Variable


def params(**quantities):
    return validate(EpicsParams, {"quantities": quantities}, where="control.adapter")


def pair(name, **values):
    return {"put": name, "read": f"{name}:RBV", **values}


def test_an_action_is_offered_if_all_of_its_fields_have_a_pv():
    found = params(
        image_shift_x_m=pair("X"),
        image_shift_y_m=pair("Y"),
        beam_shift_x_m=pair("BX"),
        stage_z_m=pair("Z"),
        paused=pair("P"),
        defocus_m={"read": "F:RBV"},
    )
    assert found.actions == {"set_image_shift", "move_stage", "pause", "resume"}


def test_a_demand_is_no_read_back():
    with pytest.raises(ConfigError, match="a demand reads back what was asked"):
        params(defocus_m={"put": "F", "read": "F"})


def test_a_quantity_that_no_action_sets_cannot_be_set():
    with pytest.raises(ConfigError, match="no action sets 'high_tension_V'"):
        params(high_tension_V=pair("HT"))


@pytest.mark.parametrize(
    "values",
    [{"scale": 0.0}, {"on": 1.0, "off": 1.0}, {"text": True}, {"tolerance": -1.0}],
)
def test_what_makes_no_sense_is_refused(values):
    with pytest.raises(ConfigError):
        params(defocus_m=pair("F", **values))


@given(
    st.floats(-1e-3, 1e-3),
    st.floats(1e-3, 1e12),
    st.floats(-1e6, 1e6),
)
def test_there_and_back_a_value_has_arrived(value, scale, offset):
    tolerance = 1e-15 + abs(offset) / scale * 1e-15
    variable = Variable(
        read="R", put="P", scale=scale, offset=offset, tolerance=tolerance
    )
    assert variable.arrived(value, variable.to_pv(value))
    assert not variable.arrived(value, variable.to_pv(value + 1e-3 + 3 * tolerance))
    assert not variable.arrived(value, math.nan)


def test_a_switch_is_what_it_says_or_unknown():
    variable = Variable(read="R", put="P", on=3.0, off=7.0)
    assert variable.to_pv(True) == 3.0
    assert variable.switch(7.0) is False
    assert variable.switch(1.0) is None
    assert not variable.arrived(True, 7.0)


def test_nothing_is_asked_of_a_link_that_is_not_open():
    instrument = EpicsInstrument(params(defocus_m=pair("F")))
    with pytest.raises(InstrumentError, match="not open"):
        instrument.act(Call("set_defocus", {"defocus_m": 0.0}))
    with pytest.raises(InstrumentError, match="no PVs for set_exposure"):
        instrument.act(Call("set_exposure", {"exposure_s": 0.1}))
    instrument.close()
