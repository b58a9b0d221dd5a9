"""G(r) of patterns whose atoms are known."""

import numpy as np
import pytest

import scopeside
from scopeside.errors import ConfigError
from scopeside_processors.stem import pdf as module
from scopeside_processors.stem.pdf import PdfParams, pair_distribution, scattering

pytest.importorskip("gemmi", reason="pdf needs gemmi (extra crystal)")

LATTICE = 4.078  # Å, gold


def distances(cells=4):
    """Distances in a cube of so many cells of gold, how often, and the atoms."""
    cell = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    corner = np.array(np.meshgrid(*[np.arange(cells)] * 3)).reshape(3, -1).T
    atoms = (corner[:, None] + cell).reshape(-1, 3) * LATTICE
    apart = np.linalg.norm(atoms[:, None] - atoms[None], axis=2)
    found, count = np.unique(apart[np.triu_indices(len(atoms), 1)].round(6),
                             return_counts=True)  # fmt: skip
    return found, count, len(atoms)


def debye(q, mean_square):
    """Intensity an atom of that cube, Debye's equation."""
    apart, count, atoms = distances()
    pairs = (count * np.sinc(np.outer(q, apart) / np.pi)).sum(axis=1)
    return mean_square * (1 + 2 * pairs / atoms)


def tops(r, g, above):
    inner = (g[1:-1] > g[:-2]) & (g[1:-1] > g[2:]) & (g[1:-1] > above * g.max())
    return r[1:-1][inner]


def test_peaks_lie_at_the_distances_of_the_atoms():
    q = np.arange(0.5, 22, 0.05)
    factors = scattering({"Au": 1}, q)
    given = PdfParams(composition={"Au": 1}, q_min=0.5, damping=0.005, r_max=8)
    found = pair_distribution(q, 3.7 * debye(q, factors[1]), factors, given)
    near = LATTICE * np.sqrt([0.5, 1, 1.5, 2])
    np.testing.assert_allclose(tops(found.r, found.g, 0.12)[:4], near, atol=0.05)
    assert found.scale == pytest.approx(3.7, rel=0.03)


def test_what_is_slow_in_q_is_taken_off():
    q = np.arange(0.5, 22, 0.05)
    factors = scattering({"Au": 1}, q)
    intensity = debye(q, factors[1])
    given = PdfParams(composition={"Au": 1}, q_min=0.5, damping=0.01, r_max=8)
    clean = pair_distribution(q, intensity, factors, given)
    dirty = pair_distribution(
        q, intensity + factors[1] * (0.2 - 0.01 * q), factors, given
    )
    assert np.corrcoef(clean.g, dirty.g)[0, 1] > 0.999


def test_atoms_far_apart_have_no_pairs():
    q = np.linspace(0.5, 20, 300)
    factors = scattering({"Si": 1, "O": 2}, q)
    given = PdfParams(composition={"Si": 1, "O": 2}, q_min=0.5)
    found = pair_distribution(q, 5 * factors[1], factors, given)
    assert np.abs(found.g).max() < 1e-9


def test_factors_of_a_mixture_are_its_means():
    q = np.array([0.0, 4.0])
    one, other = scattering({"Si": 1}, q), scattering({"O": 1}, q)
    squared_mean, mean_square = scattering({"Si": 1, "O": 2}, q)
    f = [np.sqrt(one[0]), np.sqrt(other[0])]
    np.testing.assert_allclose(squared_mean, ((f[0] + 2 * f[1]) / 3) ** 2)
    np.testing.assert_allclose(mean_square, (f[0] ** 2 + 2 * f[1] ** 2) / 3)
    assert f[0][0] == pytest.approx(5.83, abs=0.03)  # Å, f(0) of silicon


def test_a_stream_gives_g_of_its_mean_profile():
    size, step = 256, 0.16
    row, column = np.mgrid[:size, :size] - (size - 1) / 2
    q = np.maximum(step * np.hypot(row, column), 0.1)
    fine = np.arange(0.05, 30, 0.02)
    curve = debye(fine, scattering({"Au": 1}, fine)[1])
    frames = np.interp(q, fine, curve)[None].astype(np.float32) * np.ones((3, 1, 1))
    per_px = step / (2 * np.pi) * 0.025079  # rad, at 200 kV
    found = scopeside.apply(
        "radial",
        frames.astype(np.float32),
        {"beam_energy_eV": 200e3, "detector_rad_per_px": per_px},
        of=["pdf"],
        split=2,
        pdf={"composition": {"Au": 1}, "q_min": 1.0, "damping": 0.01, "r_max": 8.0},
    )
    (result,) = found
    assert result.data.shape == (400, 2)
    first = tops(*result.data.T, 0.3)[0]
    assert first == pytest.approx(LATTICE / np.sqrt(2), abs=0.06)
    assert result.meta["q_max"] < 21


def test_an_element_that_is_none_is_refused():
    with pytest.raises(ConfigError, match=r"pdf\.composition: no element 'Qq'"):
        scattering({"Qq": 1.0}, np.ones(3))


def test_the_module_says_which_extra_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gemmi", None)
    with pytest.raises(module.MissingExtraError, match=r"scopeside\[crystal\]"):
        scattering({"Au": 1.0}, np.ones(3))
