"""Runs LiberTEM-live's DECTRIS simulator until killed; prints its two ports.

Arguments: frames a series, and microseconds from one to the next (0: none).

A script of its own: the simulator starts processes, which must find a main module
that may be imported again.
"""

import sys
import time

if __name__ == "__main__":
    from libertem_live.detectors.dectris.sim import DectrisSim

    frames, microseconds = map(int, sys.argv[1:])
    simulator = DectrisSim(
        port=0,
        zmqport=0,
        num_mock_frames=frames,
        dwelltime=microseconds or None,
        verbose=False,
    )
    simulator.start()
    simulator.wait_for_listen()
    print(simulator.port, simulator.zmqport, flush=True)
    while True:
        time.sleep(0.1)
        simulator.maybe_raise()
