"""Takes parts in, once and for ever, and says which batches are done.

The order of things is what makes a crash harmless: a part is merged in memory, then
written to the journal, then acknowledged. What was not acknowledged comes again; what
comes again is recognised by its frames.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scopeside.acquisition import Acquisition
from scopeside.changes import Change, held_in
from scopeside.collect import files
from scopeside.collect.beside import Beside
from scopeside.collect.channels import Channels, samples_of
from scopeside.collect.events_told import EventsTold
from scopeside.collect.feed import Feed
from scopeside.collect.journal import Journal
from scopeside.collect.master import Master
from scopeside.collect.past_kept import PastKept
from scopeside.latency import Latencies
from scopeside.pipeline import CHANNELS, Pipeline
from scopeside.publication import digest
from scopeside.result import Result
from scopeside.series import past
from scopeside.series.past import Past
from scopeside.wire import Buffer, Kind, Message, decode_own, encode

log = logging.getLogger(__name__)

KEPT = 2
"""Closed acquisitions whose results are kept for those who come late."""
_MARK = ("t_ns", "before_ns", "after_ns", "note")
COMPACT_BYTES = 64 << 20
"""The journal is rewritten when it is larger than this and twice the state."""


@dataclass(slots=True)
class Held:
    """An acquisition that is open, or closed and kept for a while."""

    acquisition: Acquisition
    masters: dict[str, Master]
    began: dict[str, Any]
    closed: dict[str, Any] | None = None
    dirty: set[str] = field(default_factory=set)
    unwritten: set[str] = field(default_factory=set)
    """Chains whose results have changed since they were put beside the recording."""


class Collector:
    """All that is known, of all acquisitions.

    Attributes
    ----------
    epoch
        Of the adapter process that frames come from.
    feed
        To whom new results are passed on, if anybody decides on them.
    beside
        Puts results beside the recording, if there is one.
    past
        How numbers have been since the engine began.
    told
        The events of each acquisition, if only what surrounds them is recorded.
    """

    def __init__(
        self, pipeline: Pipeline, journal: Journal, results_folder: Path | None
    ) -> None:
        self.held: dict[str, Held] = {}
        self.epoch = 0
        self.channels = Channels(pipeline.channels)
        units = {one.settings.name: one.settings.unit for one in pipeline.channels}
        self.past = PastKept(units)
        self.told: dict[str, EventsTold] = {}
        self.latencies = Latencies()
        self.merged_frames = 0
        self.merge_ns = 0
        self._pipeline = pipeline
        self._journal = journal
        self._results_folder = results_folder
        self.feed: Feed | None = None
        self.beside: Beside | None = None
        self._compacted = 0
        self._blind: set[str] = set()
        for record in journal.records():
            self._recover(decode_own(record))
        self._forget_old()

    # -- what the others say ----------------------------------------------------

    def start(
        self, values: dict[str, Any], changes: Sequence[dict[str, Any]] = ()
    ) -> None:
        """Open an acquisition, unless it is open already.

        `changes`: those of parameters that hold from its first frame on.
        """
        if values["id"] in self.held:
            return
        header = {"acquisition": values, "changes": list(changes)}
        self._journal.append(encode(Kind.START, header))
        self._open(header)
        if self.feed is not None:
            self.feed.begin(values)

    def feed_to(self, feed: Feed) -> None:
        """Pass on what is wanted of all that is new from now on."""
        self.feed = feed
        for held in self.held.values():
            if held.closed is None:
                feed.begin(held.began["acquisition"])

    def absorb(self, message: Message) -> bool:
        """Merge and keep a part; return whether it may be acknowledged."""
        header = message.header
        held = self.held.get(header["acq"])
        if held is None or held.closed is not None:
            return False
        began = time.monotonic_ns()
        master = held.masters[header["chain"]]
        if master.absorb(header, message.payload):
            self.channels.frames(header)
            self._keep(message, held, began)
            self.merged_frames += sum(b - a + 1 for a, b in header["runs"])
        return True

    def hear(self, message: Message) -> None:
        """Take and keep results that come before the state behind them."""
        header = message.header
        held = self.held.get(header["acq"])
        if held is None or held.closed is not None:
            return
        began = time.monotonic_ns()
        if held.masters[header["chain"]].hear(header, message.payload):
            self._keep(message, held, began)

    def _keep(self, message: Message, held: Held, began_ns: int) -> None:
        """Write down what is merged, and for how long its frames have waited."""
        header = message.header
        self._journal.append(encode(message.kind, header, message.payload))
        self._tell(header)
        master = held.masters[header["chain"]]
        self.past.happen(master, header)
        self.past.look(master)
        if self.feed is not None:
            self.feed.take(message)
        held.dirty.add(header["chain"])
        held.unwritten.add(header["chain"])
        now = time.monotonic_ns()
        self.merge_ns += now - began_ns
        for n, received_ns in header["ages"]:
            self.latencies.add((now - received_ns) / 1e9, n)
        self._compact_if_large()

    def sample(self, message: Message) -> None:
        """Take and keep a group of samples."""
        if self._take_samples(message):
            self._journal.append(encode(message.kind, message.header, message.payload))
            self._compact_if_large()

    def past_now(self) -> Past:
        """Return how numbers have been until this moment."""
        for held in self.held.values():
            if held.closed is None:
                for master in held.masters.values():
                    self.past.take(master)
        return self.past.past()

    def keep(self, header: dict[str, Any]) -> bool:
        """Take a person's word that this is to be kept; return whether it could be."""
        told = self.told.get(header["acq"])
        if told is None or told.final:
            return False
        self._journal.append(encode(Kind.KEEP, header))
        told.keep(*(header[key] for key in _MARK))
        return True

    def drained(self, acquisition: str) -> None:
        """Take that all frames of an acquisition have been looked at."""
        if acquisition in self.told:
            self.told[acquisition].end()

    def blind(self, chain: str) -> None:
        """Take that a chain looks at no frames any more."""
        self._blind.add(chain)
        for told in self.told.values():
            told.blind(chain)

    def account(self) -> dict[str, dict[str, Any]]:
        """Return which frames are merged, by acquisition and chain."""
        return {
            name: {chain: m.account() for chain, m in held.masters.items()}
            for name, held in self.held.items()
        }

    def state_for(self, acquisition: str, chain: str) -> dict[str, bytes]:
        """Return what a new worker of a chain that needs order goes on from."""
        return self.held[acquisition].masters[chain].state_of_ordered()

    def close(self, acquisition: str, ledger: dict[str, Any]) -> dict[str, Any]:
        """Finish an acquisition: write its results and say what they are.

        Asked again, it gives the same answer.
        """
        held = self.held[acquisition]
        if held.closed is not None:
            return held.closed
        results: dict[str, str] = {}
        problems: list[str] = []
        found = list(self.results(held))
        for chain, processor, result in found:
            name = f"{chain}.{processor}.{result.name}"
            results[name] = digest(result)
            if self._results_folder is not None:
                try:
                    self._write(held, ledger, chain, processor, result)
                except OSError as error:
                    problems.append(f"{name} could not be written: {error}")
        if self.beside is not None:
            samples = self.channels.samples(acquisition)
            problems += self.beside.close(
                held.acquisition, found, samples, ledger["state"]
            )
            held.unwritten.clear()
        held.closed = {
            "acq": acquisition,
            "ledger": ledger,
            "results": results,
            "problems": problems,
            "account": {name: m.account() for name, m in held.masters.items()},
            "channels": self.channels.account(acquisition),
        }
        self.channels.close(acquisition)
        self.past.close(held.masters)
        self.drained(acquisition)
        held.dirty = set(held.masters)
        self._journal.append(encode(Kind.CLOSED, held.closed))
        self._feed_last(held)
        self._forget_old()
        return held.closed

    def results(self, held: Held) -> Iterator[tuple[str, str, Result]]:
        """Yield (chain, processor, result) for all that is known of one."""
        for chain, master in held.masters.items():
            for processor, result in master.results():
                yield chain, processor, result
        for processor, result in self.channels.results(held.acquisition.id):
            yield CHANNELS, processor, result

    # ---------------------------------------------------------------------------

    def _feed_last(self, held: Held) -> None:
        """Pass on the last values of what does not come frame by frame."""
        if self.feed is None:
            return
        last = [
            (chain, processor, result)
            for chain, master in held.masters.items()
            for processor, result in master.merged_results()
        ]
        t_ns = max(master.t_frame_ns for master in held.masters.values())
        self.feed.close(held.acquisition.id, self.epoch, last, t_ns)

    def _open(self, header: dict[str, Any]) -> None:
        acquisition = Acquisition.from_dict(header["acquisition"])
        changes = [Change.from_dict(change) for change in header["changes"]]
        masters = {
            chain.name: Master(chain, acquisition, held_in(chain.name, changes))
            for chain in self._pipeline.chains
        }
        self.held[acquisition.id] = Held(acquisition, masters, header)
        self.channels.open(acquisition)
        self.past.open(acquisition)
        record = self._pipeline.record
        if record is not None and record.mode == "on_event":
            told = EventsTold(acquisition.id, record, self._pipeline.chains)
            self.told[acquisition.id] = told
            for chain in self._blind:
                told.blind(chain)

    def _take_samples(self, message: Message) -> bool:
        """Take a group of samples; return whether it was new."""
        is_new = self.channels.absorb(message)
        if is_new:
            for name, times, values in samples_of(message):
                self.past.sample(name, times, values)
        return is_new

    def _tell(self, header: dict[str, Any]) -> None:
        if header["acq"] in self.told:
            self.told[header["acq"]].take(header)

    def _forget_old(self) -> None:
        for name in [n for n, h in self.held.items() if h.closed][:-KEPT]:
            del self.held[name]
            self.told.pop(name, None)
            self.channels.forget(name)
            self.past.forget(name)

    def _write(
        self,
        held: Held,
        ledger: dict[str, Any],
        chain: str,
        processor: str,
        result: Result,
    ) -> None:
        assert self._results_folder is not None
        folder = self._results_folder
        beside = {
            "acquisition": held.acquisition.to_dict(),
            "chain": chain,
            "processor": processor,
            "state": ledger["state"],
        }
        files.write(folder, chain, processor, result, beside)

    def _recover(self, message: Message) -> None:
        """Do again what a record of the journal says."""
        header = message.header
        match message.kind:
            case Kind.START:
                self._open(header)
            case Kind.PART | Kind.SAID:
                self._recover_part(message)
            case Kind.SAMPLES:
                self._take_samples(message)
            case Kind.PAST:
                self.past.take_over(past.from_header(header, message.payload))
            case Kind.CHANNELS:
                self.channels.from_record(message)
            case Kind.STATE:
                self.held[header["acq"]].masters[header["chain"]].from_record(message)
            case Kind.CLOSED:
                self.held[header["acq"]].closed = header
                self.channels.close(header["acq"])
                self.past.close(self.held[header["acq"]].masters)
                self.drained(header["acq"])
            case Kind.EVENTS:
                self.told[header["acq"]].from_record(message)
            case Kind.KEEP:
                self.told[header["acq"]].keep(*(header[key] for key in _MARK))
            case other:
                log.warning("the journal holds a %s", other.name)

    def _recover_part(self, message: Message) -> None:
        header = message.header
        master = self.held[header["acq"]].masters[header["chain"]]
        if message.kind is Kind.PART:
            master.absorb(header, message.payload)
            self.channels.frames(header)
        else:
            master.hear(header, message.payload)
        self._tell(header)
        self.past.happen(master, header)
        # As often as it was looked at when it came, by the frames' own clock.
        self.past.look(master, master.t_frame_ns / 1e9)

    def _compact_if_large(self) -> None:
        if self._journal.length > COMPACT_BYTES + 2 * self._compacted:
            self._compact()

    def _compact(self) -> None:
        self._journal.replace(self._records())
        self._compacted = self._journal.length

    def _records(self) -> Iterator[list[Buffer]]:
        yield encode(Kind.PAST, *past.to_header(self.past_now()))
        if self.channels:
            yield self.channels.to_record()
        for held in self.held.values():
            yield encode(Kind.START, held.began)
            for master in held.masters.values():
                yield master.to_record()
            if self.channels:
                yield self.channels.record_of(held.acquisition.id)
            if held.acquisition.id in self.told:
                yield self.told[held.acquisition.id].to_record()
            if held.closed is not None:
                yield encode(Kind.CLOSED, held.closed)
