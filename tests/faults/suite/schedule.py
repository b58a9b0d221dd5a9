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
SLAB_MIB, ROOMY_MIB = 8, 64
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
        whom = [name for name in self.whom if name not in self.what]
        words = [self.what, *whom, self.detail]
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
    slab_mib
        With `SLAB_MIB` a recorder that is away for more than 2 s costs frames of the
        recording, since nobody waits for it; with `ROOMY_MIB` slab and spool hold all.
    """

    seed: int
    source: str
    fault: Fault
    beside: bool = False
    slab_mib: int = SLAB_MIB

    @property
    def may_lose(self) -> bool:
        """Whether frames may be missing afterwards, if it is declared."""
        if "recorder" in self.fault.whom and self.fault.what != "clock jumps":
            return self.slab_mib == SLAB_MIB
        return self.fault.what in _MAY_LOSE


KINDS = (
    "none", "kill adapter", "kill worker", "kill collector", "kill recorder",
    "kill recorder twice", "kill channels", "kill adviser", "kill guard",
    "kill supervisor", "kill two at once", "stop adapter", "stop worker",
    "stop collector", "stop recorder", "stop beside", "stop supervisor",
    "disk full", "disk full for a while", "disk slow", "no memory", "clock jumps",
    "zmq peer", "merlin peer", "dectris peer",
)  # fmt: skip
"""Rows of the table, in the order of the seeds."""
_MAY_LOSE = frozenset(
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
    turn, kind = divmod(seed, len(KINDS))
    what, source = KINDS[kind], "scan"
    if what.endswith(" peer"):
        source = what.removesuffix(" peer")
    elif what in ("none", "kill worker", "kill collector", "stop worker"):
        source = ("scan", "movie")[(turn + kind) % 2]
    whom = _whom(what, source, turn, rng)
    fault = Fault(
        what,
        whom,
        _detail(what, turn, rng),
        rng.uniform(0.02, 0.75),
        rng.random() * 0.02,
        _seconds(what, turn + kind, rng),
    )
    roomy = "recorder" in whom and turn % 2 == 0
    return Plan(
        seed,
        source,
        fault,
        beside=bool({*whom} & {*BESIDE}),
        slab_mib=ROOMY_MIB if roomy else SLAB_MIB,
    )


def _whom(what: str, source: str, turn: int, rng: random.Random) -> tuple[str, ...]:
    verb, _, name = what.partition(" ")
    if what == "clock jumps":
        return (("all", "supervisor", "adapter", "recorder", "all", *CORE)[turn % 10],)
    if verb not in ("kill", "stop"):
        return ()
    if name == "worker":
        return ("worker.film.0",) if source == "movie" else (rng.choice(WORKERS),)
    if name == "beside":
        return (BESIDE[turn % len(BESIDE)],)
    if name == "two at once":
        return tuple(rng.sample([*CORE, *BESIDE], 2))
    return (name.removesuffix(" twice"),)


def _detail(what: str, turn: int, rng: random.Random) -> str:
    details = {
        "disk full": ("tmpfs", "keep_free", "largest file"),
        "disk slow": ("1 MB/s", "2 MB/s", "4 MB/s", "8 MB/s"),
        "no memory": ("journal", "slab", "spool", "no file of 8 MiB"),
        "clock jumps": ("-1 h", "+1 h"),
    }
    if what in details:
        return details[what][turn % len(details[what])]
    if what == "zmq peer":
        return "+".join(rng.sample(ZMQ_FAULTS, 3))
    if what == "merlin peer":
        return "+".join(rng.sample(PEER_FAULTS, 2))
    if what == "dectris peer":
        return "+".join(rng.sample([*PEER_FAULTS, "corrupt"], 2))
    return ""


def _seconds(what: str, turn: int, rng: random.Random) -> float:
    if what.startswith("stop"):
        # Every other one so long that the supervisor takes it for dead.
        return rng.uniform(SILENT_S + 0.6, 4.5) if turn % 2 else rng.uniform(0.3, 1.5)
    return rng.uniform(0.5, 2.5) if what == "disk full for a while" else 0.0
