"""What a temscript server says that the microscope is set to."""

from __future__ import annotations

from scopeside.control.instrument import Value
from scopeside_adapters.microscope.temscript.parameters import TemscriptParams
from scopeside_adapters.microscope.temscript.server import TemscriptServer

AXES = {"x_m": "x", "y_m": "y", "z_m": "z", "alpha_rad": "a", "beta_rad": "b"}
"""Of the stage: our name and temscript's."""
Values = dict[str, Value]


class Reading:
    """Asks for one quantity after another, and returns them by our names, in SI."""

    def __init__(self, server: TemscriptServer, params: TemscriptParams) -> None:
        self._server = server
        self._wait_s = params.answer_s
        self._defocus_unit_m = params.defocus_unit_m

    def everything(self) -> Values:
        """Return all that is known."""
        modes = [
            self._server.word(f"{of}_mode", self._wait_s)
            for of in ("instrument", "illumination", "projection")
        ]
        return {
            "mode": " ".join(modes),
            # temscript says kilovolts; 0 while the high tension is off.
            "high_tension_V": 1e3 * self._server.number("voltage", self._wait_s),
            **self.blanked(),
            **self.shift("beam_shift"),
            **self.shift("image_shift"),
            **self.stage(),
            **(self._scan() if modes[0] == "STEM" else self.magnification()),
            **self.defocus(),
        }

    def blanked(self) -> Values:
        """Return whether the beam is blanked."""
        return {"blanked": self._server.switch("beam_blanked", self._wait_s)}

    def shift(self, what: str) -> Values:
        """Return ``beam_shift`` or ``image_shift``."""
        x, y = self._server.pair(what, self._wait_s)
        return {f"{what}_x_m": x, f"{what}_y_m": y}

    def stage(self) -> Values:
        """Return the position along those axes that the stage has."""
        found = self._server.table("stage_position", self._wait_s)
        return {
            f"stage_{ours}": self._server.as_number(f"stage_position {its}", found[its])
            for ours, its in AXES.items()
            if its in found
        }

    def magnification(self) -> Values:
        """Return what is indicated in TEM; nothing in diffraction, where it is 0."""
        value = self._server.number("indicated_magnification", self._wait_s)
        return {"magnification": value} if value > 0 else {}

    def defocus(self) -> Values:
        """Return the defocus, if its unit is known."""
        if self._defocus_unit_m is None:
            return {}
        value = self._server.number("defocus", self._wait_s)
        return {"defocus_m": value * self._defocus_unit_m}

    def _scan(self) -> Values:
        return {
            "magnification": self._server.number("stem_magnification", self._wait_s),
            "rotation_rad": self._server.number("stem_rotation", self._wait_s),
        }
