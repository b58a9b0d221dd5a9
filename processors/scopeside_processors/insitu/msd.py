"""Mean square displacements of a track with gaps, and the line through them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.steps import Steps

FloatArray = npt.NDArray[np.float64]


def mean_square_displacements(
    steps: Steps, lags: int
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Return the mean squares over 1 to `lags` frames, both coordinates summed.

    Returns
    -------
    squares : (lags,) float64, px²
        NaN where no two positions are so far apart.
    pairs : (lags,) int64
        Pairs of positions, which overlap, that each is the mean of.
    """
    span = int(steps.frames[-1] - steps.frames[0]) + 1
    whole = np.full((span, 2), np.nan)
    whole[steps.frames - steps.frames[0]] = steps.positions
    squares = np.full(lags, np.nan)
    pairs = np.zeros(lags, np.int64)
    for lag in range(1, min(lags, span - 1) + 1):
        moved = ((whole[lag:] - whole[:-lag]) ** 2).sum(axis=1)
        known = moved[~np.isnan(moved)]
        pairs[lag - 1] = len(known)
        if len(known):
            squares[lag - 1] = known.mean()
    return squares, pairs


def best_lags(noise: float, steps: int) -> int:
    """Return how many lags a line through mean squares should use.

    Parameters
    ----------
    noise
        Intercept of the line over its slope per frame: (σ²/DΔt - 2R), ≥ -1/3.
    steps
        Of the track.

    References
    ----------
    .. [1] X. Michalet, Phys. Rev. E 82, 041914 (2010),
       doi:10.1103/PhysRevE.82.041914, appendix: rounded from its fit for the slope
    """
    wanted = 2 + 2.7 * np.sqrt(max(noise, 0.0))
    most = max(2.0, steps / 2)
    return round(float(min(wanted, most)))


def fit_of_msd(steps: Steps, blur: float) -> tuple[float, float]:
    """Return D (px²/frame) and σ² (px²) of a line through the best number of lags.

    Which number that is depends on the noise; so the line is fitted until it stays.

    References
    ----------
    .. [1] X. Michalet, A. J. Berglund, Phys. Rev. E 85, 061916 (2012),
       doi:10.1103/PhysRevE.85.061916
    """
    most = max(2, len(steps) // 2)
    squares, _ = mean_square_displacements(steps, most)
    lag = np.arange(1, most + 1)
    use, tried = 2, set[int]()
    slope, intercept = np.nan, np.nan
    while use not in tried:
        tried.add(use)
        near = np.isfinite(squares) & (lag <= use)
        while near.sum() < 2 and use < most:
            use += 1
            near = np.isfinite(squares) & (lag <= use)
        if near.sum() < 2:
            break
        slope, intercept = np.polyfit(lag[near], squares[near], 1)
        noise = intercept / slope if slope > 0 else np.inf
        use = best_lags(noise, len(steps)) if np.isfinite(noise) else most
        use = min(use, most)
    d = slope / 4
    return float(d), float(intercept / 4 + 2 * blur * d)
