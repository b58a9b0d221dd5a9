"""What is known of each track."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.motion_bank import Bank

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(slots=True, eq=False)
class Tracks:
    """n tracks.

    Attributes
    ----------
    id : (n,) int64, never used twice
    odds : (n,) logarithm of the odds that it is a particle
    snr, snr_var : (n,) height of its detections, and the variance of that
    radius, radius_weight : (n,) px, mean over its detections, and their weight
    age : (n,) int64, frames since the first detection
    seen : (n,) int64, frames with a detection
    since : (n,) int64, frames since the last one
    confirmed : (n,) bool, whether it has been shown
    measured, measured_sigma, measured_radius : (n, 2), (n,), (n,) px, of the last
        detection alone
    bank : where it is and how it moves
    """

    id: IntArray
    odds: FloatArray
    snr: FloatArray
    snr_var: FloatArray
    radius: FloatArray
    radius_weight: FloatArray
    age: IntArray
    seen: IntArray
    since: IntArray
    confirmed: BoolArray
    measured: FloatArray
    measured_sigma: FloatArray
    measured_radius: FloatArray
    bank: Bank

    @classmethod
    def new(  # noqa: PLR0917 - the columns of a table
        cls,
        ids: IntArray,
        odds: FloatArray,
        snr: FloatArray,
        radius: FloatArray,
        bank: Bank,
        places: FloatArray,
        sigma: FloatArray,
    ) -> Self:
        """Return tracks of which there is one detection each."""
        n = len(ids)
        whole = np.zeros(n, np.int64)
        return cls(
            ids, odds, snr, np.ones(n), radius, np.ones(n),
            whole, whole + 1, whole.copy(), np.zeros(n, np.bool_),
            places.copy(), sigma.copy(), radius.copy(), bank,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.id)

    def take(self, which: Any) -> Tracks:
        """Return the tracks that `which` picks."""
        return Tracks(*(_taken(getattr(self, f.name), which) for f in fields(self)))

    def joined(self, other: Tracks) -> Tracks:
        """Return the tracks of both."""
        return Tracks(
            *(
                _joined(getattr(self, f.name), getattr(other, f.name))
                for f in fields(self)
            )
        )

    def state(self) -> dict[str, Any]:
        """Return plain values, for a snapshot."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        found["bank"] = {f.name: getattr(self.bank, f.name) for f in fields(Bank)}
        return found

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """Return what `state` gave."""
        bank = Bank(**{k: v.copy() for k, v in state["bank"].items()})
        rest = {k: v.copy() for k, v in state.items() if k != "bank"}
        return cls(**rest, bank=bank)


def _taken(values: Any, which: Any) -> Any:
    return values.take(which) if isinstance(values, Bank) else values[which]


def _joined(one: Any, other: Any) -> Any:
    return one.joined(other) if isinstance(one, Bank) else np.concatenate([one, other])
