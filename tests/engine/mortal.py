"""A child process that says what it was told, and ends as it was told to."""

import json
import os
import signal
import sys

spec = json.loads(sys.stdin.read())
sys.stderr.write(f"I am {spec['name']} {spec['incarnation']}\nlast words")
sys.stderr.flush()
how = spec["chain"]
if how == "crash":
    os.kill(os.getpid(), signal.SIGKILL)
if how == "wait":
    signal.pause()
sys.exit(int(how))
