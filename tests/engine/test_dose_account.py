"""The guard's account of the dose, against numbers worked out by hand."""

import datetime
import json

import pytest
from tests.dose_hour import BEGIN_NS, SAID, TODAY, Hour, settings

from scopeside.control.dose import TICK_S, DoseAccount
from scopeside.control.instrument import Call, Readback
from scopeside.errors import ConfigError
from scopeside_adapters.simulator.state import State

LIT = State(blanked=False)  # 10 e⁻/Å²/s over 200 nm
DARK = State(blanked=True)
UNBLANK = Call("blank", {"on": False})
UPPER = 1.1  # of a calibration with an uncertainty of 5 %


def hour(initial=DARK, *, takes_s=0.02, **others):
    made = Hour(DoseAccount(settings(**others)), takes_s, initial=initial)
    made.read()
    return made


def at(t_s, **values):
    usual = Hour(DoseAccount(settings())).readback().values
    return Readback(BEGIN_NS + int(t_s * 1e9), {**usual, "blanked": False, **values})


# -- counting -----------------------------------------------------------------------


def test_ten_seconds_of_beam_are_ten_times_the_rate():
    it = hour(LIT)
    it.go(10)
    it.read()
    nominal, upper = it.account.at(0.0, 0.0)
    assert nominal == pytest.approx(100)
    assert upper == pytest.approx(100 * UPPER)
    assert it.account.at(0.0, 200e-9) == (0, 0)


def test_a_blanked_beam_costs_nothing():
    it = hour()
    it.go(10)
    assert it.account.status(it.now_ns)["run_e_per_A2"] == [0, 0]


def test_coming_back_to_a_region_goes_on_with_what_it_has():
    it = hour(LIT)
    it.go(10)
    it.propose("set_view_offset", takes_s=0, x_m=1e-6, y_m=0.0)
    it.go(20)
    it.propose("set_view_offset", takes_s=0, x_m=0.0, y_m=0.0)
    it.go(10)
    it.read()
    assert it.account.at(0, 0)[0] == pytest.approx(200, rel=1e-3)
    assert it.account.at(0, 1e-6)[0] == pytest.approx(200, rel=1e-3)


@pytest.mark.parametrize(
    ("action", "fields", "centre"),
    [
        ("set_view_offset", {"x_m": 1e-6, "y_m": 2e-6}, (2e-6, 1e-6)),
        ("set_beam_shift", {"x_m": 1e-6, "y_m": 2e-6}, (2e-6, 1e-6)),
        ("set_image_shift", {"x_m": 1e-6, "y_m": 2e-6}, (-2e-6, -1e-6)),
        ("move_stage", {"x_m": 1e-6, "y_m": 2e-6}, (-2e-6, -1e-6)),
    ],
)
def test_the_beam_is_where_the_simulator_says(action, fields, centre):
    it = hour()
    it.propose(action, **fields)
    it.propose("blank", on=False)
    it.go(1)
    it.read()
    inside, outside = centre, (centre[0] + 120e-9, centre[1])
    assert it.truth([inside, outside])["points_e_per_A2"] == pytest.approx(
        [10, 0], 0.01
    )
    assert it.account.at(*inside)[0] == pytest.approx(10, 0.01)
    assert it.account.at(*outside) == (0, 0)


def test_a_change_between_two_looks_counts_for_both_places_at_the_higher_rate():
    account = DoseAccount(settings())
    account.read(at(0))
    account.read(at(1, view_offset_x_m=1e-6, dose_rate_e_per_A2_s=30.0))
    assert account.at(0, 0) == (pytest.approx(5), pytest.approx(30 * UPPER))
    assert account.at(0, 1e-6) == (pytest.approx(15), pytest.approx(30 * UPPER))


def test_a_stage_that_moves_lights_what_lies_on_the_way():
    account = DoseAccount(settings())
    account.read(at(0))
    account.read(at(1, stage_x_m=1e-6))
    assert account.at(0, -0.5e-6) == (0, pytest.approx(10 * UPPER))


