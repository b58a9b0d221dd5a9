"""Corrections and the variance against LiberTEM: other code for the same sums."""

import numpy as np
import pytest

import scopeside

pytestmark = [
    pytest.mark.peers,
    # LiberTEM and what it stands on warn of each other's changes.
    pytest.mark.filterwarnings("ignore"),
]

FRAMES = np.random.default_rng(5).poisson(20, (6, 7, 33, 40)).astype(np.uint16)


@pytest.fixture(scope="module")
def context():
    api = pytest.importorskip("libertem.api", reason="libertem is missing")
    return api.Context.make_with("inline")


def masks_of():
    row, column = np.indices((33, 40))
    distance = np.hypot(row - 16, column - 20)
    return [distance <= 8, (distance > 8) & (distance <= 15)]


def test_libertem_corrects_by_dark_and_gain_alike(context, tmp_path):
    from libertem.io.corrections import CorrectionSet
    from libertem.udf.masks import ApplyMasksUDF

    rng = np.random.default_rng(6)
    dark, gain = rng.normal(2, 0.3, (33, 40)), rng.uniform(0.8, 1.2, (33, 40))
    np.save(tmp_path / "dark.npy", dark)
    np.save(tmp_path / "gain.npy", gain)
    found = scopeside.apply(
        "virtual",
        FRAMES,
        detectors={
            "bf": {"disk": [16, 20, 8]},
            "adf": {"annulus": [16, 20, 8, 15]},
        },
        dark=tmp_path / "dark.npy",
        gain=tmp_path / "gain.npy",
    )
    data = context.load("memory", data=FRAMES, sig_dims=2)
    factories = [lambda mask=mask: mask.astype(np.float64) for mask in masks_of()]
    udf = ApplyMasksUDF(factories, mask_dtype=np.float64)
    corrections = CorrectionSet(dark=dark, gain=gain)
    said = context.run_udf(dataset=data, udf=udf, corrections=corrections)
    expected = said["intensity"].data
    for k, image in enumerate(found):
        np.testing.assert_allclose(image.data, expected[..., k], rtol=1e-6)


def test_libertem_finds_the_same_variance(context):
    from libertem.udf.stddev import StdDevUDF

    (found,) = scopeside.apply("sum", FRAMES, of=["variance"])
    data = context.load("memory", data=FRAMES, sig_dims=2)
    expected = context.run_udf(dataset=data, udf=StdDevUDF())["var"].data
    np.testing.assert_allclose(found.data, expected, rtol=1e-5)
    np.testing.assert_allclose(found.data, FRAMES.var(axis=(0, 1)), rtol=1e-13)
