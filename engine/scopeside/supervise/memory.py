"""Shared memory of an engine; it has no name and outlives who uses it."""

from __future__ import annotations

import os

from scopeside.collect.journal import Journal
from scopeside.pipeline import Pipeline
from scopeside.record.spool import Spool
from scopeside.slab import Slab


class Memory:
    """The slab, the collector's journal, and the recorder's spool.

    Attributes
    ----------
    slab_fd, journal_fds, spool_fd
        Descriptors; -1 where there is none.
    slab_bytes
        Size of the slab.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.slab_bytes = pipeline.slab.mib << 20
        self.slab_fd = Slab.allocate(self.slab_bytes)
        self.journal_fds = Journal.allocate()
        self.spool_fd = -1
        if pipeline.record is not None:
            self.spool_fd = Spool.allocate(pipeline.record.spool_mib << 20)

    def close(self) -> None:
        """Give it back; processes that still run keep what they have."""
        for fd in (self.slab_fd, self.spool_fd, *self.journal_fds):
            if fd >= 0:
                os.close(fd)
