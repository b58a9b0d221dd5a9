"""``[control.door]``: where other programs may propose, and who they are."""

from __future__ import annotations

from scopeside.params import Params


class DoorSettings(Params):
    """``[control.door]``."""
