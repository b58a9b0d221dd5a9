"""Records short runs, as the recorder does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scopeside.acquisition import Acquisition
from scopeside.runs import manifest
from scopeside.runs.message import message_of
from scopeside.runs.writer import RunWriter
from scopeside.wire import Kind


class Recording:
    """Writes one run, record by record."""

    def __init__(self, folder: Path, acquisition: Acquisition, *, changes: Any = ()):
        self.folder = folder
        self.acquisition = acquisition
        self._writer = RunWriter.create(folder, segment_bytes=1 << 20)
        self._about = {"acquisition": acquisition.to_dict(), "pipeline": {}}
        start = {"epoch": 1, "change": 0, "changes": list(changes)}
        self._writer.append(Kind.START, {**self._about, **start})
        self._seq = 0

    def batch(self, batch: Any) -> None:
        self._seq += 1
        said = message_of(self.acquisition.id, batch, seq=self._seq, change=0)
        self._writer.append(
            Kind.BATCH, said.header, said.parts, n=said.n, first=said.first,
            last=said.last, t_ns=said.t_ns, t_last_ns=said.t_last_ns,
        )  # fmt: skip

    def gap(self, first: int, last: int, cause: str) -> None:
        header = {"acq": self.acquisition.id, "first": first, "last": last}
        header |= {"epoch": 1, "cause": cause}
        self._writer.append(Kind.GAP, header, first=first, last=last)

    def change(self, **values: Any) -> None:
        header = {"change": values, "before": self._writer.record + 1}
        self._writer.append(Kind.PARAM, header)

    def end(self, total: int | None, state: str = "complete", **more: Any) -> Path:
        header = {"acq": self.acquisition.id, "total": total, "state": state}
        self._writer.append(Kind.END, {**header, "reason": ""})
        return self.close(state=state, **more)

    def close(self, **more: Any) -> Path:
        segments = self._writer.close()
        said = {"state": "complete", **self._about, "segments": segments, **more}
        manifest.write(self.folder, said)
        return self.folder
