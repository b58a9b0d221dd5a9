"""Patterns sorted into classes while they come."""

import numpy as np
import pytest

import scopeside
from scopeside.acquisition import Acquisition
from scopeside.errors import ConfigError
from scopeside.testing import check_processor
from scopeside_processors.kernels.project import bin_frames, project
from scopeside_processors.mixture import fit
from scopeside_processors.stem.cluster import Cluster
from scopeside_processors.stem.components import learn, transfer


def grains(rows=24, columns=24, size=32, counts=400.0, seed=0):
    """A scan of three grains and its map; each pattern has spots of its own."""
    rng = np.random.default_rng(seed)
    spots = rng.integers(4, size - 4, (3, 6, 2))
    y, x = np.mgrid[:size, :size]
    patterns = np.full((3, size, size), 0.2)
    for k in range(3):
        for cy, cx in spots[k]:
            patterns[k] += np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 4)
    patterns *= counts / patterns.sum(axis=(1, 2))[:, None, None]
    truth = np.zeros((rows, columns), int)
    truth[:, columns // 3 :] = 1
    truth[rows // 2 :, columns // 2 :] = 2
    thickness = rng.uniform(0.7, 1.3, truth.shape)[..., None, None]
    return rng.poisson(patterns[truth] * thickness).astype(np.uint16), truth, patterns


def found(frames, **params):
    return {r.name: r for r in scopeside.apply("cluster", frames, **params)}


def agreement(labels, truth):
    """The part of the positions whose label stands for one true class."""
    return (
        sum(np.bincount(truth[labels == name]).max() for name in np.unique(labels))
        / truth.size
    )


@pytest.mark.parametrize("method", ["pca", "nmf"])
def test_three_grains_are_three_classes(method):
    frames, truth, _ = grains()
    results = found(frames, method=method, components=4)
    labels = results["labels"].data
    assert agreement(labels, truth) > 0.98
    assert np.count_nonzero(np.bincount(labels.ravel()) > labels.size // 20) == 3


def test_the_classes_bear_the_patterns_of_the_grains():
    frames, truth, patterns = grains()
    results = found(frames, binning=2)
    names = results["classes"].meta["names"]
    binned = bin_frames(patterns, 2)
    for name, mean in zip(names, results["classes"].data, strict=True):
        held = results["labels"].data == name
        true = np.bincount(truth[held]).argmax()
        assert held.sum() < 20 or np.corrcoef(mean.ravel(), binned[true])[0, 1] > 0.97


def test_a_grain_that_comes_late_gets_a_class_of_its_own():
    frames, truth, _ = grains(rows=48, columns=48)
    order = np.argsort(truth.ravel() == 2, kind="stable")
    late = frames.reshape(-1, 32, 32)[order]
    labels = found(late, first=128)["labels"].data
    assert agreement(labels, truth.ravel()[order]) > 0.98


def test_classes_keep_their_names_when_they_are_found_anew():
    frames, _, _ = grains(rows=40, columns=40)
    maps = [
        r.data for r in scopeside.apply("cluster", frames, of=["labels"]) if r.valid
    ]
    early, last = maps[len(maps) // 2], maps[-1]
    seen = early >= 0
    assert (early[seen] == last[seen]).mean() > 0.95


def test_thickness_alone_makes_no_class():
    frames, _, _ = grains(rows=16, columns=16)
    one = frames[:, :5].copy()
    assert len(found(one)["classes"].data) == 1


def test_frames_without_counts_are_invalid_where_they_are():
    frames, _, _ = grains()
    frames[2, 3] = 0
    results = found(frames)
    assert results["labels"].data[2, 3] == -1
    assert not results["labels"].mask[2, 3]
    assert results["labels"].mask.sum() == frames.shape[0] * frames.shape[1] - 1
    assert results["labels"].meta["invalid"] == {"no counts": 1}


def test_a_frame_with_nan_harms_no_other():
    frames, _, _ = grains()
    spoilt = frames.astype(np.float32)
    spoilt[0, 0, 0, 0] = np.nan
    clean = found(frames.astype(np.float32))["labels"]
    results = found(spoilt)["labels"]
    assert results.meta["invalid"] == {"not a number": 1}
    assert agreement(results.data.ravel()[1:], clean.data.ravel()[1:]) > 0.99


def test_too_few_frames_say_so():
    result = found(np.ones((3, 8, 8), np.uint8))["labels"]
    assert not result.valid
    assert "fewer than 8" in result.reason


def test_a_binning_that_leaves_nothing_is_refused():
    with pytest.raises(ConfigError, match="binning = 9"):
        found(np.ones((9, 8, 8), np.uint8), binning=9)


@pytest.mark.parametrize("method", ["pca", "nmf"])
def test_keeps_the_laws_of_a_processor(method):
    frames, _, _ = grains(rows=6, columns=6, size=16)
    params = {
        "method": method,
        "components": 2,
        "first": 8,
        "of": ["labels", "classes", "probability", "loadings", "components"],
    }
    check_processor(Cluster, frames, params=params)


def test_bins_are_sums_of_pixels():
    frames = np.arange(2 * 5 * 7, dtype=np.uint16).reshape(2, 5, 7)
    expected = frames[:, :4, :6].reshape(2, 2, 2, 3, 2).sum(axis=(2, 4))
    np.testing.assert_array_equal(bin_frames(frames, 2), expected.reshape(2, -1))


def test_a_projection_is_a_product_and_a_distance():
    rng = np.random.default_rng(1)
    x, onto, w, m = rng.random((5, 9)), rng.random((9, 3)), rng.random(9), rng.random(9)
    products, distance = project(x, onto, w, m)
    np.testing.assert_allclose(products, x @ onto)
    np.testing.assert_allclose(distance, ((x * w - m) ** 2).sum(axis=1))


def test_bettered_components_span_what_all_patterns_together_do():
    rng = np.random.default_rng(2)
    hidden = rng.random((3, 60)) * 50
    patterns = rng.poisson(rng.random((400, 3)) @ hidden + 5).astype(float)
    few = learn(patterns[:100], 3, "pca", 0)
    for at in range(100, 400, 60):
        few = few.bettered(patterns[at : at + 60])
    weighted = patterns * few.weight
    _, _, best = np.linalg.svd(weighted - weighted.mean(0), full_matrices=False)
    cosines = np.linalg.svd(few.vectors @ best[:3].T)[1]
    assert cosines.min() > 0.99


@pytest.mark.parametrize("method", ["pca", "nmf"])
def test_old_loadings_stand_for_the_same_patterns_afterwards(method):
    rng = np.random.default_rng(3)
    patterns = rng.poisson(rng.random((200, 3)) @ (rng.random((3, 40)) * 90) + 1)
    patterns = patterns.astype(float)
    old = learn(patterns[:100], 3, method, 0)
    new = old.bettered(patterns[100:])
    turn, shift = transfer(old, new)
    loads, _ = old.loadings(patterns[:100])
    moved = new.patterns(loads @ turn + shift)
    assert np.corrcoef(moved.ravel(), old.patterns(loads).ravel())[0, 1] > 0.97


def test_bic_finds_the_number_of_clouds():
    rng = np.random.default_rng(4)
    centres = np.array([[0, 0], [8, 0], [0, 9], [9, 9.0]])
    points = np.concatenate([c + rng.normal(size=(80, 2)) for c in centres])
    for spread in ("full", "equal"):
        assert len(fit(points, range(1, 8), 0, spread).share) == 4


def test_a_point_has_its_class_whoever_else_is_asked_for():
    rng = np.random.default_rng(5)
    points = rng.normal(size=(300, 4))
    found = fit(points, 3, 0)
    whole = found.log_densities(points)
    for k in range(0, 300, 37):
        assert (found.log_densities(points[k : k + 1]) == whole[k]).all()


def test_equal_points_are_one_class():
    assert len(fit(np.ones((50, 2)), range(1, 5), 0).share) == 1


def test_frames_of_another_shape_are_refused():
    about = Acquisition("a", (8, 8), np.dtype("u1"), frames=4)
    with pytest.raises(scopeside.errors.ShapeError):
        list(scopeside.apply("cluster", np.ones((4, 6, 6), np.uint8), about))
