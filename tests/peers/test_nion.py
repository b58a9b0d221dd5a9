"""The control adapter `nion` against Nion Swift's simulated microscope."""

import math
import os
import signal
import subprocess
from pathlib import Path

import pytest

from scopeside.control.instrument import Call
from scopeside.control.trial import check_instrument
from scopeside.errors import InstrumentError
from scopeside.messages import validate
from scopeside_adapters.microscope.nion import NionControl, NionParams

pytestmark = pytest.mark.peers

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-nion/bin/python"
CALLS = [
    Call("set_beam_shift", {"x_m": 1e-8, "y_m": -2e-8}),
    Call("move_stage", {"x_m": 1e-7}),
    Call("move_stage", {"x_m": -1e-7, "y_m": 3e-7}),
    Call("set_defocus", {"defocus_m": -1e-7}),
]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    if not PYTHON.exists():
        pytest.skip("nionswift-usim is not installed (make .venv-nion)")
    where = f"ipc://{tmp_path_factory.mktemp('nion')}/swift"
    process = subprocess.Popen(
        [
            PYTHON,
            "-m",
            "scopeside_adapters.microscope.nion_server",
            "--simulated",
            where,
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT / "adapters")},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert "serving" in process.stdout.readline()
        yield where
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        process.stdout.close()


def nion(endpoint):
    return NionControl(validate(NionParams, {"endpoint": endpoint}))


def test_keeps_the_laws_of_an_instrument(endpoint):
    near = dict.fromkeys(
        ("beam_shift_x_m", "beam_shift_y_m", "stage_x_m", "stage_y_m", "defocus_m"),
        1e-15,
    )
    check_instrument(lambda: nion(endpoint), CALLS, tolerance=near)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_swift_would_take_is_refused_before_it(endpoint, value):
    one = nion(endpoint)
    one.open()
    try:
        before = one.read().values
        with pytest.raises(InstrumentError):
            one.act(Call("set_beam_shift", {"x_m": value, "y_m": 0.0}))
        assert one.read().values == before
        assert before["high_tension_V"] == 100e3
    finally:
        one.close()
