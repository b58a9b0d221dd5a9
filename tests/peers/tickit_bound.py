"""Runs tickit with PUSH sockets that bind only; for the Python beside tickit.

Its own code binds each stream and connects to it as well, to itself: half of the
messages wait for ever in that second link.
"""

import sys

import aiozmq
from tickit.cli import main

create = aiozmq.create_zmq_stream


def bound(kind, *, connect=None, **rest):
    return create(kind, **rest)


if __name__ == "__main__":
    aiozmq.create_zmq_stream = bound
    sys.argv = ["tickit", "all", sys.argv[1]]
    main()
