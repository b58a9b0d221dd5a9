"""Who is needed for a pipeline: collector, workers, adapter, and what it asks for."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scopeside.board import Board
from scopeside.child import Spec
from scopeside.pipeline import Pipeline
from scopeside.supervise.forks import Forks
from scopeside.supervise.member import Member, RestartBudget
from scopeside.supervise.memory import Memory


def members(
    pipeline: Pipeline,
    memory: Memory,
    forks: Forks,
    run_folder: Path,
    *,
    results_folder: Path | None,
    quarantine_folder: Path,
    results_port: int,
    page_port: int | None,
) -> dict[str, Member]:
    """Return the members of an engine by name, none of them started.

    Parameters
    ----------
    page_port
        None: no page.
    """
    common: dict[str, Any] = {
        "run_folder": str(run_folder),
        "slab_fd": memory.slab_fd,
        "slab_bytes": memory.slab_bytes,
        "pipeline": pipeline.raw,
        "pipeline_folder": str(pipeline.folder),
        "pipeline_source": pipeline.source,
        "incarnation": 0,
        "parent": os.getpid(),
    }
    collector = Spec(
        role="collector",
        name="collector",
        board_fd=Board.allocate(),
        journal_fds=memory.journal_fds,
        results_folder="" if results_folder is None else str(results_folder.resolve()),
        endpoints=(f"ipc://{run_folder}/results",),
        results_port=results_port,
        **common,
    )
    workers = [
        Spec(
            role="worker",
            name=f"worker.{chain.name}.{k}",
            board_fd=Board.allocate(),
            chain=chain.name,
            **common,
        )
        for chain in pipeline.chains
        for k in range(chain.workers)
    ]
    adapter = Spec(
        role="adapter",
        name="adapter",
        board_fd=Board.allocate(),
        quarantine_folder=str(quarantine_folder.resolve()),
        **common,
    )
    channels = [
        Spec(role="channels", name="channels", board_fd=Board.allocate(), **common)
        for _ in pipeline.channels[:1]
    ]
    recorder = [
        Spec(
            role="recorder",
            name="recorder",
            board_fd=Board.allocate(),
            spool_fd=memory.spool_fd,
            **common,
        )
        for _ in ([] if pipeline.record is None else [pipeline.record])
    ]
    page = [
        Spec(
            role="page",
            name="page",
            board_fd=Board.allocate(),
            page_port=port,
            **common,
        )
        for port in ([] if page_port is None else [page_port])
    ]
    engine = pipeline.engine
    feedback = _feedback(pipeline, common)
    frames = (collector, *channels, *workers, *recorder, adapter)
    return {
        spec.name: Member(spec, RestartBudget(engine.restarts, engine.window_s), forks)
        for spec in (*feedback, *frames, *page)
    }


def _feedback(pipeline: Pipeline, common: Mapping[str, Any]) -> list[Spec]:
    """Return guard and adviser, if there is control, and something to advise."""
    if pipeline.control is None:
        return []
    token = secrets.token_hex(16)
    roles = ["guard", "adviser"] if pipeline.control.wants else ["guard"]
    return [
        Spec(role=role, name=role, board_fd=Board.allocate(), token=token, **common)
        for role in roles
    ]