def test_a_place_is_a_matrix_times_what_is_read_back():
    account = DoseAccount(settings(moves={"stage": [[0, 2], [-1, 0]]}))
    account.read(at(0, stage_x_m=1e-6, stage_y_m=3e-6))
    account.read(at(1, stage_x_m=1e-6, stage_y_m=3e-6))
    assert account.at(-1e-6, 6e-6)[0] == pytest.approx(10)


def test_a_field_that_is_turned_lights_its_corners_too():
    account = DoseAccount(settings(rotation="scan_rotation_rad", field_aspect=0.1))
    for t_s in (0, 1):
        account.read(at(t_s, scan_rotation_rad=3.14159 / 2))
    assert account.at(95e-9, 0)[0] == pytest.approx(10)
    assert account.at(0, 95e-9)[0] == 0


def test_the_margin_is_lit_as_well():
    account = DoseAccount(settings(margin_m=50e-9))
    account.read(at(0))
    account.read(at(1))
    assert account.at(0, 145e-9) == (0, pytest.approx(10 * UPPER))
    assert account.at(0, 165e-9) == (0, 0)


def test_a_command_that_was_sent_counts_until_it_is_seen_or_given_up():
    account = DoseAccount(settings())
    account.read(at(0, blanked=True))
    account.sent([UNBLANK], BEGIN_NS)
    account.read(at(1, blanked=True))  # not yet, or not any more
    account.read(at(1.5, blanked=True))
    assert account.at(0, 0) == (0, pytest.approx(15 * UPPER))
    account.read(at(6, blanked=True))
    account.read(at(60, blanked=True))
    assert account.at(0, 0)[1] == pytest.approx(60 * UPPER)


def test_a_read_back_that_was_overtaken_changes_nothing():
    account = DoseAccount(settings())
    account.read(at(2, blanked=True))
    account.read(at(1))
    account.read(at(3, blanked=True))
    assert account.at(0, 0) == (0, 0)


# -- what is allowed ----------------------------------------------------------------


def test_what_is_left_must_pay_for_blanking_and_a_while():
    need = 10 * UPPER * (0.1 + TICK_S + 1.0)
    enough = hour(budget_e_per_A2=need * 1.001)
    short = hour(budget_e_per_A2=need * 0.999)
    assert enough.account.may([UNBLANK], enough.now_ns) == ""
    assert "this region" in short.account.may([UNBLANK], short.now_ns)


@pytest.mark.parametrize(
    ("call", "allowed"),
    [
        (Call("set_view_offset", {"x_m": 1e-6, "y_m": 0.0}), True),
        (Call("set_defocus", {"defocus_m": 1e-6}), True),
        (Call("set_dose_rate", {"e_per_A2_s": 5.0}), True),
        (Call("set_dose_rate", {"e_per_A2_s": 20.0}), False),
        (Call("set_exposure", {"exposure_s": 0.001}), True),
        (Call("set_exposure", {"exposure_s": 5.0}), False),
        (Call("set_exposure", {"exposure_s": 0.01}), True),
        (Call("acquire", {"frames": 500}), False),
        (Call("blank", {"on": True}), True),
        (Call("set_view_offset", {"x_m": 50e-9, "y_m": 0.0}), True),
    ],
)
def test_what_exposes_more_than_is_left_is_refused(call, allowed):
    it = hour(LIT, budget_e_per_A2=50.0)
    it.go(3)  # 33 of 50 are spent: 1.5 s are left at 10 e⁻/Å²/s
    why = it.account.may([call], it.now_ns)
    assert (why == "") == allowed, why


def test_a_region_that_is_spent_is_not_returned_to():
    it = hour(LIT, budget_e_per_A2=50.0)
    it.go(3.5)
    assert it.propose("set_view_offset", x_m=1e-6, y_m=0.0)
    it.go(0.5)
    assert not it.propose("set_view_offset", x_m=0.0, y_m=0.0)
    assert it.refused[0].startswith("set_view_offset: the budget of this region")
    assert it.propose("blank", on=True)
    assert it.propose("set_view_offset", x_m=0.0, y_m=0.0)
    assert not it.propose("blank", on=False)


