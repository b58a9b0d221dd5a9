"""Makes the parts that a worker would send, and shows what was made of them."""

from tests.engine.small import batch

from scopeside.collect.collector import Collector
from scopeside.collect.journal import Journal
from scopeside.publication import digest
from scopeside.wire import Kind, decode_own, encode
from scopeside.work.chain import ChainRun

LEDGER = {
    "acquisition": {},
    "state": "complete",
    "reason": "",
    "ingest": {},
    "edges": {},
}


def parts_of(chain, acquisition, groups, failed=()):
    """One PART message for each group of (first, n) batches."""
    run = ChainRun(chain, acquisition, "cpu")
    return [
        part_of(run, chain.name, acquisition.id, number, group, failed=failed)
        for number, group in enumerate(groups, 1)
    ]


def part_of(run, chain, acquisition, number, group, *, failed=()):
    good = [span for span in group if span not in failed]
    for first, n in good:
        run.process(batch(first, n))
    states, said = run.commit()
    header = {
        "epoch": 1,
        "acq": acquisition,
        "chain": chain,
        "worker": "worker.x.0#1",
        "number": number,
        "done": [first for first, _ in good],
        "runs": [[first, first + n - 1] for first, n in good],
        "failed": [
            [first, [[first, first + n - 1]], "ValueError"]
            for first, n in group
            if (first, n) in failed
        ],
        "ages": [[n, 0] for _, n in good],
        "t_ns": max((first for first, _ in good), default=0),
        "states": len(states),
        "stamps": [stamps_of(first, n) for first, n in group],
        "said": [[one.step, one.header, len(one.payload)] for one in said],
    }
    arrays = [array for one in said for array in one.payload]
    return decode_own(encode(Kind.PART, header, [*states, *arrays]))


def stamps_of(first, n):
    frames = batch(first, n)
    return [frames.index.tobytes(), frames.timestamp_ns.tobytes()]


def shown(master):
    """Everything of a master that others can see, in a form that compares."""
    results = {
        (step, result.name): (digest(result), result.used)
        for step, result in master.results()
    }
    return results, master.account(), dict(master.state_of_ordered()), master.t_frame_ns


def collector(pipeline, fds, folder=None):
    return Collector(pipeline, Journal(fds), folder)
