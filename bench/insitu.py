"""All that in-situ processors cost: one table for each subject, in one run.

    python bench/insitu.py [SUBJECT …]

Each table is that of ``bench/insitu_SUBJECT.py``, which says what is measured and how;
without a subject they are all run, one after the other, on one thread, but for those
that need data of their own (``accuracy``, ``real``).
"""

from __future__ import annotations

import sys

from subjects import run

if __name__ == "__main__":
    sys.exit(run("insitu", __doc__ or "", apart=("accuracy", "real")))
