"""``[control.view]``: how a view offset is made from shifters and stage."""

from __future__ import annotations

from scopeside.params import Params


class ViewSettings(Params):
    """``[control.view]``."""
