"""Drift beside scikit-image's phase correlation: the same where it is easy."""

from __future__ import annotations

import numpy as np
import pytest
from tests.processors.movies import movie

import scopeside

pytestmark = pytest.mark.peers

registration = pytest.importorskip(
    "skimage.registration", reason="scikit-image is the peer"
)

WALK = np.cumsum(np.random.default_rng(11).normal(0, 0.5, (20, 2)), axis=0)
WALK -= WALK[0]


def by_us(frames):
    results = scopeside.apply("drift", frames, trace_every=0)
    return np.array([r.data for r in results])


def by_skimage(frames, normalization):
    """Register each frame with the first, on what a taper leaves of it."""
    taper = np.hanning(frames.shape[1])[:, None] * np.hanning(frames.shape[2])
    still = [(frame / frame.mean() - 1) * taper for frame in frames.astype(float)]
    found = [
        registration.phase_cross_correlation(
            still[0], now, upsample_factor=50, normalization=normalization
        )[0]
        for now in still
    ]
    return -np.array(found)  # theirs is what moves the frame back


def worst(found):
    return np.abs(found - WALK).max()


def test_both_agree_where_electrons_are_many():
    frames = movie(WALK, shape=(128, 128), dose=5e3, rms=0.15)
    ours, theirs = by_us(frames), by_skimage(frames, None)
    assert np.abs(ours - theirs).max() < 0.15
    assert worst(ours) < 0.1


def test_at_few_electrons_theirs_is_lost_and_ours_is_not():
    frames = movie(WALK, shape=(128, 128), dose=3.0, rms=0.08)
    assert worst(by_us(frames)) < 1.0
    for normalization in ("phase", None):
        assert worst(by_skimage(frames, normalization)) > 5
