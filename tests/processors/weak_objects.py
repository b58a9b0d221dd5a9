"""Scans of thin objects whose transmission is known, and the direct evaluation."""

import numpy as np
from scipy import ndimage

ENERGY_EV, WAVELENGTH = 80e3, 4.1757161e-12
SEMI = 0.025


def phase_of(n, seed=1, size=0.02, softest=0.12):
    """A smooth random field (n, n), periodic, without the highest frequencies."""
    rng = np.random.default_rng(seed)
    f = np.fft.fftfreq(n)
    keep = np.hypot(f[:, None], f) < softest
    field = np.fft.ifft2(np.fft.fft2(rng.normal(size=(n, n))) * keep).real
    return size * field / field.std()


def aperture_of(n, radius, chi=None, *, sharp=False):
    """The aperture function (n, n) in FFT order, `radius` in pixels."""
    f = np.fft.fftfreq(n, 1 / n)
    disk = np.clip(radius - np.hypot(f[:, None], f) + 0.5, 0, 1)
    disk = np.rint(disk) if sharp else disk
    if chi is None:
        return disk
    pitch = SEMI / radius
    return disk * np.exp(-1j * chi(f[:, None] * pitch, f[None] * pitch))


def patterns(transmission, aperture, positions, size, dose=1000.0):
    """Frames (positions, positions, size, size) float32 of a scan over all of it."""
    n = len(transmission)
    f = np.fft.fftfreq(n)
    out = np.empty((positions, positions, size, size), np.float32)
    lo = n // 2 - size // 2
    for y in range(positions):
        for x in range(positions):
            at = n / positions * np.array([y, x])
            shift = np.exp(-2j * np.pi * (f[:, None] * at[0] + f[None] * at[1]))
            wave = np.fft.fft2(np.fft.ifft2(aperture * shift) * transmission)
            far = np.fft.fftshift(np.abs(wave) ** 2)
            out[y, x] = far[lo : lo + size, lo : lo + size]
    return out * (dose / (np.abs(aperture) ** 2).sum())


def calibration(radius, positions, n, size, **more):
    """What is known of such a scan; a pixel is one cycle of the object."""
    pitch = SEMI / radius
    step = WAVELENGTH / pitch / positions
    return {
        "beam_energy_eV": ENERGY_EV,
        "semi_angle_rad": SEMI,
        "scan_step_m": step,
        "detector_rad_per_px": pitch,
        "centre_px": (size // 2, size // 2),
        **more,
    }


def seen(field, positions, radius):
    """What of a field (n, n) a beam shows: below twice the semi-angle."""
    n = len(field)
    f = np.fft.fftfreq(n, 1 / n)
    keep = np.hypot(f[:, None], f) < 2 * radius
    keep &= np.maximum(abs(f[:, None]), abs(f)) < positions / 2
    step = n // positions
    return np.fft.ifft2(np.fft.fft2(field) * keep).real[::step, ::step]


def agreement(found, truth):
    """Correlation, and slope of `found` against `truth`."""
    a, b = found - found.mean(), truth - truth.mean()
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()), (a * b).sum() / (
        b * b
    ).sum()


def direct(frames, disk, shift_of, angles_of, *, chi=None, to_px=None, cutoff=0.015):
    """The transmission (rows, columns), with a mask a frequency and frame, float64.

    ``disk (h, w)``: amplitude; ``shift_of(ky, kx)``: pixels (y, x) by which the
    frequency moves it, ``angles_of(ky, kx)`` by what angle in the axes of the scan;
    with aberrations ``chi(y, x)`` of such angles, and ``to_px(y, x)``, those of pixels.
    """
    rows, columns, height, width = frames.shape
    flat = frames.reshape(rows * columns, -1).astype(np.float64)
    grid = np.indices((height, width)).astype(np.float64)
    held = disk >= 0.1
    energy = disk[held].sum()
    mean = flat[:, held.ravel()].sum() / (rows * columns * energy)
    y, x = np.divmod(np.arange(rows * columns), columns)
    full = np.zeros((rows, columns), complex)
    for ky in range(-((rows - 1) // 2), (rows - 1) // 2 + 1):
        for kx in range(-((columns - 1) // 2), (columns - 1) // 2 + 1):
            move = np.array(shift_of(ky, kx))[:, None, None]
            angle = angles_of(ky, kx)
            size = np.hypot(*angle)
            if size == 0 or size >= 2 * SEMI:
                continue
            plus, minus = (
                ndimage.map_coordinates(disk, grid + s * move, order=1) for s in (-1, 1)
            )
            lens = [
                held & (plus >= 0.2) & (minus < 0.2),
                held & (minus >= 0.2) & (plus < 0.2),
            ]
            if not (lens[0].any() and lens[1].any()):
                continue
            up = down = np.zeros((height, width))
            if chi is not None:
                here = to_px(*grid)
                up = chi(*here) - chi(here[0] - angle[0], here[1] - angle[1])
                down = chi(here[0] + angle[0], here[1] + angle[1]) - chi(*here)
            brings = [disk * plus * np.exp(1j * up), disk * minus * np.exp(1j * down)]
            weights = [lens[0] * np.exp(-1j * up), lens[1] * np.exp(-1j * down)]
            matrix = [[(w * b).sum() for b in brings] for w in weights]
            share = (
                sum(abs(matrix[i][i]) - abs(matrix[i][1 - i]) for i in (0, 1)) / energy
            )
            turn = np.exp(-2j * np.pi * (ky * y / rows + kx * x / columns))
            sums = [(turn * (flat @ w.ravel())).sum() for w in weights]
            brought = np.linalg.solve(matrix, sums)[0]
            if size > SEMI:
                brought *= share**2 / (share**2 + cutoff**2)
            full[ky, kx] = brought
    return 1 + np.fft.ifft2(full) / mean
