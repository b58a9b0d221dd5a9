"""``scopeside check``: say whether a pipeline would run, without running it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from scopeside.acquisition import Acquisition
from scopeside.control.setup import Control
from scopeside.device.choose import has_twin, refusal
from scopeside.pipeline import Chain, Pipeline
from scopeside.preflight import preview, problems, warnings
from scopeside.record.settings import RecordSettings
from scopeside.record.trial import rate_of, try_disk


def check_command(path: Path) -> int:
    """Check the pipeline file at `path`; 0 if it would run, 2 if not."""
    pipeline = Pipeline.load(path)
    console = Console(highlight=False)
    found = problems(pipeline)
    for problem in found:
        console.print(f"[bold red]✗[/] {path}: ", end="")
        console.print(problem, markup=False, soft_wrap=True)
    if found:
        return 2
    for warning in warnings(pipeline):
        console.print(f"[bold yellow]![/] {path}: ", end="")
        console.print(warning, markup=False, soft_wrap=True)
    console.print(f"[green]✓[/] {path}: detector {pipeline.detector_kind!r}")
    acquisition = preview(pipeline)
    if acquisition is not None:
        console.print(f"[green]✓[/] {_in_words(acquisition)}")
    for chain in pipeline.chains:
        steps = " → ".join(step.name for step in chain.steps)
        workers = f", {chain.workers} workers" if chain.workers > 1 else ""
        console.print(
            f"[green]✓[/] chain {chain.name!r} ({chain.edge}{workers}): {steps}"
            f"{_on_gpu(chain)}"
        )
    for channel in pipeline.channels:
        one = channel.settings
        console.print(
            f"[green]✓[/] channel {one.name!r} ({one.kind}): {one.join} within "
            f"{one.tolerance_s:g} s"
        )
    if pipeline.control is not None:
        for line in _feedback(pipeline.control):
            console.print("[green]✓[/] ", end="")
            console.print(line, markup=False, soft_wrap=True)
    if pipeline.record is not None:
        _say_disk(console, pipeline.record, acquisition)
    console.print(
        f"[green]✓[/] slab {pipeline.slab.mib} MiB, batches of "
        f"{pipeline.slab.batch_kib} KiB"
    )
    return 0


def _say_disk(
    console: Console, record: RecordSettings, acquisition: Acquisition | None
) -> None:
    """Measure the disk, and say whether it will do."""
    try:
        found = try_disk(record)
    except OSError as error:
        console.print(
            f"[bold yellow]![/] record: {record.to} cannot be written: ", end=""
        )
        console.print(error.strerror or str(error), markup=False)
        return
    rate = rate_of(acquisition)
    slow = rate is not None and rate > found.bytes_per_s
    mark = "[bold yellow]![/]" if slow or not found.free_bytes else "[green]✓[/]"
    words = found.in_words(acquisition)
    if slow:
        words += "; it is too slow: frames will not be recorded once the spool is full"
    console.print(f"{mark} record to {record.to} ({record.mode}): ", end="")
    console.print(
        f"{words}; {record.spool_mib} MiB may wait in memory",
        markup=False,
        soft_wrap=True,
    )


def _feedback(control: Control) -> list[str]:
    """Say how far feedback may go, with what, and within which limits."""
    settings = control.settings
    adapter = "no microscope" if settings.adapter is None else settings.adapter["kind"]
    who = ", ".join(one.name for one in control.deciders) or "nobody proposes"
    allowed = ", ".join(settings.limits) or "none: whatever is proposed is refused"
    dose = settings.dose
    budget = None if dose is None else dose.budget_e_per_A2
    return [
        f"feedback: {settings.mode} at most; {adapter}; {who}",
        f"limits for: {allowed}",
        *([] if budget is None else [f"dose budget: {budget:g} e⁻/Å² at any place"]),
    ]


def _on_gpu(chain: Chain) -> str:
    """Say which processors run on a GPU, where one is asked for and can be had."""
    classes = [step.cls for step in chain.steps]
    device = "gpu" if chain.device == "auto" else chain.device
    if device == "cpu" or refusal(device, classes) is not None:
        return ""
    names = [step.name for step in chain.steps if has_twin(step.cls)]
    return f"; on the GPU: {', '.join(names)}"


def _in_words(acquisition: Acquisition) -> str:
    height, width = acquisition.frame_shape
    frames = "frames" if acquisition.frames is None else f"{acquisition.frames} frames"
    text = f"{acquisition.kind}: {frames} of {height}×{width} {acquisition.dtype}"
    if acquisition.scan is not None:
        rows, columns = acquisition.scan.shape
        text += f", scan of {rows} rows × {columns} columns"
    return text
