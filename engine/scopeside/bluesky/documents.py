"""Results as bluesky's documents: start, descriptor, event, stop. No I/O.

One run for each acquisition and one stream for each quantity, named
``chain_processor_name``; with ``_partial`` behind it for arrays that do not stand on
all frames yet, which have a mask beside them, and with ``_none`` where there is no
value, so that the keys of a stream never change. Model:
https://blueskyproject.io/event-model.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scopeside.result import Result

Document = tuple[str, dict[str, Any]]
LARGEST = 1 << 20
"""Arrays of more bytes are left out, and said to be: they are no events."""


@dataclass
class _Stream:
    """A quantity of a run."""

    keys: Mapping[str, Any] = field(default_factory=dict)
    descriptor: str = ""
    events: int = 0


@dataclass
class _Run:
    uid: str
    acquisition: str
    last_s: float
    streams: dict[str, _Stream] = field(default_factory=dict)
    final: dict[str, bool] = field(default_factory=dict)
    """By quantity: whether it has said its last value."""


class Documents:
    """Turns results, as they come, into documents; remembers one run at a time.

    Attributes
    ----------
    left_out
        Arrays that were too large.
    """

    def __init__(self, metadata: Mapping[str, Any] | None = None) -> None:
        self._metadata = dict(metadata or {})
        self._run: _Run | None = None
        self.left_out = 0

    @property
    def complete(self) -> bool:
        """Whether a run is open and every quantity of it has said its last value."""
        return self._run is not None and all(self._run.final.values())

    def take(self, result: Result) -> list[Document]:
        """Return the documents that a result makes, in order."""
        acquisition = str(result.meta.get("acq", ""))
        found: list[Document] = []
        if self._run is not None and self._run.acquisition != acquisition:
            found += self.end()
        if self._run is None:
            found.append(self._start(acquisition, _published_s(result)))
        assert self._run is not None  # begun above
        self._run.last_s = max(self._run.last_s, _published_s(result))
        found += self._event(self._run, result)
        return found

    def end(self, reason: str = "") -> list[Document]:
        """Return the document that ends the open run, if one is."""
        run, self._run = self._run, None
        if run is None:
            return []
        lacking = [name for name, final in run.final.items() if not final]
        if lacking and not reason:
            reason = f"no last value of {', '.join(lacking)}"
        stop = {
            "uid": str(uuid.uuid4()),
            "time": run.last_s,
            "run_start": run.uid,
            "exit_status": "abort" if lacking else "success",
            "reason": reason,
            "num_events": {name: one.events for name, one in run.streams.items()},
        }
        return [("stop", stop)]

    def _start(self, acquisition: str, time_s: float) -> Document:
        self._run = _Run(str(uuid.uuid4()), acquisition, time_s)
        start = {
            **self._metadata,
            "uid": self._run.uid,
            "time": time_s,
            "acquisition": acquisition,
            "plan_name": "scopeside",
        }
        return "start", start

    def _event(self, run: _Run, result: Result) -> list[Document]:
        meta = result.meta
        who = f"{meta.get('chain', '')}_{meta.get('processor', '')}_{result.name}"
        name = who.replace(".", "_").replace("/", "_")
        run.final[name] = bool(meta.get("final", False))
        data = self._data(name, result)
        stream_name = name if name in data else f"{name}_none"
        stream_name = f"{name}_partial" if f"{name}_mask" in data else stream_name
        stream = run.streams.setdefault(stream_name, _Stream())
        keys = {key: _data_key(key, value, result) for key, value in data.items()}
        found: list[Document] = []
        if keys != stream.keys:
            stream.keys, stream.descriptor = keys, str(uuid.uuid4())
            found.append(
                ("descriptor", _descriptor(run, stream, stream_name, name, result))
            )
        stream.events += 1
        time_s = int(meta.get("t_frame_ns") or 0) / 1e9 or _published_s(result)
        event = {
            "uid": str(uuid.uuid4()),
            "time": _published_s(result),
            "descriptor": stream.descriptor,
            "seq_num": stream.events,
            "data": data,
            "timestamps": dict.fromkeys(data, time_s),
            "filled": {},
        }
        return [*found, ("event", event)]

    def _data(self, name: str, result: Result) -> dict[str, Any]:
        said = {
            f"{name}_valid": result.valid,
            f"{name}_reason": result.reason,
            f"{name}_first_frame": result.first,
            f"{name}_last_frame": result.frame,
            f"{name}_frames": result.used,
        }
        value = result.data
        if isinstance(value, np.ndarray):
            if value.nbytes > LARGEST or value.dtype.kind not in "biufc":
                self.left_out += 1
                return said
            mask = {} if result.mask is None else {f"{name}_mask": result.mask}
            return {name: value, **mask, **said}
        if isinstance(value, np.generic):
            value = value.item()
        if value is None:
            return said
        if not isinstance(value, bool | int | float | str):
            value = json.dumps(value, default=str, sort_keys=True)
        return {name: value, **said}


def _published_s(result: Result) -> float:
    return int(result.meta.get("t_published_ns") or 0) / 1e9


def _descriptor(
    run: _Run, stream: _Stream, stream_name: str, name: str, result: Result
) -> dict[str, Any]:
    meta = result.meta
    return {
        "uid": stream.descriptor,
        "time": _published_s(result),
        "run_start": run.uid,
        "name": stream_name,
        "data_keys": dict(stream.keys),
        "object_keys": {name: list(stream.keys)},
        "hints": {name: {"fields": [name] if name in stream.keys else []}},
        "configuration": {},
        "scopeside": {
            "chain": str(meta.get("chain", "")),
            "processor": str(meta.get("processor", "")),
            "result": result.name,
            "kind": result.kind,
        },
    }


def _data_key(key: str, value: Any, result: Result) -> dict[str, Any]:
    found: dict[str, Any] = {"source": "scopeside", "dtype": _dtype(value), "shape": []}
    if isinstance(value, np.ndarray):
        little = value.dtype.newbyteorder("<")
        found |= {"shape": list(value.shape), "dtype_numpy": little.str}
        if len(result.axes) == value.ndim:
            found["dims"] = list(result.axes)
    own = not key.endswith(("_valid", "_reason", "_frame", "_frames", "_mask"))
    if own and result.units:
        found["units"] = result.units
    return found


def _dtype(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
    return "array"
