"""Train the trees by which nucleation tells nuclei from what is none.

    python bench/train_verdicts.py rows --seeds 0 100 --to rows_a.npz
    python bench/train_verdicts.py fit rows_a.npz rows_b.npz
    python bench/train_verdicts.py judge rows_c.npz

`rows` simulates movies (`nucleation_scenes.py`; every fourth has no nuclei), finds
candidates in them as the processor does, and keeps what each look at one measured.
`fit` needs scikit-learn and writes processors/scopeside_processors/insitu/verdicts.npz;
`judge` prints how the trees do on movies that they were not trained on.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))

from bench.nucleation_scenes import FRAMES, SIDE, Scene  # noqa: E402 - found by the lines above

from scopeside_processors.insitu.candidates import Candidates  # noqa: E402
from scopeside_processors.insitu.evidence import Evidence  # noqa: E402
from scopeside_processors.insitu.features import NAMES  # noqa: E402
from scopeside_processors.insitu.verdicts import Trees  # noqa: E402

WEIGHTS = ROOT / "processors/scopeside_processors/insitu/verdicts.npz"
WARM_UP = 30
LEVELS = np.array([0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995])
HOURS_PER_FRAME = 1 / 25 / 3600


class Recorder:
    """Confirms nothing, and keeps what it is shown."""

    def __init__(self) -> None:
        self.values: Any = None

    def probability(self, values: Any) -> float:
        """Return 0."""
        self.values = values.copy()
        return 0.0


def rows_of(seed: int) -> dict[str, Any]:
    """Return what was measured of all candidates of a movie, and what they were."""
    scene = Scene(seed, nuclei=seed % 4 != 3)
    rng = np.random.default_rng([seed, 43])
    evidence = Evidence(
        (SIDE, SIDE),
        min_radius_px=scene.radius_px,
        false_alarms=10 ** rng.uniform(-4.5, -2),
    )
    recorder = Recorder()
    known = scene.absorbance * rng.lognormal(0, 0.1) if rng.random() < 0.2 else None
    candidates = Candidates(
        min_radius_px=scene.radius_px, absorbance_per_px=known, judge=recorder
    )
    out: dict[str, list[Any]] = {
        name: [] for name in ("values", "kind", "truth", "frame", "candidate", "radius")
    }
    look = candidates._look  # noqa: SLF001 - the script stands in for the processor

    def noted(c: Any, evidence: Any, frame: int, events: Any) -> None:
        recorder.values = None
        look(c, evidence, frame, events)
        if recorder.values is not None:
            kind, number = scene.truth_of(frame, c.y, c.x)
            true = scene.particles[number].radius(frame) if number >= 0 else 0.0
            row = (recorder.values, kind, number, frame, c.id, (true, c.radius_px))
            for name, value in zip(out, row, strict=True):
                out[name].append(value)

    candidates._look = noted  # type: ignore[method-assign]  # noqa: SLF001 - see above
    error = 0.3 / np.sqrt(scene.dose) * rng.uniform(0.2, 1.0)
    for t, frame in enumerate(scene.frames()):
        off = rng.normal(0, min(error, 0.4), 2)
        dy, dx = scene.drift[t] + off
        drift: Any = SimpleNamespace(dy=dy, dx=dx, segment=0)
        condition: Any = SimpleNamespace(usable=True, reason="", mean=frame.mean())
        evidence.take(frame, drift, condition, t)
        if t >= WARM_UP:
            candidates.take(evidence, t, drift)
    return {name: np.array(values) for name, values in out.items()} | {
        "seed": np.full(len(out["frame"]), seed)
    }


def write_rows(first: int, stop: int, to: Path) -> None:
    """Simulate movies and keep what was measured in them."""
    parts = []
    for seed in range(first, stop):
        start = time.perf_counter()
        parts.append(rows_of(seed))
        print(
            seed,
            len(parts[-1]["seed"]),
            f"{time.perf_counter() - start:.1f} s",
            flush=True,
        )
    parts = [part for part in parts if len(part["seed"])]
    joined = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    np.savez_compressed(to, **joined)


def load(paths: list[Path]) -> dict[str, Any]:
    """Return rows of several files."""
    files = [np.load(path) for path in paths]
    return {name: np.concatenate([f[name] for f in files]) for name in files[0].files}


def fit(paths: list[Path], trees: int, leaves: int) -> None:
    """Train on rows, and write the trees with their rate of false alarms."""
    rows = load(paths)
    label = rows["kind"] == "nucleus"
    # Grown together by folds of movies, to know the alarms on what was not trained on.
    folds, chance = rows["seed"] // 4 % 3, np.zeros(len(label))
    for k in range(3):
        model = _model(trees, leaves).fit(rows["values"][folds != k], label[folds != k])
        chance[folds == k] = model.predict_proba(rows["values"][folds == k])[:, 1]
    alarms = alarms_of(rows, chance)
    print(alarms)
    _print_quality(rows, chance)
    model = _model(trees, leaves).fit(rows["values"], label)
    np.savez_compressed(WEIGHTS, **arrays_of(model), alarms=alarms)


def _model(trees: int, leaves: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415

    return HistGradientBoostingClassifier(
        max_iter=trees,
        learning_rate=0.06,
        max_leaf_nodes=leaves,
        min_samples_leaf=60,
        l2_regularization=2.0,
        max_features=0.5,
        random_state=0,
    )


def arrays_of(model: Any) -> dict[str, Any]:
    """Return a trained model as `Trees` keeps it."""
    nodes = [stage[0].nodes for stage in model._predictors]  # noqa: SLF001
    shape = (len(nodes), max(len(n) for n in nodes))
    kinds = {
        "feature": ("feature_idx", np.int16),
        "threshold": ("num_threshold", np.float32),
        "value": ("value", np.float32), "left": ("left", np.int16),
        "right": ("right", np.int16), "missing_left": ("missing_go_to_left", np.bool_),
    }  # fmt: skip
    out: dict[str, Any] = {}
    for name, (field, dtype) in kinds.items():
        out[name] = np.zeros(shape, dtype)
        for k, tree in enumerate(nodes):
            out[name][k, : len(tree)] = tree[field]
    for k, tree in enumerate(nodes):
        out["feature"][k, : len(tree)][tree["is_leaf"].astype(bool)] = -1
    out["prior"] = np.float64(np.ravel(model._baseline_prediction)[0])  # noqa: SLF001
    return out


def alarms_of(rows: dict[str, Any], chance: Any) -> Any:
    """Return (k, 2): levels, and false alarms per hour in movies without nuclei."""
    bare = rows["seed"] % 4 == 3
    movies = len(np.unique(rows["seed"][bare]))
    key = rows["seed"] * 100_000 + rows["candidate"]
    hours = movies * (FRAMES - WARM_UP) * HOURS_PER_FRAME
    rates = [len(np.unique(key[bare & (chance >= level)])) / hours for level in LEVELS]
    return np.column_stack([LEVELS, np.maximum(rates, 0.5 / hours)])


def _print_quality(rows: dict[str, Any], chance: Any) -> None:
    nuclei = rows["kind"] == "nucleus"
    key = rows["seed"] * 100_000 + rows["truth"]
    every = np.unique(key[nuclei])
    for level in (0.6, 0.8, 0.9, 0.95, 0.98):
        sure = chance >= level
        found = np.unique(key[nuclei & sure])
        false = rows["seed"] * 100_000 + rows["candidate"]
        kinds, numbers = np.unique(rows["kind"][~nuclei & sure], return_counts=True)
        text = ", ".join(f"{k} {n}" for k, n in zip(kinds, numbers, strict=True))
        n = len(np.unique(false[~nuclei & sure]))
        print(f"{level}: {len(found)} of {len(every)} nuclei, {n} false ({text})")
    edges = np.linspace(0, 1, 11)
    for low, high in pairwise(edges):
        here = (chance >= low) & (chance < high)
        if here.any():
            print(f"said {chance[here].mean():.2f}, are {nuclei[here].mean():.2f}")


def judge(paths: list[Path]) -> None:
    """Print how the package's trees do on rows."""
    rows, trees = load(paths), Trees.ours()
    chance = np.array([trees.probability(v) for v in rows["values"]])
    print(alarms_of(rows, chance))
    _print_quality(rows, chance)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("rows", "fit", "judge"))
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--seeds", nargs=2, type=int, default=(0, 100))
    parser.add_argument("--to", type=Path, default=Path("rows.npz"))
    parser.add_argument("--trees", type=int, default=150)
    parser.add_argument("--leaves", type=int, default=8)
    asked = parser.parse_args()
    if asked.what == "rows":
        write_rows(*asked.seeds, asked.to)
    elif asked.what == "fit":
        fit(asked.files, asked.trees, asked.leaves)
    else:
        judge(asked.files)
    assert len(NAMES) > 0


if __name__ == "__main__":
    main()
