"""The table of many runs."""

from __future__ import annotations

from collections.abc import Mapping

from tests.faults.suite.judge import Verdict
from tests.faults.suite.schedule import KINDS, plan_of

HEAD = (
    "fault", "runs", "ledgers closed", "undeclared losses", "differences",
    "leftovers", "otherwise wrong", "declared losses", "restarts",
)  # fmt: skip


def rows_of(verdicts: Mapping[int, Verdict]) -> list[list[object]]:
    """Return a row for each kind of fault, and the sum, from verdicts by seed."""
    rows = []
    for what in KINDS:
        found = [
            one for seed, one in verdicts.items() if plan_of(seed).fault.what == what
        ]
        if found:
            rows.append([what, *_counts(found)])
    return [*rows, ["all", *_counts(list(verdicts.values()))]]


def _counts(found: list[Verdict]) -> list[object]:
    return [
        len(found),
        sum(one.closed for one in found),
        sum(one.undeclared for one in found),
        sum(len(one.differences) for one in found),
        sum(len(one.leftovers) for one in found),
        sum(len(one.wrong) for one in found),
        sum(one.declared for one in found),
        sum(one.restarts for one in found),
    ]


def markdown(verdicts: Mapping[int, Verdict]) -> str:
    """Return the table as Markdown."""
    lines = [[f"{cell}" for cell in row] for row in [HEAD, *rows_of(verdicts)]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    first, *others = widths
    rule = ["-" * first, *("-" * (width - 1) + ":" for width in others)]
    lines.insert(1, rule)
    return "\n".join(
        f"| {' | '.join([row[0].ljust(first), *map(str.rjust, row[1:], others)])} |"
        for row in lines
    )