def test_the_run_has_a_budget_of_its_own():
    it = hour(LIT, run_budget_e_per_A2=100.0)
    for k in range(8):
        it.propose("set_view_offset", x_m=(k - 3) * 1e-6, y_m=0.0)
        it.go(2)
    assert it.blanks
    assert "the run" in it.blanks[0]
    assert 80 < it.truth()["run_e_per_A2"] <= 100


def test_calls_are_judged_one_after_another():
    it = hour(budget_e_per_A2=20.0)
    brighter = Call("set_dose_rate", {"e_per_A2_s": 100.0})
    assert it.account.may([brighter], it.now_ns) == ""
    assert it.account.may([UNBLANK], it.now_ns) == ""
    assert it.account.may([brighter, UNBLANK], it.now_ns).startswith("blank: ")


def test_asking_changes_nothing():
    it = hour(LIT, budget_e_per_A2=50.0)
    it.go(1)
    before = json.dumps(it.account.to_dict())
    it.account.may([UNBLANK, Call("acquire", {})], it.now_ns)
    it.account.status(it.now_ns)
    assert json.dumps(it.account.to_dict()) == before


def test_without_a_budget_all_is_allowed_and_counted():
    it = hour(LIT)
    it.go(1000)
    assert it.account.may([Call("acquire", {})], it.now_ns) == ""
    assert (it.account.enforced, it.account.lacking, it.blanks) == (False, "", [])


# -- blanking -----------------------------------------------------------------------


@pytest.mark.parametrize("takes_s", [0.001, 0.05, 0.1])
def test_the_budget_is_kept_however_long_blanking_takes_up_to_blank_s(takes_s):
    it = hour(LIT, takes_s=takes_s, budget_e_per_A2=50.0)
    it.go(20)
    assert len(it.blanks) == 1
    assert it.truth([(0.0, 0.0)])["points_e_per_A2"][0] * UPPER <= 50
    assert it.account.at(0, 0)[1] <= 50
    assert it.account.status(it.now_ns)["blank_s"] == 0.1


def test_a_blank_that_was_slower_is_told_and_reserved_from_then_on():
    it = hour(LIT, takes_s=0.7, budget_e_per_A2=50.0)
    it.go(20)
    it.read()
    assert it.account.status(it.now_ns)["blank_s"] == pytest.approx(0.7, abs=0.05)
    assert any("blank_s = 0.1 s is too short" in one for one in it.account.told())
    assert it.account.told() == []


def test_blanking_is_not_asked_for_when_it_is_done():
    it = hour(LIT, budget_e_per_A2=50.0)
    it.go(20)
    assert it.account.must_blank(it.now_ns) == ""


def test_eighty_percent_are_told():
    it = hour(LIT, budget_e_per_A2=50.0)
    it.go(3.5)
    assert it.account.told() == []
    it.go(0.5)
    assert it.account.told() == ["84% of the dose budget of this region are spent"]


# -- calibration --------------------------------------------------------------------

AT_ONE = [
    {"rate_e_per_A2_s": 10.0, "uncertainty": 0.05, "date": TODAY, "at": {"spot": 3}},
    {
        "rate_e_per_A2_s": 40.0,
        "uncertainty": 0.05,
        "date": TODAY,
        "at": {"spot": 1, "magnification": [9e4, 11e4]},
    },
]


def test_a_calibration_holds_at_its_settings_only():
    account = DoseAccount(settings(calibration=AT_ONE, budget_e_per_A2=100.0))
    account.read(at(0, spot=3.0))
    assert (account.lacking, account.enforced) == ("", True)
    account.read(at(1, spot=1.0))
    account.read(at(2, spot=1.0))
    assert account.at(0, 0)[0] == pytest.approx(5 + 20 + 40)
    account.read(at(3, spot=2.0))
    assert "spot is 2, not 3; spot is 2, not 1" in account.lacking


