"""Print the live results of the engine that runs on this machine."""

import sys

import scopeside

endpoint = sys.argv[1] if len(sys.argv) > 1 else None
try:
    results = scopeside.subscribe(endpoint)
except scopeside.EngineNotFoundError as error:
    sys.exit(f"{error}: start one first")
for result in results:
    whole = f"{result.used} of {result.expected} frames"
    mean = result.data.mean() if result.valid else result.reason
    print(f"{result.meta['acq']} {result.name}: {mean} from {whole}", flush=True)
