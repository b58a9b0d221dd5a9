"""The processors on a card: the laws, and the same results as on the CPU."""

import numpy as np
import pytest

from scopeside.acquisition import Acquisition
from scopeside.scan import Scan
from scopeside.testing import devices_agree
from scopeside.trial import Case
from scopeside_processors.stem.com import CentreOfMass
from scopeside_processors.stem.sum import Sum
from scopeside_processors.stem.virtual import Virtual

RINGS = {
    "bf": {"disk": [7, 8, 4]},
    "adf": {"annulus": [7, 8, 4, 9]},
    "all": {"rectangle": [0, 0, 15, 17]},
}
WEIGHTED = {**RINGS, "moving": {"disk": [3]}}
CASES = {
    "virtual": (Virtual, {"detectors": RINGS}),
    "virtual with a moving one": (Virtual, {"detectors": WEIGHTED, "centre": "find"}),
    "virtual that follows descan": (
        Virtual,
        {"detectors": WEIGHTED, "descan": [[7, 1, 0], [8, 0, -3]]},
    ),
    "com": (CentreOfMass, {"of": ["com", "total"]}),
    "com in a mask": (CentreOfMass, {"mask": {"disk": [7, 8, 4]}}),
    "sum": (Sum, {}),
}


def case_of(name, dtype):
    cls, params = CASES[name]
    frames = np.random.default_rng(5).poisson(3, (8, 15, 17)).astype(dtype)
    frames[3] = 0
    scan = Scan((2, 4))
    about = Acquisition(
        id="laws",
        frame_shape=(15, 17),
        dtype=frames.dtype,
        kind="scan4d",
        frames=8,
        scan=scan,
    )
    return Case(cls, about, cls.Params.model_validate(params), frames)


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<u4", "<f4"])
@pytest.mark.parametrize("name", CASES)
def test_the_card_gives_what_the_cpu_gives(card, name, dtype):
    devices_agree(case_of(name, dtype), card)
    assert "launch" in card.calls


@pytest.mark.parametrize("dtype", ["<i2", "<f8", "<u8"])
def test_pixels_without_a_kernel_stay_on_the_cpu(card, dtype):
    devices_agree(case_of("com", dtype), card)
    assert "launch" not in card.calls


def test_made_for_the_cpu_a_processor_takes_no_card():
    case = case_of("sum", "<u2")
    assert not case.new().takes_card()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["u1", "<u2", "<u4", "<f4"])
@pytest.mark.parametrize("name", CASES)
def test_a_real_gpu_gives_what_the_cpu_gives(real_card, name, dtype):
    devices_agree(case_of(name, dtype), real_card)