def test_without_a_calibration_nothing_is_enforced_and_it_is_said():
    account = DoseAccount(settings(calibration=AT_ONE, budget_e_per_A2=100.0))
    assert "has not said yet" in account.lacking
    account.read(at(0, spot=2.0))
    assert "no calibration of the dose rate holds here" in account.lacking
    assert not account.enforced
    assert account.must_blank(BEGIN_NS) == ""
    assert account.lacking in account.told()[0]
    assert "no calibration" in account.may([Call("acquire", {})], BEGIN_NS)


def test_leaving_the_calibrated_settings_blanks():
    account = DoseAccount(settings(calibration=AT_ONE, budget_e_per_A2=100.0))
    account.read(at(0, spot=3.0))
    account.read(at(1, spot=2.0))
    assert "cannot be kept any more" in account.must_blank(BEGIN_NS + 10**9)
    assert account.enforced
    account.read(at(2, spot=2.0))
    assert account.at(0, 0)[1] == pytest.approx(20 * UPPER)  # at the highest known
    assert account.status(BEGIN_NS)["uncalibrated_s"] == pytest.approx(2)


def test_a_magnification_without_calibration_is_refused_before_it_is_set():
    table = {**AT_ONE[1], "at": {"magnification": 1e5}}
    account = DoseAccount(settings(calibration=table, budget_e_per_A2=100.0))
    account.read(at(0))
    other = Call("set_magnification", {"value": 2e5})
    assert "magnification is 200000, not 100000" in account.may([other], BEGIN_NS)
    assert "magnification" in account.may(
        [Call("set_fov", {"width_m": 1e-7})], BEGIN_NS
    )


def test_a_current_over_the_field_is_a_dose_rate():
    table = {"current": "beam_current_A", "area_m2": "field", "uncertainty": 0.1}
    account = DoseAccount(settings(calibration={**table, "date": TODAY}))
    current = 16.02176634e-12  # 1e8 electrons a second over 2000 Å squared
    account.read(at(0, beam_current_A=current))
    account.read(at(1, beam_current_A=current))
    assert account.at(0, 0)[0] == pytest.approx(25.0)


def test_an_old_calibration_is_told():
    old = TODAY - datetime.timedelta(days=400)
    account = DoseAccount(settings(calibration={**SAID, "date": old}))
    account.read(at(0))
    assert account.told() == [
        f"the calibration of the dose rate of {old} is 400 days old"
    ]


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("blanked", "whether the beam is blanked"),
        ("stage_x_m", "stage_x_m and stage_y_m"),
        ("fov_m", "the width of the field"),
        ("dose_rate_e_per_A2_s", "does not say dose_rate_e_per_A2_s"),
    ],
)
def test_what_the_instrument_does_not_say_is_lacking(lost, said):
    account = DoseAccount(settings(budget_e_per_A2=100.0))
    account.read(at(0))
    values = dict(at(1).values)
    del values[lost]
    account.read(Readback(at(1).t_ns, values))
    assert said in account.lacking
    assert account.must_blank(at(1).t_ns)
    account.read(at(2))
    assert account.at(0, 0)[1] >= 20 * UPPER * (1 - 1e-9)


def test_a_number_that_is_none_is_lacking():
    account = DoseAccount(settings(budget_e_per_A2=100.0))
    account.read(at(0, view_offset_x_m=float("nan")))
    assert "view_offset_x_m" in account.lacking
    account.read(at(1, dose_rate_e_per_A2_s=float("inf")))
    assert "dose_rate" in account.lacking


# -- counting detector --------------------------------------------------------------

COUNTED = {
    "from": "dose.dose",
    "at_least_e_per_A2_s": 1.0,
    "at_most_e_per_A2_s": 100.0,
    "holds_s": 0.5,
    "uncertainty": 0.0,
    "date": TODAY,
}


