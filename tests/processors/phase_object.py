"""Noise-free patterns of a thin phase object, and what a deflection shows of it."""

from dataclasses import dataclass

import numpy as np

from scopeside_processors.stem.calibration import wavelength_m

SIDE = 48
"""Pixels of the object and of the camera; every second one is a probe position."""
CELL_M = (1.2e-9, 1.5e-9)
ENERGY_EV = 80e3


@dataclass
class PhaseObject:
    """Patterns (rows, columns, height, width), and the phase convolved with the probe.

    By the weak-phase-free theory of Müller et al. (2014) and Lazić et al. (2016) the
    centre of mass of a multiplicative object is λ/2π ∇(φ ⊛ |P|²), exactly.
    """

    patterns: np.ndarray
    truth: np.ndarray
    acquisition: dict


def phase_object(semi_angle=15e-3, strength=0.3, seed=3, smooth_m=0.06e-9):
    """A random phase, smooth and periodic, seen through a soft aperture."""
    length = wavelength_m(ENERGY_EV)
    ky, kx = (np.fft.fftfreq(SIDE, cell / SIDE) for cell in CELL_M)
    k2 = ky[:, None] ** 2 + kx**2
    noise = np.fft.fft2(np.random.default_rng(seed).normal(size=(SIDE, SIDE)))
    phase = np.fft.ifft2(noise * np.exp(-2 * k2 * (np.pi * smooth_m) ** 2)).real
    phase *= strength / phase.std()
    away = (semi_angle / length - np.sqrt(k2)) * min(CELL_M)
    aperture = np.clip(away + 0.5, 0, 1)
    probe = np.fft.ifft2(aperture)
    intensity = np.abs(probe) ** 2 / (np.abs(probe) ** 2).sum()
    truth = np.fft.ifft2(np.fft.fft2(phase) * np.fft.fft2(intensity).conj()).real
    waves = [
        [np.roll(probe, (y, x), (0, 1)) for x in range(0, SIDE, 2)]
        for y in range(0, SIDE, 2)
    ]
    spread = np.abs(np.fft.fft2(np.array(waves) * np.exp(1j * phase))) ** 2
    patterns = np.fft.fftshift(spread, axes=(2, 3))
    truth = truth[::2, ::2]
    return PhaseObject(
        patterns / patterns[0, 0].sum(),
        truth - truth.mean(),
        {
            "scan": [SIDE // 2, SIDE // 2],
            "beam_energy_eV": ENERGY_EV,
            "semi_angle_rad": semi_angle,
            "scan_step_m": [2 * cell / SIDE for cell in CELL_M],
            "detector_rad_per_px": [length / cell for cell in CELL_M],
            "centre_px": [SIDE // 2, SIDE // 2],
        },
    )


def agreement(found, truth):
    """Correlation with the truth, and slope."""
    found, truth = found - np.mean(found), truth - np.mean(truth)
    product = (found * truth).sum()
    scale = np.sqrt((found**2).sum() * (truth**2).sum())
    return product / scale, product / (truth**2).sum()
