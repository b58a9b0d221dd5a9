"""All that 4D-STEM processors cost: one table for each subject, in one run.

    python bench/stem.py [SUBJECT …]

Each table is that of ``bench/stem_SUBJECT.py``, which says what is measured and how;
without a subject they are all run, one after the other, on one thread. Where a table
compares with other software, that ran on the same data in the same run.
"""

from __future__ import annotations

import sys

from subjects import run

if __name__ == "__main__":
    sys.exit(run("stem", __doc__ or ""))