def counting(**others):
    account = DoseAccount(settings(calibration=COUNTED, **others))
    account.read(at(0))
    return account


def measure(account, *rates, every_s=0.1, sigma=0.5):
    for k, rate in enumerate(rates):
        account.measured(rate, sigma, at((k + 1) * every_s).t_ns)


def test_what_was_counted_is_the_dose():
    account = counting()
    measure(account, *[20.0] * 10)
    account.read(at(1))
    assert account.at(0, 0) == (pytest.approx(20), pytest.approx(21))


def test_the_uncertainty_of_what_turns_counts_into_dose_comes_on_top():
    table = {**COUNTED, "uncertainty": 0.1}
    account = DoseAccount(settings(calibration=table))
    account.read(at(0))
    measure(account, *[15.0] * 10, sigma=2.0)
    account.read(at(1))
    assert account.at(0, 0)[1] == pytest.approx(15 + 2 * 2.5)


def test_the_highest_rate_within_a_span_is_its_upper_bound():
    account = counting()
    account.read(at(1))
    assert account.at(0, 0) == (0, 0)  # it may still be counted
    measure(account, *[20.0] * 9, 40.0)
    assert account.at(0, 0) == (pytest.approx(22), pytest.approx(41))


def test_where_nothing_was_counted_the_beam_brought_all_it_can():
    account = counting()
    for t_s in (1, 2, 3):
        account.read(at(t_s))
    assert account.at(0, 0)[1] == pytest.approx(200)


def test_a_camera_that_is_out_of_the_beam_is_not_believed():
    account = counting()
    measure(account, *[0.01] * 10)
    account.read(at(1))
    assert account.at(0, 0)[1] == pytest.approx(100)


def test_a_blank_within_a_span_is_believed():
    account = counting()
    measure(account, *[20.0] * 5, *[0.0] * 5)
    account.read(at(1, blanked=True))
    assert account.at(0, 0) == (pytest.approx(10), pytest.approx(21))


def test_what_is_not_counted_yet_is_reserved():
    account = counting(budget_e_per_A2=30.0)
    measure(account, *[20.0] * 10)
    account.read(at(1))
    now = at(1.2).t_ns
    assert account.must_blank(now) == ""
    assert "is spent" in account.must_blank(at(1.4).t_ns)
    assert "left" in account.may([Call("acquire", {"frames": 100})], now)


def test_what_makes_the_beam_brighter_is_not_judged_by_what_was_counted():
    account = counting(budget_e_per_A2=100.0)
    measure(account, *[20.0] * 10)
    account.read(at(1))  # 21 of 100 are spent
    now = at(1).t_ns
    assert account.may([Call("set_view_offset", {"x_m": 1e-6, "y_m": 0.0})], now) == ""
    assert account.may([Call("set_dose_rate", {"e_per_A2_s": 5.0})], now) == ""
    for call in (
        Call("set_dose_rate", {"e_per_A2_s": 20.0}),
        Call("set_fov", {"width_m": 100e-9}),
    ):
        assert "1.15 s at this rate take 115" in account.may([call], now)


def test_what_is_no_measurement_is_not_taken():
    account = counting()
    for rate, sigma in [(float("nan"), 0.1), (20.0, float("inf")), (20.0, -1.0)]:
        account.measured(rate, sigma, at(1).t_ns)
    account.read(at(2))
    account.read(at(3))
    assert account.at(0, 0)[1] == pytest.approx(200)


def test_what_was_not_counted_before_the_guard_died_is_counted_at_the_most():
    account = counting()
    account.read(at(1))
    kept = json.loads(json.dumps(account.to_dict()))
    again = DoseAccount(settings(calibration=COUNTED), kept)
    assert again.at(0, 0)[1] == pytest.approx(100)


# -- a focused probe ----------------------------------------------------------------


def place(*points, dwell_s=1e-3):
    return Call("place_beam", {"points": list(points), "dwell_s": dwell_s})


