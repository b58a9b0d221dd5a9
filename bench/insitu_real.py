"""The in-situ processors on real movies: the pictures of docs/insitu_real_data.md.

    SCOPESIDE_DATA=FOLDER python bench/insitu_real.py [--only au_liquid_cell]

Nobody knows the truth of these movies, so nothing here is an accuracy. How well drift
is held is told by how well the two halves of the field agree.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib import pyplot as plt
from PIL import Image
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))

import scopeside  # noqa: E402 - found by the lines above
from scopeside.acquisition import Acquisition  # noqa: E402
from scopeside.plugins import PROCESSORS, installed  # noqa: E402
from scopeside.result import Result  # noqa: E402
from scopeside_processors.insitu.incoming import Incoming  # noqa: E402
from scopeside_processors.insitu.stabilise import Drift, Stabiliser  # noqa: E402

Array = npt.NDArray[Any]

PICTURES = ROOT / "docs/pictures/insitu"
MOST_BYTES = 150_000
GREYS = 32
NUCLEUS = {"candidate": "orange", "confirmed": "red", "dissolved": "deepskyblue"}


@dataclass(frozen=True)
class Movie:
    """Frames of a folder, and what a person would set for them."""

    name: str
    files: str
    nucleation: dict[str, Any] = field(default_factory=dict)
    particles: dict[str, Any] = field(default_factory=dict)
    track: dict[str, Any] = field(default_factory=dict)
    rows: int | None = None
    """How many rows of a frame show the specimen; all of them if None."""


MOVIES = (
    # Below are a scale bar and the time, which stand still where the foil drifts.
    Movie("ti_heating", "ti_heating_1691-1698/*.png", rows=378),
    Movie("au_liquid_cell", "au_liquid_cell/*.tif"),
    Movie("liquid_cell_lowdose", "liquid_cell_lowdose/*.tif"),
    Movie("radiolysis_lowdose", "radiolysis_lowdose/*.tif"),
)


def frames_of(movie: Movie, folder: Path) -> Array:
    """Return the frames (n, height, width) of a movie; colours become grey."""
    files = sorted((folder / "movies").glob(movie.files))
    frames = np.stack([np.asarray(iio.imread(path))[: movie.rows] for path in files])
    if frames.ndim == 4:
        frames = np.rint(frames[..., :3].mean(axis=-1)).astype(frames.dtype)
    return frames


@dataclass
class Found:
    """What a processor has said of a movie."""

    results: list[Result]
    ms: float

    @property
    def valid(self) -> list[Result]:
        """Those of the results that are valid."""
        return [result for result in self.results if result.valid]

    @property
    def reasons(self) -> dict[str, int]:
        """How often there was no result, by reason."""
        said = [result.reason for result in self.results if not result.valid]
        return {reason: said.count(reason) for reason in dict.fromkeys(said)}


def run(kind: str, frames: Array, **params: Any) -> Found:
    """Return what a processor finds, and its processor time for a frame."""
    list(scopeside.apply(kind, frames, **params))  # compiled from here on
    began = time.thread_time()
    results = list(scopeside.apply(kind, frames, **params))
    return Found(results, 1e3 * (time.thread_time() - began) / len(frames))


def drifts(frames: Array) -> list[Drift]:
    """Return the drift of each frame, as the processors see it."""
    about = Acquisition("real", frames.shape[1:], frames.dtype)
    incoming, stabiliser = Incoming(about), Stabiliser(about)
    seen = enumerate(frames)
    return [stabiliser.of(frame, incoming.look(frame, i)) for i, frame in seen]


def vectors(found: list[Drift]) -> Array:
    """Return (n, 2) px; NaN where the content was not found."""
    nothing = np.nan, np.nan
    return np.array([(one.dy, one.dx) if one.locked else nothing for one in found])


def aligned_mean(frames: Array, drift: Array) -> Array:
    """Return the mean of the frames in the place where frame 0 lies."""
    total, seen = np.zeros(frames.shape[1:]), np.zeros(frames.shape[1:])
    for frame, d in zip(frames, drift, strict=True):
        if np.isfinite(d).all():
            total += ndimage.shift(frame.astype(float), -d, order=1)
            seen += ndimage.shift(np.ones(frame.shape), -d, order=1)
    return total / np.where(seen > 0.5, seen, np.nan)


def halves_differ(frames: Array) -> float:
    """Return by how much the drifts of the left and right half of the field differ.

    px along one axis, root of the mean square, once their mean is taken off; divided by
    √2, so that it is the error of one half if both err independently.
    """
    middle = frames.shape[2] // 2
    halves = frames[:, :, :middle], frames[:, :, middle:]
    left, right = (vectors(drifts(np.ascontiguousarray(half))) for half in halves)
    apart = left - right
    apart -= np.nanmean(apart, axis=0)
    return float(np.sqrt(np.nanmean(apart**2) / 2))


def grey(axes: Any, picture: Array, title: str) -> None:
    """Draw a picture between its 1 % and 99 % quantiles."""
    low, high = np.nanquantile(picture, [0.01, 0.99])
    axes.imshow(picture, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    axes.set_title(title, fontsize=8)
    axes.axis("off")
    axes.autoscale(enable=False)  # what is drawn on it does not make it larger


def palette() -> Image.Image:
    """Return the few colours that pictures have: greys, and what is drawn on them."""
    drawn = ["red", "orange", "deepskyblue", "gray"]
    drawn += [f"tab:{name}" for name in ("blue", "green", "purple", "pink", "olive")]
    colours = [np.full(3, level) for level in np.linspace(0, 1, GREYS)]
    colours += [np.array(mpl.colors.to_rgb(name)) for name in drawn]
    held = Image.new("P", (1, 1))
    held.putpalette(np.rint(255 * np.concatenate(colours)).astype("u1").tobytes())
    return held


def save(figure: Any, name: str) -> Path:
    """Save a figure in few colours, as large as its bytes allow."""
    path = PICTURES / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    for dpi in range(130, 40, -10):
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=dpi, format="png")
        picture = Image.open(buffer).convert("RGB")
        few = picture.quantize(palette=palette(), dither=Image.Dither.NONE)
        few.save(path, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            break
    plt.close(figure)
    return path


def draw_drift(movie: Movie, frames: Array) -> Iterator[str]:
    """Draw the mean of the frames as they came and along the drift."""
    found = drifts(frames)
    drift = vectors(found)
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.4), layout="constrained")
    grey(axes[0], frames[-1], "last frame")
    grey(axes[1], frames.mean(axis=0), f"mean of {len(frames)} frames as they came")
    grey(axes[2], aligned_mean(frames, drift), "mean along the drift")
    sigma = np.array([one.sigma for one in found])
    for k, name in enumerate(("dy", "dx")):
        at = np.arange(len(found))
        axes[3].errorbar(at, drift[:, k], sigma, label=name, lw=1, elinewidth=0.5)
    axes[3].set_xlabel("frame")
    axes[3].set_title("drift, px (bars: its own standard deviation)", fontsize=8)
    axes[3].legend(fontsize=8)
    save(figure, f"{movie.name}_drift")
    held = np.isfinite(drift[:, 0])
    span = (np.nanmax(drift, axis=0) - np.nanmin(drift, axis=0)).round(2).tolist()
    confidence = np.median([one.confidence for one in found])
    yield (
        f"drift: {held.sum()} of {len(found)} frames found, median confidence "
        f"{confidence:.2f}, range {span} px, median sigma {np.median(sigma[held]):.3f} "
        f"px, segments {1 + found[-1].segment}, "
        f"halves differ by {halves_differ(frames):.3f} px"
    )


def draw_found(movie: Movie, frames: Array) -> Iterator[str]:
    """Draw what was found in the last frame, and what was found until then."""
    kinds = [kind for kind in DRAWN if kind in installed(PROCESSORS)]
    size = 1 + len(kinds)
    figure, axes = plt.subplots(
        1, size, figsize=(3.3 * size, 3.6), layout="constrained"
    )
    found = run("denoise", frames, every=1)
    view, title = frames[-1], "last frame"
    if found.valid:
        view = found.valid[-1].data
        title = f"denoised: {found.valid[-1].meta['effective_frames']:.1f} frames"
    grey(axes[0], view, title)
    yield (f"denoise: {found.ms:.1f} ms a frame; {found.reasons or 'all valid'}")
    for place, kind in zip(axes[1:], kinds, strict=True):
        grey(place, view, kind)
        yield f"{kind}: {DRAWN[kind](place, movie, frames)}"
    save(figure, f"{movie.name}_found")


def draw_particles(axes: Any, movie: Movie, frames: Array) -> str:
    """Draw the outlines of the particles of the last frame."""
    found = run("particles", frames, **movie.particles)
    tables = [r for r in found.valid if r.name == "particles"]
    if not tables:
        return f"none ({found.reasons})"
    last = tables[-1]
    for outline in last.meta.get("contours", ()):
        y, x = np.asarray(outline).T
        axes.plot(np.r_[x, x[:1]], np.r_[y, y[:1]], "-", color="red", lw=0.6)
    counts = [len(table.data) for table in tables]
    axes.set_title(f"particles of the last frame: {len(last.data)}", fontsize=8)
    return (
        f"{found.ms:.1f} ms a frame, {min(counts)} to {max(counts)} a frame; "
        f"{found.reasons or 'all valid'}"
    )


def draw_tracks(axes: Any, movie: Movie, frames: Array) -> str:
    """Draw the ways of all particles."""
    found = run("track", frames, **movie.track)
    ways: dict[int, list[tuple[float, float]]] = {}
    for table in (r for r in found.valid if r.name == "tracks"):
        columns = table.meta["columns"]
        for row in table.data[:, [columns.index(c) for c in ("id", "y", "x")]]:
            ways.setdefault(int(row[0]), []).append((row[1], row[2]))
    if not ways:
        return f"none ({found.reasons})"
    for way in ways.values():
        y, x = np.array(way).T
        axes.plot(x, y, "-", lw=0.7)
    length = [len(way) for way in ways.values()]
    axes.set_title(f"{len(ways)} tracks", fontsize=8)
    return (
        f"{found.ms:.1f} ms a frame, {len(ways)} tracks, median length "
        f"{np.median(length):.0f} frames, {sum(n >= len(frames) / 2 for n in length)} "
        f"through half of the movie; {found.reasons or 'all valid'}"
    )


def draw_nuclei(axes: Any, movie: Movie, frames: Array) -> str:
    """Draw where nucleation was said to be, by what became of it."""
    found = run("nucleation", frames, **movie.nucleation)
    events = [r.data for r in found.valid if r.name == "nucleation"]
    last = {event["id"]: event for event in events}
    for event in last.values():
        colour = NUCLEUS.get(event["status"], "gray")
        axes.plot(event["x"], event["y"], "o", mfc="none", mec=colour, ms=6, mew=0.9)
    kinds = [event["status"] for event in last.values()]
    said = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    axes.set_title(f"nucleation: {said or 'none'}", fontsize=8)
    return f"{found.ms:.1f} ms a frame, {said or 'no events'}; {found.reasons}"


DRAWN: dict[str, Callable[[Any, Movie, Array], str]] = {
    "particles": draw_particles,
    "track": draw_tracks,
    "nucleation": draw_nuclei,
}


def main() -> None:
    """Make the pictures, and say what is not seen in them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=[movie.name for movie in MOVIES])
    only = parser.parse_args().only
    if (data := os.environ.get("SCOPESIDE_DATA")) is None:
        raise SystemExit("SCOPESIDE_DATA has to say where the real movies lie")
    mpl.use("Agg")
    for movie in MOVIES:
        if only in {None, movie.name}:
            frames = frames_of(movie, Path(data))
            print(f"{movie.name}: {frames.shape} {frames.dtype}")
            for line in (*draw_drift(movie, frames), *draw_found(movie, frames)):
                print(" ", line)


if __name__ == "__main__":
    main()
