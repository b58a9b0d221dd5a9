"""Push a temperature to the engine, ten times a second; docs/wire.md says all."""

import sys
import time

import msgpack
import zmq

socket = zmq.Context().socket(zmq.PUSH)
socket.connect(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5556")
for number in range(600):
    sample = {"name": "temperature", "t_ns": time.time_ns(), "value": 20 + number / 10}
    socket.send(msgpack.packb(sample))
    time.sleep(0.1)
