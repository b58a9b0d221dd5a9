"""For bluesky: allowed commands become steps of a plan, results become documents.

What came of a step is the guard's answer. Nothing here imports bluesky before it is
used. In the process of the RunEngine::

    link = PlanLink("ipc:///run/user/1000/scope/plan", [beam_x, beam_y])
    RE(follow(link))                                   # or, with bluesky-adaptive:
    RE(optimize(problem(ScopesideOptimizer(link)), iterations=None))
"""

from scopeside.bluesky.link import PlanLink
from scopeside.bluesky.optimizer import ScopesideOptimizer, problem
from scopeside.bluesky.plans import follow, until_called
from scopeside.bluesky.serial import loads

__all__ = [
    "PlanLink",
    "ScopesideOptimizer",
    "follow",
    "loads",
    "problem",
    "until_called",
]