def test_a_focused_probe_is_refused_without_its_area():
    it = hour(LIT, budget_e_per_A2=1e6)
    assert "probe_area_m2" in it.account.may([place((0.5, 0.5))], it.now_ns)


def test_a_focused_probe_brings_all_electrons_of_the_field_to_one_place():
    it = hour(DARK, probe_area_m2=4e-20, field_aspect=1.0)
    it.account.sent([place((0.5, 0.5))], it.now_ns)
    # 10 e⁻/Å²/s over 4e-14 m² for 1 ms onto 4 Å²
    assert it.account.at(1e-9, 1e-9)[0] == pytest.approx(10 * 1e6 * 1e-3)
    assert it.account.at(50e-9, 0)[1] == 0


def test_points_that_share_a_cell_add_up():
    it = hour(DARK, probe_area_m2=4e-20, budget_e_per_A2=15_000.0)
    assert it.account.may([place((0.52, 0.52))], it.now_ns) == ""
    twice = place((0.52, 0.52), (0.525, 0.525))
    assert "a place would have got 2.2e+04" in it.account.may([twice], it.now_ns)
    apart = place((0.52, 0.52), (0.925, 0.925))
    assert it.account.may([apart], it.now_ns) == ""


# -- restart ------------------------------------------------------------------------


def test_while_the_guard_was_down_the_beam_counts_as_it_was():
    it = hour(LIT, budget_e_per_A2=1000.0)
    it.go(1)
    it.die(30, settings(budget_e_per_A2=1000.0))
    it.microscope.command({"action": "blank", "on": True, "id": "a person"})
    assert it.account.enforced
    assert it.account.status(it.now_ns)["pending_e_per_A2"] == pytest.approx(341, 0.05)
    it.read()
    assert it.account.at(0, 0)[1] == pytest.approx(341, 0.05)


def test_a_guard_that_comes_back_too_late_blanks_at_once():
    it = hour(LIT, budget_e_per_A2=100.0)
    it.go(1)
    it.die(30, settings(budget_e_per_A2=100.0))
    assert "is spent" in it.account.must_blank(it.now_ns)


def test_a_beam_that_was_blanked_costs_nothing_while_the_guard_is_down():
    it = hour()
    it.go(2)
    it.die(3600, settings())
    it.read()
    assert it.account.status(it.now_ns)["run_e_per_A2"] == [0, 0]


def test_what_is_kept_is_all_that_counts():
    it = hour(LIT, takes_s=0.7, budget_e_per_A2=50.0)
    it.go(20)
    before = it.account.to_dict()
    after = DoseAccount(settings(budget_e_per_A2=50.0), json.loads(json.dumps(before)))
    assert json.dumps(after.to_dict()) == json.dumps(before)
    assert after.status(it.now_ns)["blank_s"] == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", 2),
        ("run", [1.0]),
        ("run", [-1.0, 2.0]),
        ("highest", None),
        ("map", {}),
        ("enforced", "yes"),
        ("values", 3),
        ("sent", [[1]]),
        ("open", [[float("nan"), []]]),
        ("blank_s", float("inf")),
    ],
)
def test_an_account_that_cannot_be_read_is_refused(key, value):
    kept = {**hour(LIT).account.to_dict(), key: value}
    with pytest.raises(ConfigError, match="the account that was kept cannot be read"):
        DoseAccount(settings(), kept)


def test_an_account_of_another_map_is_refused():
    kept = hour(LIT).account.to_dict()
    with pytest.raises(ConfigError, match="cell_m = 1e-08"):
        DoseAccount(settings(cell_m=20e-9), kept)
    with pytest.raises(ConfigError, match="moves"):
        DoseAccount(settings(moves={"stage": 1}), kept)


def test_a_clock_that_was_set_back_is_told():
    it = hour(LIT)
    it.go(2)
    account = DoseAccount(settings(), it.account.to_dict())
    account.read(at(-100))
    account.read(at(-99))
    assert account.at(0, 0)[0] == pytest.approx(30, 0.02)
    assert any("clock" in one for one in account.told())
