"""A GPU against the CPU: are the results the same, and how fast is it.

    python bench/gpu.py [--device 0] [--seconds 1] [--json FILE]

It compiles the kernels for the cards of the time and prints their registers; then,
where there is a GPU, holds every GPU path against the CPU and measures:

resident   frames that lie in the card's memory: 4 rings, total and first moments in one
           pass, against the card's own copy (bytes read and written) in the same run
streamed   frames of a locked slab through a worker's chain (virtual, com, sum), copied
           ahead, results brought back; against the locked link alone in the same run
latency    one batch of 4 MiB that was not copied ahead, from its slot to its results

Without a GPU the table says "not measured", and the exit code is 0. It is 1 where a
result differs.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
# This folder goes: in it, other modules would be taken for libraries.
sys.path[0:1] = [str(ROOT / part) for part in ("engine", "adapters", "processors", ".")]

from bench.cubin import (  # noqa: E402 - found by the lines above
    ARCHITECTURES,
    CompileError,
    compile_cubin,
    footprints,
    nvrtc,
    version,
)

from scopeside.acquisition import Acquisition  # noqa: E402
from scopeside.batch import Batch  # noqa: E402
from scopeside.device.choose import gpu_problem  # noqa: E402
from scopeside.device.cupy_card import CupyCard  # noqa: E402
from scopeside.device.lanes import CardFrames, Lanes  # noqa: E402
from scopeside.errors import DeviceFailedError  # noqa: E402
from scopeside.pipeline import Pipeline  # noqa: E402
from scopeside.slab import Slab  # noqa: E402
from scopeside.testing import devices_agree  # noqa: E402
from scopeside.trial import Case  # noqa: E402
from scopeside.work.gpu import PLACES, Gpu, GpuRun  # noqa: E402
from scopeside_processors.kernels import virtual  # noqa: E402
from scopeside_processors.kernels.cuda import SOURCES, labels, source_of  # noqa: E402
from scopeside_processors.stem.com import CentreOfMass  # noqa: E402
from scopeside_processors.stem.detectors import annulus, disk  # noqa: E402
from scopeside_processors.stem.sum import Sum  # noqa: E402
from scopeside_processors.stem.virtual import Virtual  # noqa: E402

SIZES = (
    (96, "<u2"),
    (192, "<u2"),
    (256, "u1"),
    (512, "<u2"),
    (256, "<u4"),
    (256, "<f4"),
)
GOALS = {"resident": "2.8 TB/s on an H200", "streamed": "0.9 of the link",
         "latency": "1 ms"}  # fmt: skip
BATCH = 4 << 20
Copy = Callable[[int, int, int, Any], None]
"""Copies on the card: to, from, bytes, stream."""


def rings(side: int) -> dict[str, dict[str, list[float]]]:
    """Return four rings that touch, as parameters of `virtual`."""
    c, r = (side - 1) / 2, side / 8
    names = ("abf", "adf", "haadf")
    more = {n: {"annulus": [c, c, k * r, (k + 1) * r]} for k, n in enumerate(names, 1)}
    return {"bf": {"disk": [c, c, r]}, **more}


def compiled() -> list[dict[str, Any]]:
    """Return registers and local memory of each kernel on each architecture."""
    library = nvrtc()
    found = []
    for architecture in ARCHITECTURES:
        for source in SOURCES:
            cubin = compile_cubin(library, source_of(source), architecture)
            found += [
                {
                    "kernel": name,
                    "architecture": architecture,
                    "registers": one.registers,
                    "stack_bytes": one.stack,
                    "nvrtc": version(library),
                }
                for name, one in footprints(cubin).items()
            ]
    return found


def checked(card: Any) -> dict[str, str]:
    """Hold every GPU path against the CPU; return what was found, by path."""
    kinds = {"com": (CentreOfMass, {"of": ["com", "total"]}), "sum": (Sum, {})}
    found = {}
    for shape in ((96, 96), (61, 75)):
        detectors = {"detectors": rings(min(shape))}
        for kind, (cls, params) in {"virtual": (Virtual, detectors), **kinds}.items():
            for code in ("u1", "<u2", "<u4", "<f4"):
                frames = np.random.default_rng(0).poisson(50, (64, *shape)).astype(code)
                if frames.dtype.kind == "u":
                    frames[0] = np.iinfo(code).max
                about = Acquisition("bench", shape, frames.dtype, frames=64)
                case = Case(cls, about, cls.Params.model_validate(params), frames)
                try:
                    devices_agree(case, card)
                    said = "same"
                except AssertionError as error:
                    said = str(error)
                found[f"{kind} {shape[0]}×{shape[1]} {frames.dtype}"] = said
    return found


def timed(work: Callable[[], None], done: Callable[[], None], seconds: float) -> float:
    """Return how long one `work` takes, s, among many; `done` waits for all."""
    work()
    done()
    best, until = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < until or best == math.inf:
        began = time.perf_counter()
        for _ in range(10):
            work()
        done()
        best = min(best, (time.perf_counter() - began) / 10)
    return best


def resident(
    card: Any, side: int, code: str, copy: Copy, *, size: int, seconds: float
) -> dict[str, float]:
    """Measure the fused kernel on `size` bytes of frames, and the copy of as many."""
    lanes, shape = Lanes(card), (side, side)
    frame = side * side * np.dtype(code).itemsize
    n = size // frame
    room, other = lanes.room(n * frame), lanes.room(n * frame)
    lanes.clear(room, n * frame)
    pixels = np.broadcast_to(np.zeros(1, code), (n, *shape))
    batch = Batch(pixels, np.arange(n), np.zeros(n, np.int64))
    c, r = (side - 1) / 2, side / 8
    held = [disk(shape, (c, c), r)]
    held += [annulus(shape, (c, c), k * r, (k + 1) * r) for k in (1, 2, 3)]
    runs = virtual.runs_of([*held, np.ones(shape, np.bool_)])
    label = labels.labels_of_runs(runs, shape)
    cut = labels.table_of(label, len(runs.member), np.dtype(code).itemsize)
    table = labels.on_card(lanes, cut)
    frames = CardFrames(batch, lanes, room, frame)
    kernel = timed(
        lambda: void(labels.launch(frames, table, moments=True)), lanes.settle, seconds
    )
    copied = timed(
        lambda: copy(other.what.address, room.what.address, n * frame, lanes.computing),
        lanes.settle,
        seconds,
    )
    return {
        "tb_per_s": n * frame / kernel / 1e12,
        "frames_per_s": n / kernel,
        "copy_tb_per_s": 2 * n * frame / copied / 1e12,
        "share_of_copy": copied / kernel / 2,
    }


def void(_: Any) -> None:
    """Let a result be."""


def streamed(card: Any, side: int, code: str, *, seconds: float) -> dict[str, float]:
    """Measure a worker's chain on frames in a locked slab, and the link alone."""
    dtype = np.dtype(code)
    frame = side * side * dtype.itemsize
    n, slots = max(1, BATCH // frame), 16
    slab = Slab(Slab.allocate(slots * n * frame), slots * n * frame, writable=True)
    told: list[str] = []
    gpu = Gpu(card, BATCH, told.append)
    gpu.pin(slab)
    steps = [
        {"kind": "virtual", "detectors": rings(side)}, {"kind": "com"}, {"kind": "sum"},
    ]  # fmt: skip
    raw = {
        "detector": {"kind": "simulator"},
        "chain": [{"name": "c", "processor": steps}],
    }
    chain = Pipeline.from_raw(raw, folder=ROOT).chain("c")
    about = Acquisition("bench", (side, side), dtype)
    run = GpuRun(chain, about, gpu)
    batches = []
    for k in range(slots):
        pixels = slab.view(k * n * frame, (n, side, side), dtype)
        pixels[...] = k
        index = np.arange(k * n, (k + 1) * n)
        batches.append(Batch(pixels, index, index))

    def whole() -> None:
        for k, batch in enumerate(batches):
            for ahead in batches[k : k + PLACES]:
                run.ahead(ahead)
            run.process(batch)
        run.commit()

    chained = timed(whole, lambda: None, seconds)
    lone = []
    for _ in range(200):
        began = time.perf_counter()
        run.process(batches[0])
        lone.append(time.perf_counter() - began)
    run.rollback()
    lanes = gpu.lanes
    if lanes is None:
        raise DeviceFailedError(told[-1])
    room = lanes.room(n * frame)

    def link() -> None:
        for batch in batches:
            rows = batch.pixels.reshape(n, -1).view(np.uint8)
            card.copy_in(room.what.address, rows.shape[1], rows, lanes.computing)

    alone = timed(link, lanes.settle, seconds)
    card.unregister(slab.address)
    return {
        "gb_per_s": slots * n * frame / chained / 1e9,
        "frames_per_s": slots * n / chained,
        "link_gb_per_s": slots * n * frame / alone / 1e9,
        "share_of_link": alone / chained,
        "latency_p50_ms": 1e3 * float(np.percentile(lone, 50)),
        "latency_p99_ms": 1e3 * float(np.percentile(lone, 99)),
    }


def measured(number: int, seconds: float) -> dict[str, Any]:
    """Return all that a GPU can be asked.

    Raises
    ------
    DeviceFailedError
        If there is none.
    """
    why = gpu_problem()
    if why is not None:
        raise DeviceFailedError(why)
    card = CupyCard(number)
    import cupy  # noqa: PLC0415 - only where there is a GPU

    def copy(to: int, source: int, size: int, stream: Any) -> None:
        cupy.cuda.runtime.memcpyAsync(to, source, size, 3, stream.ptr)

    rows = [
        {
            "size": f"{side}×{side} {np.dtype(code)}",
            "resident": resident(card, side, code, copy, size=2 << 30, seconds=seconds),
            "streamed": streamed(card, side, code, seconds=seconds),
        }
        for side, code in SIZES
    ]
    return {
        "device": card.name,
        "cupy": cupy.__version__,
        "cuda": cupy.cuda.runtime.runtimeGetVersion(),
        "checks": checked(card),
        "rows": rows,
    }


def show(console: Console, found: dict[str, Any]) -> None:
    """Print tables."""
    kernels = Table("kernel", *ARCHITECTURES, title="registers, bytes of local memory")
    by_name: dict[str, dict[str, str]] = {}
    for one in found["kernels"]:
        text = f"{one['registers']}, {one['stack_bytes']}"
        by_name.setdefault(one["kernel"], {})[one["architecture"]] = text
    for name, texts in sorted(by_name.items()):
        kernels.add_row(name, *(texts[a] for a in ARCHITECTURES))
    if by_name:
        console.print(kernels)
    else:
        console.print(f"kernels not compiled: {found['not_compiled']}", markup=False)
    if not any(row["resident"] for row in found["rows"]):
        console.print(f"resident, streamed, latency: {found['device']}", markup=False)
        console.print(f"goals: {GOALS}", markup=False)
        return
    table = Table(
        "size", "resident TB/s", "of the copy", "streamed GB/s", "of the link",
        "frames/s", "latency p50 ms", "p99 ms", title=found["device"],
    )  # fmt: skip
    for row in found["rows"]:
        fast, stream = row["resident"], row["streamed"]
        numbers = (
            fast["tb_per_s"], fast["share_of_copy"], stream["gb_per_s"],
            stream["share_of_link"], stream["frames_per_s"],
            stream["latency_p50_ms"], stream["latency_p99_ms"],
        )  # fmt: skip
        table.add_row(row["size"], *(f"{number:.4g}" for number in numbers))
    console.print(table)
    console.print(f"goals: {GOALS}", markup=False)
    wrong = {path: said for path, said in found["checks"].items() if said != "same"}
    if found["checks"]:
        console.print(f"{len(found['checks']) - len(wrong)} paths as on the CPU")
    for path, said in wrong.items():
        console.print(f"DIFFERS: {path}: {said}", markup=False)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 1 if a result differs from the CPU's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    found: dict[str, Any] = {"kernels": [], "not_compiled": None}
    try:
        found["kernels"] = compiled()
    except CompileError as error:
        found["not_compiled"] = str(error)
    try:
        found |= measured(options.device, options.seconds)
    except DeviceFailedError as error:
        sizes = [f"{side}×{side} {np.dtype(code)}" for side, code in SIZES]
        rows = [{"size": size, "resident": {}, "streamed": {}} for size in sizes]
        why = f"not measured: {error}"
        found |= {"device": why, "cupy": None, "cuda": None, "checks": {}, "rows": rows}
    show(Console(highlight=False), found)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return int(any(said != "same" for said in found["checks"].values()))


if __name__ == "__main__":
    sys.exit(main())
