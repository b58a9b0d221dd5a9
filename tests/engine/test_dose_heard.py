"""The dose rate of a result that counts electrons, as the processor `dose` makes it."""

import numpy as np
import pytest
from tests.dose_hour import TODAY, settings

import scopeside
from scopeside.control.dose_heard import measured
from scopeside.result import Result

COUNTS = settings(
    calibration={
        "from": "dose.dose",
        "uncertainty": 0.1,
        "at_least_e_per_A2_s": 1.0,
        "at_most_e_per_A2_s": 100.0,
        "holds_s": 1.0,
        "date": TODAY,
    }
)


def test_the_processor_dose_says_what_the_account_needs():
    frames = np.full((2, 64, 64), 10, "u2")
    frames[1] += np.eye(64, dtype="u2")
    known = {"counts_per_electron": 1.0, "pixel_size_m": 1e-10, "frame_time_s": 0.5}
    results = list(scopeside.apply("dose", frames, known))
    rate, sigma = measured(COUNTS, "dose", results[0])
    assert rate == pytest.approx(20.0)  # 10 e⁻ in a pixel of 1 Å², in 0.5 s
    assert sigma == pytest.approx(np.sqrt(10 / 64**2) / 0.5)


def row(rate, **others):
    meta = {"columns": ["e_per_px", "rate_e_per_A2_s"]}
    data = np.array([[0.0, rate]])
    return Result("dose", **{"data": data, "kind": "table", "meta": meta, **others})


def test_a_deviation_that_is_not_said_is_none():
    assert measured(COUNTS, "dose", row(3.0)) == (3.0, 0.0)


@pytest.mark.parametrize(
    ("processor", "result"),
    [
        ("other", row(3.0)),
        ("dose", row(3.0, valid=False, reason="saturated pixels")),
        ("dose", row(float("nan"))),
        ("dose", row(3.0, meta={})),
    ],
)
def test_what_is_no_measurement_is_none(processor, result):
    assert measured(COUNTS, processor, result) is None


def test_without_a_counting_detector_nothing_is_measured():
    assert measured(settings(), "dose", row(3.0)) is None
    assert measured(None, "dose", row(3.0)) is None
