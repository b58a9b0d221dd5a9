"""A RunEngine that does what scopeside's guard allows (docs/bluesky.md).

    python bluesky_plan.py FOLDER

FOLDER is yours and closed to others (chmod 700); the pipeline file beside this one,
bluesky_plan.toml, names the same two sockets in it. The devices are simulated: put
your own in their place, of ophyd or ophyd-async, under the names of the pipeline file.
"""

import sys

from bluesky import RunEngine
from ophyd.sim import SynAxis

from scopeside.bluesky import PlanLink, follow


def main(folder: str) -> None:
    """Follow until Ctrl-C, pressed twice."""
    shift_x = SynAxis(name="shift_x", egu="nm")
    shift_y = SynAxis(name="shift_y", egu="nm")
    stage_x = SynAxis(name="stage_x", egu="mm", delay=0.2)
    blanker = SynAxis(name="blanker")
    engine = RunEngine({})
    engine.subscribe(lambda name, document: print(name, document.get("data", "")))
    with PlanLink(
        f"ipc://{folder}/plan",
        [shift_x, shift_y, stage_x],
        blanker=blanker,
        blank_endpoint=f"ipc://{folder}/blank",
        loop=engine.loop,
    ) as link:
        engine(follow(link))


if __name__ == "__main__":
    main(sys.argv[1])
