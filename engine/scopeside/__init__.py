"""scopeside: a real-time streaming engine that runs beside an electron microscope."""

from __future__ import annotations

from scopeside.acquisition import Acquisition
from scopeside.adjust import Acknowledged, set_params
from scopeside.apply import apply
from scopeside.batch import Batch
from scopeside.errors import EngineNotFoundError, RunError, ScopesideError
from scopeside.events import EventBatch, pack_events
from scopeside.result import Result
from scopeside.runs.run import Run, open_run
from scopeside.scan import Scan
from scopeside.subscribe import subscribe

__all__ = [
    "Acknowledged",
    "Acquisition",
    "Batch",
    "EngineNotFoundError",
    "EventBatch",
    "Result",
    "Run",
    "RunError",
    "Scan",
    "ScopesideError",
    "__version__",
    "apply",
    "open_run",
    "pack_events",
    "set_params",
    "subscribe",
]

__version__ = "0.1.0"
