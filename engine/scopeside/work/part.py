"""What the collector is told of batches: the headers of its messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scopeside.changes import Held, held_to_dict
from scopeside.slab import Slab
from scopeside.work.chain import Said
from scopeside.work.group import Group


class PartHeaders:
    """Writes the headers of one worker's parts.

    Parameters
    ----------
    chain, worker
        Their names.
    timed
        Parts say when each of their frames was taken, for channels to be joined.
    stamped
        So does what is said of a batch, for those who decide on it; with those of the
        frames that failed.
    """

    def __init__(
        self, chain: str, worker: str, slab: Slab, *, timed: bool, stamped: bool
    ) -> None:
        self._chain = chain
        self._worker = worker
        self._slab = slab
        self._timed = timed
        self._stamped = stamped

    def of_part(
        self, group: Group, held: Held, said: Sequence[Said], epoch: int
    ) -> dict[str, Any]:
        """Return the header of a PART: the states that a group of batches came to."""
        headers, untold = group.headers, group.untold
        failed = [header for header, _ in group.failed]
        return {
            **self._common(group, held, said, epoch),
            "done": [header["seq"] for header in headers],
            "runs": [run for header in headers for run in header["runs"]],
            "failed": [
                [header["seq"], header["runs"], cause] for header, cause in group.failed
            ],
            "ages": [[header["n"], header["received_ns"]] for header in untold],
            "t_ns": max((header["t_ns"] for header in headers), default=0),
            **({"times": self._times([*headers, *failed])} if self._timed else {}),
            **({"stamps": self._times([*untold, *failed])} if self._stamped else {}),
        }

    def of_said(
        self,
        group: Group,
        header: dict[str, Any],
        held: Held,
        said: Sequence[Said],
        epoch: int,
    ) -> dict[str, Any]:
        """Return the header of a SAID: results of one batch, ahead of its part."""
        return {
            **self._common(group, held, said, epoch),
            "runs": header["runs"],
            "ages": [[header["n"], header["received_ns"]]],
            "t_ns": header["t_ns"],
            **({"stamps": self._times([header])} if self._stamped else {}),
        }

    def _common(
        self, group: Group, held: Held, said: Sequence[Said], epoch: int
    ) -> dict[str, Any]:
        """Return what both begin with alike."""
        return {
            "epoch": epoch,
            "acq": group.acquisition,
            "chain": self._chain,
            "worker": self._worker,
            "held": held_to_dict(held),
            "said": [[one.step, one.header, len(one.payload)] for one in said],
        }

    def _times(self, headers: list[dict[str, Any]]) -> list[list[bytes]]:
        """Return (indices, time stamps) of each batch, packed int64."""
        return [
            [self._slab.view(at, (header["n"],), "<i8").tobytes() for at in where]
            for header in headers
            for where in [header["slab"][:2]]
        ]
