"""LiberTEM-live's side of `bench/peers.py`: a process that does as it is told.

A line of JSON asks, a line of JSON answers. LiberTEM is under the GPL: it is run here
as a peer, and nothing of scopeside stands on it.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from libertem.executor.pipelined import PipelinedExecutor
from libertem.udf.com import CoMUDF
from libertem.udf.masks import ApplyMasksUDF
from libertem_live.api import Hooks, LiveContext

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench.against.streams import NAMES, Stream  # noqa: E402 - found by the line above


def stack(stream: Stream, way: str) -> np.ndarray:
    """Return the masks that a way asks for; a worker makes its own.

    "masks" and "masks, sparse": disk, annuli, ones, rows, columns in one stack;
    "masks and CoMUDF": disk and annuli, the centre of mass by its own UDF.
    """
    regions = stream.masks().astype(np.float32)
    if way == "masks and CoMUDF":
        return regions
    row, column = np.mgrid[: stream.size, : stream.size].astype(np.float32)
    return np.concatenate([regions, [np.ones_like(row), row, column]])


def udfs(stream: Stream, way: str) -> list[Any]:
    """Return what is to be computed."""
    masks = ApplyMasksUDF(
        mask_factories=partial(stack, stream, way),
        mask_count=len(stack(stream, way)),
        mask_dtype=np.float32,
        use_sparse=True if way == "masks, sparse" else None,
    )
    return [masks, CoMUDF()] if way == "masks and CoMUDF" else [masks]


def values_of(results: Any, stream: Stream, way: str) -> dict[str, np.ndarray]:
    """Return disk, annuli and ``com`` of all frames, by name."""
    sums = results[0]["intensity"].data.reshape(stream.frames, -1)
    found = {name: sums[:, k] for k, name in enumerate(NAMES)}
    if way == "masks and CoMUDF":
        com = results[1]["raw_com"].data.reshape(stream.frames, 2)
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            com = sums[:, 4:6] / sums[:, 3:4]
    return {**found, "com": com}


class Peer:
    """A LiveContext, and one connection at a time."""

    def __init__(self, workers: int) -> None:
        spec = PipelinedExecutor.make_spec(cpus=range(workers), cudas=[])
        self._context = LiveContext(PipelinedExecutor(spec=spec))

    def run(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Take acquisitions; say when each was complete, and whether it is right."""
        stream = _stream(asked)
        done = []
        with self._connection(stream, asked["ports"]) as connection:
            for _ in range(asked["acquisitions"]):
                time.sleep(1)  # or the connection before this one takes the start
                acquisition = self._acquisition(connection, stream, asked)
                results = self._context.run_udf(
                    dataset=acquisition, udf=udfs(stream, asked["way"])
                )
                found = values_of(results, stream, asked["way"])
                done.append(time.monotonic())
        truth = stream.truth()
        wrong = [k for k in truth if not np.allclose(found[k], truth[k], rtol=1e-4)]
        return {"done": done, "wrong": wrong}

    def iterate(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Take acquisitions; save when the value of each frame of the last was here."""
        stream = _stream(asked)
        with self._connection(stream, asked["ports"]) as connection:
            for _ in range(asked["acquisitions"]):
                time.sleep(1)
                here = np.zeros(stream.frames, np.int64)
                acquisition = self._acquisition(connection, stream, asked)
                for partial_results in self._context.run_udf_iter(
                    dataset=acquisition, udf=udfs(stream, asked["way"])
                ):
                    values_of(partial_results.buffers, stream, asked["way"])
                    seen = np.asarray(partial_results.damage.data, bool).reshape(-1)
                    here[seen & (here == 0)] = time.monotonic_ns()
        np.save(asked["save"], here)
        return {}

    def mourn(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Take an acquisition whose sender dies; say when that was noticed, and how."""
        stream = _stream(asked)
        with self._connection(stream, asked["ports"]) as connection:
            time.sleep(1)
            acquisition = self._acquisition(connection, stream, asked)
            try:
                self._context.run_udf(
                    dataset=acquisition, udf=udfs(stream, asked["way"])
                )
                said = "returned as if complete"
            except Exception as error:  # noqa: BLE001 - any word counts
                said = f"{type(error).__name__}: {error}"
            return {"noticed": time.monotonic(), "said": said}

    @contextmanager
    def _connection(self, stream: Stream, ports: dict[str, int]) -> Iterator[Any]:
        builder = self._context.make_connection(stream.protocol)
        with builder.open(
            api_host="127.0.0.1",
            api_port=ports["control"],
            data_host="127.0.0.1",
            data_port=ports["data"],
        ) as connection:
            yield connection

    def _acquisition(
        self, connection: Any, stream: Stream, asked: dict[str, Any]
    ) -> Any:
        class Start(Hooks):  # type: ignore[misc]
            def on_ready_for_data(self, env: Any) -> None:  # noqa: ARG002 - theirs
                if stream.protocol == "merlin":  # the other one is armed by its API
                    with connection.control() as control:
                        control.cmd("STARTACQUISITION")
                        control.cmd("SOFTTRIGGER")

        return self._context.make_acquisition(
            conn=connection,
            nav_shape=stream.scan,
            frames_per_partition=asked["partition"],
            hooks=Start(),
        )


def _stream(asked: dict[str, Any]) -> Stream:
    fields = {**asked["stream"], "scan": tuple(asked["stream"]["scan"])}
    return Stream(**fields)


def main() -> None:
    """Answer until there is no more to do."""
    warnings.simplefilter("ignore")
    peer: Peer | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        answer: dict[str, Any] = {}
        if asked["do"] == "open":
            peer = Peer(asked["workers"])
        else:
            try:
                answer = getattr(peer, asked["do"])(asked)
            except Exception as error:  # noqa: BLE001 - the other side reports it
                answer = {"error": f"{type(error).__name__}: {error}"}
        print("\nanswer " + json.dumps(answer), flush=True)
    os._exit(0)  # its executor may hang; whoever started us ends what is left


if __name__ == "__main__":
    main()
