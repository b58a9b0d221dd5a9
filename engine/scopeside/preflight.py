"""What can be known to go wrong before anything is started."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from scopeside.errors import ScopesideError
from scopeside.pipeline import Pipeline
from scopeside.slab import available_memory
from scopeside.supervise.session import port_is_free


def problems(pipeline: Pipeline) -> list[str]:
    """Return one sentence for each thing that would go wrong."""
    return [
        *_detector(pipeline),
        *_memory(pipeline),
        *_ports(pipeline),
        *_devices(pipeline),
    ]


def _detector(pipeline: Pipeline) -> list[str]:
    try:
        detector = pipeline.detector_cls(pipeline.detector_params, pipeline.acquisition)
        return [f"detector: {problem}" for problem in detector.check()]
    except ScopesideError as error:
        return [f"detector: {error}"]


def _memory(pipeline: Pipeline) -> list[str]:
    free = available_memory()
    wanted = pipeline.slab.mib << 20
    if free is not None and wanted > free * 0.9:
        return [
            f"slab.mib: {pipeline.slab.mib} MiB of shared memory are asked for and "
            f"{free >> 20} MiB are free"
        ]
    return []


def _ports(pipeline: Pipeline) -> list[str]:
    asked = {"results": pipeline.results.port, "metrics": pipeline.metrics.port}
    found = [
        f"{key}.port: {port} on 127.0.0.1 is taken by another program"
        for key, port in asked.items()
        if port is not None and not port_is_free(port)
    ]
    if asked["results"] is not None and asked["results"] == asked["metrics"]:
        found.append(f"metrics.port: {asked['metrics']} is asked for results as well")
    return found


def _devices(pipeline: Pipeline) -> list[str]:
    found = []
    for i, chain in enumerate(pipeline.chains):
        if not chain.device.startswith("gpu"):
            continue
        why = gpu_problem() or "this version has no GPU worker yet"
        found.append(
            f"chain[{i}].device: {chain.device!r}: {why}; take 'cpu' or 'auto'"
        )
    return found


def gpu_problem() -> str | None:
    """Return why there is no GPU to use, None if there is one."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed: pip install 'scopeside[gpu12]' or [gpu13]"
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return "this machine has no NVIDIA GPU"
    return None
