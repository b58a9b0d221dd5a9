"""``[control.dose]``: what the dose rate is known from, and the budget."""

from __future__ import annotations

from scopeside.params import Params


class DoseSettings(Params):
    """``[control.dose]``."""
