"""Recognises the same particles in another place: a shift that most agree on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.special import pdtrc

FloatArray = npt.NDArray[np.float64]

_FEWEST = 4
_CHANCE = 1e-4
"""Probability below which an agreement is no accident."""
_MOST = 300
"""Places of each side that are compared."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How places went over into others.

    Attributes
    ----------
    shift : (dy, dx) px, from the places before, magnified, to those after
    count : places that agree
    """

    shift: tuple[float, float]
    count: int


def recognise(
    before: FloatArray,
    after: FloatArray,
    area: float,
    tolerance: float = 3.0,
    magnification: float = 1.0,
) -> Agreement | None:
    """Return the shift on which most places agree; None where it may be an accident.

    Parameters
    ----------
    before, after : (n, 2), (m, 2) px; the first 300 of each are compared
    area : px² of the frame, for how likely an accident is
    tolerance : px, by which places may differ
    magnification : by which distances have grown

    Notes
    -----
    Every pair votes for its difference. The number of votes that fall together by
    accident is a Poisson number; the largest is believed if, with as many tries as
    there are pairs, it would come about with a probability below 1e-4. Particles that
    move between the two are to be fewer than those that stay.
    """
    before, after = magnification * before[:_MOST], after[:_MOST]
    if min(len(before), len(after)) < _FEWEST:
        return None
    votes = (after[None] - before[:, None]).reshape(-1, 2)
    tree = cKDTree(votes)
    counts = tree.query_ball_point(votes, tolerance, return_length=True)
    best = int(counts.argmax())
    together = tree.query_ball_point(votes[best], tolerance)
    # A place votes once for each of its pairs, but agrees once.
    from_, to = np.divmod(np.array(together), len(after))
    count = min(len(np.unique(from_)), len(np.unique(to)))
    accidents = len(votes) * np.pi * tolerance**2 / area
    chance = len(votes) * float(pdtrc(count - 1, accidents))
    if count < max(_FEWEST, len(before) / 3) or chance > _CHANCE:
        return None
    dy, dx = np.median(votes[together], axis=0)
    return Agreement((float(dy), float(dx)), count)
