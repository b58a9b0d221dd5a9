"""Reads the dose rate out of a result that counts electrons."""

from __future__ import annotations

import math

import numpy as np

from scopeside.control.dose_settings import DoseSettings
from scopeside.result import Result

RATE = "rate_e_per_A2_s"
SIGMA = "rate_sigma_e_per_A2_s"


def measured(
    settings: DoseSettings | None, processor: str, result: Result
) -> tuple[float, float] | None:
    """Return dose rate and its standard deviation from counting, e⁻/Å²/s.

    Parameters
    ----------
    settings : ``[control.dose]``; `counted_by` names the result that counts
    processor : whose result it is

    Returns
    -------
    (float, float) or None
        None where it is another result, or is invalid (a camera that is saturated), or
        has no column ``rate_e_per_A2_s``. The last row counts; a deviation that the
        result does not say in ``meta["rate_sigma_e_per_A2_s"]`` is 0.
    """
    if settings is None or f"{processor}.{result.name}" != settings.counted_by:
        return None
    columns = list(result.meta.get("columns", ()))
    if not result.valid or RATE not in columns:
        return None
    rate = float(np.asarray(result.data, np.float64)[-1, columns.index(RATE)])
    said = result.meta.get(SIGMA)
    sigma = 0.0 if said is None else float(said)
    if not (math.isfinite(rate) and math.isfinite(sigma)):
        return None
    return max(rate, 0.0), sigma
