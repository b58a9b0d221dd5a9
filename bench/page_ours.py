"""The page of scopeside, alone in its process; prints its address."""

from __future__ import annotations

import signal
import threading

from scopeside.dashboard.parts import Dashboard


def main() -> None:
    """Serve until SIGTERM."""
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    board = Dashboard(None, 0, "a-token-of-the-benchmark")
    board.start()
    print(board.server.address_to_change, flush=True)
    over.wait()
    board.close()


if __name__ == "__main__":
    main()
