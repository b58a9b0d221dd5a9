"""The temscript control adapter against the real server with its null microscope."""

import math

import pytest
from tests.peers.temscript_null import MISSING, is_installed, temscript_null

from scopeside.control.instrument import Call
from scopeside.control.trial import check_instrument, opened
from scopeside.errors import InstrumentError
from scopeside_adapters.microscope.temscript.instrument import Temscript

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not is_installed(), reason=MISSING),
]

TABLE = [[8, 80_000.0], [9, 90_000.0], [10, 100_000.0]]
CALLS = [
    Call("set_beam_shift", {"x_m": 1e-7, "y_m": -2e-7}),
    Call("set_image_shift", {"x_m": 3e-7, "y_m": -4e-7}),
    Call("move_stage", {"x_m": 1e-5, "alpha_rad": 0.1}),
    Call("set_defocus", {"defocus_m": -1e-6}),
    Call("set_magnification", {"value": 80_000.0}),
]
MEASURED = {"defocus_unit_m": 1.0, "magnifications": TABLE}


@pytest.fixture(scope="module")
def shared():
    with temscript_null() as server:
        yield server


@pytest.fixture
def server(shared):
    """As it is when it has just been started."""
    for name in ("beam_shift", "image_shift"):
        shared.put(name, [0.0, 0.0])
    shared.put("stage_position", dict.fromkeys("xyzab", 0.0))
    shared.put("defocus", 0.0)
    shared.put("magnification_index", 10)
    shared.put("beam_blanked", False)
    shared.put("projection_mode", "IMAGING")
    return shared


def to(server, **more):
    table = {"port": server.port, **MEASURED, **more}
    return Temscript(Temscript.Params.model_validate(table))


@pytest.fixture
def instrument(server):
    with opened(lambda: to(server)) as instrument:
        yield instrument


def test_it_keeps_the_laws_of_an_instrument(server):
    # None is busy: this server does one thing after another.
    check_instrument(lambda: to(server), CALLS)


def test_what_was_not_measured_is_not_offered(server):
    plain = to(server, defocus_unit_m=None, magnifications=[])
    offered = {"set_beam_shift", "set_image_shift", "move_stage", "blank"}
    assert plain.actions == offered
    assert to(server).actions == offered | {"set_defocus", "set_magnification"}


def test_all_is_read_back_in_our_names_and_units(instrument):
    assert instrument.read().values == {
        "mode": "TEM MICROPROBE IMAGING",
        "high_tension_V": 200e3,
        "blanked": False,
        "beam_shift_x_m": 0.0,
        "beam_shift_y_m": 0.0,
        "image_shift_x_m": 0.0,
        "image_shift_y_m": 0.0,
        "stage_x_m": 0.0,
        "stage_y_m": 0.0,
        "stage_z_m": 0.0,
        "stage_alpha_rad": 0.0,
        "stage_beta_rad": 0.0,
        "magnification": 100_000.0,
        "defocus_m": 0.0,
    }


def test_what_is_set_is_what_the_server_has(server, instrument):
    for call in CALLS:
        instrument.act(call)
    instrument.act(Call("blank", {"on": True}))
    assert server.get("beam_shift") == [1e-7, -2e-7]
    assert server.get("image_shift") == [3e-7, -4e-7]
    stage = {"x": 1e-5, "y": 0.0, "z": 0.0, "a": 0.1, "b": 0.0}
    assert server.get("stage_position") == stage
    assert server.get("defocus") == -1e-6
    assert server.get("magnification_index") == 8
    assert server.get("beam_blanked") is True


def test_a_unit_of_defocus_is_converted_both_ways(server):
    with opened(lambda: to(server, defocus_unit_m=1e-3)) as instrument:
        instrument.act(CALLS[3])
        assert instrument.read().number("defocus_m") == pytest.approx(-1e-6)
    assert server.get("defocus") == pytest.approx(-1e-3)


def test_the_server_clips_a_stage_position_without_a_word(server):
    assert server.put("stage_position", {"x": 5e-3}) == 204
    assert server.get("stage_position")["x"] == 1e-3


def test_a_stage_position_that_would_be_clipped_is_refused_before_it_moves(
    server, instrument
):
    before = server.puts()
    for fields in ({"x_m": 5e-3}, {"x_m": 0.0, "alpha_rad": 1.0}, {"z_m": -1.0}):
        with pytest.raises(InstrumentError, match="outside of the stage's limits"):
            instrument.act(Call("move_stage", fields))
    assert server.puts() == before


def test_the_server_takes_nan_without_a_word(server):
    assert server.put("beam_shift", [math.nan, 0.0]) == 204
    assert math.isnan(server.get("beam_shift")[0])


def test_nan_is_refused_before_it_is_sent_and_found_when_it_is_read(server, instrument):
    before = server.puts()
    with pytest.raises(InstrumentError, match="not finite"):
        instrument.act(Call("set_beam_shift", {"x_m": math.nan, "y_m": 0.0}))
    assert server.puts() == before
    server.put("beam_shift", [math.nan, 0.0])
    with pytest.raises(InstrumentError, match="beam_shift is nan, no finite number"):
        instrument.read()


def test_a_magnification_that_is_not_in_the_table_is_refused(server, instrument):
    before = server.puts()
    with pytest.raises(InstrumentError, match=r"not in the table .*\(80000, 90000, 1"):
        instrument.act(Call("set_magnification", {"value": 85_000.0}))
    assert server.puts() == before


def test_a_table_of_another_mode_is_found_before_anything_is_set(server):
    before = server.puts()
    wrong = [[10, 5_000.0], [11, 6_000.0]]
    with (
        opened(lambda: to(server, magnifications=wrong)) as instrument,
        pytest.raises(InstrumentError, match="is of another mode"),
    ):
        instrument.act(Call("set_magnification", {"value": 6_000.0}))
    assert server.puts() == before


def test_a_table_that_is_wrong_where_it_goes_to_is_found_afterwards(server):
    with (
        opened(lambda: to(server, magnifications=[[11, 6_000.0]])) as instrument,
        pytest.raises(InstrumentError, match=r"indicates .* of 110000\.0, not 6000"),
    ):
        instrument.act(Call("set_magnification", {"value": 6_000.0}))


def test_in_diffraction_magnification_is_neither_set_nor_read(server, instrument):
    server.put("projection_mode", "DIFFRACTION")
    with pytest.raises(InstrumentError, match="not in TEM DIFFRACTION"):
        instrument.act(CALLS[4])
    values = instrument.read().values
    assert values["mode"] == "TEM MICROPROBE DIFFRACTION"
    assert "magnification" not in values


def test_a_blank_waits_for_an_exposure(server, instrument):
    server.put("camera_param/CCD", {"exposure(s)": 0.3, "binning": 8})
    with server.begin("acquire?detectors=CCD"):
        instrument.act(Call("blank", {"on": True}))
    last = [what for _, what, _ in server.answered()[-3:]]
    assert last == ["acquire?detectors=CCD", "beam_blanked", "beam_blanked"]


def test_when_the_server_is_gone_that_is_said():
    with temscript_null() as server:
        instrument = to(server, answer_s=5)
        instrument.open()
        assert to(server).check() == []
    with pytest.raises(InstrumentError, match=r"cannot be reached .*is it started"):
        instrument.read()
    assert "cannot be reached" in to(server).check()[0]
    instrument.close()
