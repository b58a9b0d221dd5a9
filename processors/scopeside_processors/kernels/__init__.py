"""Compiled inner loops. They know arrays, and nothing of acquisitions."""

from __future__ import annotations

import numpy as np

USUAL_PIXELS = tuple(np.dtype(code) for code in ("u1", "<u2"))
"""What cameras usually deliver; for others, kernels are compiled when they come."""
