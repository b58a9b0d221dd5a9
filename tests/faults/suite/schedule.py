"""Which fault a seed stands for: what, whom, when. No engine, no clock.

The kind goes round with the seed, so that any `len(KINDS)` seeds in a row have each
kind once; everything else is drawn at random from the seed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

WORKERS = ("worker.stem.0", "worker.stem.1")
CORE = ("adapter", *WORKERS, "collector", "recorder")
BESIDE = ("channels", "adviser", "guard")
SILENT_S = 3.0
"""[engine] silent_s of the runs: who is stopped for longer is killed and replaced."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One disturbance of a run.

    Attributes
    ----------
    what
        Its row in the table.
    whom
        Names of processes.
    detail
        What exactly, for those that have several ways.
    at
        When it begins: share of the frames received.
    wait_s
        So long after that, so that it falls anywhere within a batch.
    seconds
        How long it lasts.
    """

    what: str
    whom: tuple[str, ...] = ()
    detail: str = ""
    at: float = 0.3
    wait_s: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        words = [self.what, *self.whom, self.detail]
        words += [f"at {self.at:.0%}"]
        words += [f"for {self.seconds:.2f} s"] if self.seconds else []
        return " ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a seed stands for.

    Attributes
    ----------
    source
        scan, movie, zmq, merlin or dectris: where the frames come from.
    beside
        Whether a side channel and feedback (adviser, guard) run, too.
    """

    seed: int
    source: str
    fault: Fault
    beside: bool = False


KINDS = (
    "none", "kill adapter", "kill worker", "kill collector", "kill recorder",
    "kill recorder twice", "kill channels", "kill adviser", "kill guard",
    "kill supervisor", "kill two at once", "stop adapter", "stop worker",
    "stop collector", "stop recorder", "stop beside", "stop supervisor",
    "disk full", "disk full for a while", "disk slow", "no memory", "clock jumps",
    "zmq peer", "merlin peer", "dectris peer",
)  # fmt: skip
"""Rows of the table, in the order of the seeds."""
MAY_LOSE = frozenset(
    {
        "kill adapter", "kill supervisor", "kill two at once", "stop adapter",
        "disk full", "disk full for a while", "disk slow", "no memory", "zmq peer",
        "merlin peer", "dectris peer",
    }
)  # fmt: skip
"""Faults after which frames may be missing, if it is declared; after others none."""
ZMQ_FAULTS = (
    "drop", "duplicate", "reorder", "truncate", "wrong_magic", "wrong_dtype",
    "wrong_digest", "oversize", "stall", "hang up", "silent",
)  # fmt: skip
PEER_FAULTS = (
    "drop", "duplicate", "reorder", "truncate", "stall", "reset", "silent"
)  # fmt: skip


def plan_of(seed: int) -> Plan:
    """Return what `seed` stands for; the same one each time."""
    rng = random.Random(seed)
    what = KINDS[seed % len(KINDS)]
    fault, source = _fault(what, rng), "scan"
    if what.endswith(" peer"):
        source = what.removesuffix(" peer")
    elif what in ("none", "kill worker", "kill collector", "stop worker"):
        source = rng.choice(["scan", "movie"])
    if source == "movie" and fault.whom and fault.whom[0].startswith("worker"):
        fault = _with(fault, whom=("worker.film.0",))
    return Plan(seed, source, fault, beside=bool({*fault.whom} & {*BESIDE}))


def _with(fault: Fault, whom: tuple[str, ...]) -> Fault:
    return Fault(fault.what, whom, fault.detail, fault.at, fault.wait_s, fault.seconds)


def _fault(what: str, rng: random.Random) -> Fault:
    whom, detail, seconds = _whom(what, rng), "", 0.0
    if what.startswith("stop"):
        # Half of them so long that the supervisor takes them for dead.
        bounds = (0.3, SILENT_S / 2) if rng.random() < 0.5 else (SILENT_S + 0.6, 4.5)
        seconds = rng.uniform(*bounds)
    elif what == "disk full for a while":
        seconds = rng.uniform(0.5, 2.5)
    elif what == "disk full":
        detail = rng.choice(["tmpfs", "tmpfs", "keep_free", "largest file"])
    elif what == "disk slow":
        detail = f"{rng.choice([1, 2, 4, 8])} MB/s"
    elif what == "no memory":
        detail = rng.choice(["slab", "spool", "no file of 8 MiB", "journal"])
    elif what == "clock jumps":
        hours, who = rng.choice([-1, 1]), rng.choice(["all", *CORE, "supervisor"])
        whom, detail = (who,), f"{hours:+d} h"
    elif what == "zmq peer":
        detail = rng.choice(ZMQ_FAULTS)
    elif what in ("merlin peer", "dectris peer"):
        more = ("corrupt",) if what.startswith("dectris") else ()
        detail = rng.choice(PEER_FAULTS + more)
    return Fault(
        what, whom, detail, rng.uniform(0.02, 0.75), rng.random() * 0.02, seconds
    )


def _whom(what: str, rng: random.Random) -> tuple[str, ...]:
    verb, _, name = what.partition(" ")
    if verb not in ("kill", "stop"):
        return ()
    if name == "worker":
        return (rng.choice(WORKERS),)
    if name == "beside":
        return (rng.choice(BESIDE),)
    if name == "two at once":
        return tuple(rng.sample([*CORE, *BESIDE], 2))
    return (name.removesuffix(" twice"),)
