"""[control.dose] is checked, and what is wrong is said in words."""

import datetime
import json
import tomllib

import pytest
from tests.dose_hour import SAID, TODAY, settings

from scopeside.control.dose_settings import DoseSettings
from scopeside.errors import ConfigError
from scopeside.messages import validate

TOML = """
budget_e_per_A2 = 100
moves = { view_offset = 1, stage = [[0, 1], [-1, 0]] }
field_m = [1e-6, 2e-6]
margin_m = 20e-9
cell_m = 20e-9
blank_s = 0.2

[[calibration]]
rate_e_per_A2_s = 12.5
uncertainty = 0.05
date = 2026-11-20
at = { magnification = 1e5, spot = 3, mode = "stem", eftem = false, lens = [0.1, 0.2] }

[[calibration]]
quantity = "dose_rate_e_per_A2_s"
scale = 1.0
uncertainty = 0.1
date = 2026-11-20
"""


def test_a_table_is_read_as_it_stands():
    table = tomllib.loads(TOML)
    found = validate(DoseSettings, table, where="control.dose")
    assert [one.kind for one in found.calibration] == ["rate_e_per_A2_s", "quantity"]
    at = found.calibration[0].at
    assert (at["spot"], at["eftem"], at["mode"]) == (3, False, "stem")
    assert at["lens"] == (0.1, 0.2)
    assert found.calibration[0].date == datetime.date(2026, 11, 20)
    as_sent = json.loads(json.dumps(table, default=str))  # to the guard's process
    assert validate(DoseSettings, as_sent) == found


@pytest.mark.parametrize(
    "name", ["moves", "margin_m", "cell_m", "blank_s", "calibration"]
)
def test_what_the_account_stands_on_has_no_default(name):
    table = tomllib.loads(TOML)
    del table[name]
    with pytest.raises(ConfigError, match=f"control.dose.{name}: missing"):
        validate(DoseSettings, table, where="control.dose")


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"field_m": (1e-6, 1e-6)}, "give field_m"),
        ({"field_aspect": None}, "give field_m"),
        ({"moves": {}}, "moves"),
        ({"cell_m": 0.0}, "more than 0"),
        ({"blank_s": float("inf")}, "finite"),
        ({"budget": 3}, "'budget' is not known (known: at_least_s"),
        ({"calibration": []}, "1 or more entries"),
        ({"calibration": {**SAID, "scale": None}}, "quantity: missing: scale"),
        ({"calibration": {**SAID, "uncertainty": None}}, "missing: uncertainty"),
        ({"calibration": {**SAID, "uncertainty": 0.5}}, "less than 0.5"),
        ({"calibration": {**SAID, "current": "I"}}, "give one of rate_e_per_A2_s"),
        ({"calibration": {**SAID, "area_m2": 1.0}}, "quantity: it has no area_m2"),
        ({"calibration": {**SAID, "at": {"spot": [3, 1]}}}, "upside down"),
        ({"calibration": {"rate_e_per_A2_s": 1.0, "uncertainty": 0.1}}, "date"),
        ({"calibration": {"from": "dose", "date": TODAY}}, "from"),
        (
            {"calibration": {"from": "dose.dose", "date": TODAY}},
            "missing: uncertainty, at_l",
        ),
        (
            {
                "calibration": [
                    SAID,
                    {
                        "from": "dose.dose",
                        "date": TODAY,
                        "at_least_e_per_A2_s": 1.0,
                        "at_most_e_per_A2_s": 9.0,
                        "holds_s": 1.0,
                        "uncertainty": 0.1,
                    },
                ]
            },
            "stands alone",
        ),
    ],
)
def test_what_is_wrong_is_said(others, said):
    usual = settings().model_dump(by_alias=True, exclude_none=True)
    with pytest.raises(ConfigError) as caught:
        validate(DoseSettings, {**usual, **others}, where="control.dose")
    assert said in str(caught.value)


def test_one_calibration_may_stand_without_a_list():
    assert settings(calibration=SAID) == settings(calibration=[SAID])
