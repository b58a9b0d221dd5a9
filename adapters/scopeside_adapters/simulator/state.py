"""What the simulated instrument is set to, at one time.

Where a shift moves the picture (see `State.content_shift_m`): image shift and stage
carry the content with them; beam shift and view offset move what is looked at, so
the content goes the other way.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class State:
    """What the instrument is set to.

    Attributes
    ----------
    epoch
        Increases with every change.
    image_shift_x_m, image_shift_y_m, beam_shift_x_m, beam_shift_y_m
        Of the coils, metres at the specimen; x along columns, y along rows.
    view_offset_x_m, view_offset_y_m
        Point of the specimen that the view is centred on, metres.
    stage_x_m, stage_y_m, stage_z_m, stage_alpha_rad, stage_beta_rad
        Of the specimen stage.
    defocus_m
        Positive is overfocus.
    magnification, fov_m
        Their product is a constant; `fov_m` is the width of the picture.
    dose_rate_e_per_A2_s
        Electrons on the specimen per Å² and second.
    exposure_s
        Of one frame.
    blanked
        No electrons reach the specimen.
    paused
        The detector takes no frames.
    probe
        (row, column) of the point that the beam is placed on, each 0 (first position
        of the scan) … 1 (last one); None while it scans.
    """

    epoch: int = 0
    image_shift_x_m: float = 0.0
    image_shift_y_m: float = 0.0
    beam_shift_x_m: float = 0.0
    beam_shift_y_m: float = 0.0
    view_offset_x_m: float = 0.0
    view_offset_y_m: float = 0.0
    stage_x_m: float = 0.0
    stage_y_m: float = 0.0
    stage_z_m: float = 0.0
    stage_alpha_rad: float = 0.0
    stage_beta_rad: float = 0.0
    defocus_m: float = 0.0
    magnification: float = 100_000.0
    fov_m: float = 200e-9
    dose_rate_e_per_A2_s: float = 10.0  # noqa: N815 - Å
    exposure_s: float = 0.01
    blanked: bool = False
    paused: bool = False
    probe: tuple[float, float] | None = None

    @property
    def content_shift_m(self) -> tuple[float, float]:
        """(y, x) by which the content of the picture is displaced, metres."""
        return (
            self.image_shift_y_m
            + self.stage_y_m
            - self.beam_shift_y_m
            - self.view_offset_y_m,
            self.image_shift_x_m
            + self.stage_x_m
            - self.beam_shift_x_m
            - self.view_offset_x_m,
        )

    @property
    def electrons_per_A2(self) -> float:  # noqa: N802 - Å is written A in every name
        """Dose of one frame, e⁻/Å²; nothing while blanked."""
        return 0.0 if self.blanked else self.dose_rate_e_per_A2_s * self.exposure_s
