"""A recorder without sockets, threads or a disk; the test is tee, writer and clock."""

from __future__ import annotations

import os

import numpy as np

from scopeside.batch import Batch
from scopeside.record.item import Item
from scopeside.record.notebook import Notebook
from scopeside.record.recorder import Recorder
from scopeside.record.spool import Spool
from scopeside.runs.message import message_of
from scopeside.wire import Kind

NAME = "a"
EPOCH = 1
RING = 1 << 18
FRAME = (64, 64)  # of bytes: 16 batches of one frame fill a quarter of the ring


def batch_of(seq, frames=1):
    """Frames that bear their number, as item of a tee with many slots."""
    index = np.arange(seq * frames, (seq + 1) * frames)
    pixels = np.empty((frames, *FRAME), np.uint8)
    pixels[...] = (index % 251)[:, None, None]
    batch = Batch(pixels, index, index * 1000 + 1, EPOCH)
    message = message_of(NAME, batch, seq=seq, change=0)
    runs = ((int(index[0]), int(index[-1])),)
    return Item(Kind.BATCH, NAME, EPOCH, seq, {"slots": 64}, 0, frames, runs, message)


class Desk:
    """A recorder and a disk that is a list.

    `slow`: nothing is written until `write` is called.
    """

    def __init__(self, size=RING, gate=None):
        self.fd = Spool.allocate(size)
        self.size = size
        self.gate = gate
        self.disk = []
        self.answers = []
        self.with_writer = []
        self.start()

    def close(self):
        os.close(self.fd)

    def start(self):
        """Begin, or begin again after a death: only the spool and the disk remain."""
        self.spool = Spool(self.fd, self.size)
        self.recorder = Recorder(self.spool, Notebook(self.fd), self.gate)
        self.recorder.epoch = EPOCH
        self.recorder.started.add(NAME)
        self.with_writer = []
        upto = max((seqs[1] for seqs, _, _ in self.disk), default=-1)
        self.recorder.recover(0, lambda name, epoch, seq: seq <= upto)

    def hear(self, item):
        self.recorder.put(item)
        self.recorder.spill()
        self.hand_out()

    def hand_out(self):
        while (item := self.recorder.next()) is not None:
            self.with_writer.append(item)
        self.listen()

    def write(self, times=1):
        """The disk takes so many items."""
        for _ in range(times):
            self.hand_out()
            if not self.with_writer:
                return
            item = self.with_writer.pop(0)
            self.disk.append(self.record_of(item))
            self.recorder.written(item)
            self.recorder.spill()
        self.hand_out()

    def refuse(self, trouble="disk_full"):
        """The disk takes nothing."""
        for k, item in enumerate(self.with_writer):
            self.recorder.refused(item, trouble if k == 0 else "")
        self.with_writer.clear()

    def record_of(self, item):
        if item.gap is not None:
            runs = [tuple(run) for run in item.gap.runs]
            return item.gap.seqs, item.gap.cause, runs
        if item.message is None:
            return (item.seq, item.seq), item.kind.name, []
        index = np.frombuffer(item.message.parts[1], "<i8")
        pixels = np.frombuffer(item.message.parts[0], np.uint8)
        assert (pixels.reshape(len(index), -1) == (index % 251)[:, None]).all()
        return (item.seq, item.seq), "", list(item.runs)

    def listen(self):
        said = self.recorder.take_answers()
        if said is not None:
            self.answers.append(said)

    def told(self, what):
        """All that was answered of one sort."""
        return [one for said in self.answers for one in said[what]]

    def frames_on_disk(self):
        return [
            k
            for _, cause, runs in self.disk
            if not cause
            for a, b in runs
            for k in range(a, b + 1)
        ]

    def frames_in_gaps(self):
        return [
            k
            for _, cause, runs in self.disk
            if cause
            for a, b in runs
            for k in range(a, b + 1)
        ]
