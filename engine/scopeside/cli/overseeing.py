"""``scopeside guard`` and ``scopeside proposals``: what goes on in feedback."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from scopeside.control.asking import status, the_guarded
from scopeside.control.audit_read import values_of
from scopeside.control.audit_words import (
    amounts,
    call_in_words,
    joined,
    moment,
    printable,
)
from scopeside.control.guard_words import (
    dose_in_words,
    parked_in_words,
    trouble_in_words,
)

REFRESH_S = 0.5


def guard_command(*, as_json: bool, run: Path | None) -> int:
    """Print how the guard is."""
    found = status(the_guarded(run))
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        Console(highlight=False).print(guard_screen(found))
    return 0


def proposals_command(*, watch: bool, as_json: bool, run: Path | None) -> int:
    """Print the proposals that wait; with `watch` until Ctrl-C."""
    folder = the_guarded(run)
    console = Console(highlight=False)
    if as_json:
        print(json.dumps(_list(status(folder).get("waiting")), indent=2))
    elif not watch:
        console.print(proposals_screen(status(folder), time.time_ns()))
    else:
        _watch(console, folder)
    return 0


def _watch(console: Console, folder: Path) -> None:
    with Live(console=console, auto_refresh=False) as live:
        try:
            while True:
                screen = proposals_screen(status(folder), time.time_ns())
                live.update(screen, refresh=True)
                time.sleep(REFRESH_S)
        except KeyboardInterrupt:
            return


def proposals_screen(found: Mapping[str, Any], now_ns: int) -> Group:
    """Return the proposals that wait, with what they stand on."""
    waiting = _list(found.get("waiting"))
    mode = Text(f"mode {printable(found.get('mode', '?'), 20)}")
    if not waiting:
        return Group(mode, Text("no proposal waits for a person"))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("id", "rule", "proposes", "stands on", "age", "left"):
        table.add_column(column, overflow="fold")
    for one in waiting:
        table.add_row(*map(Text, _waiting_row(one, now_ns)))
    return Group(mode, table)


def _waiting_row(one: Mapping[str, Any], now_ns: int) -> tuple[str, ...]:
    confidence = one.get("confidence")
    evidence = joined(
        [
            f"frame {printable(one.get('frame', '?'), 20)} of "
            f"{printable(one.get('acquisition', '?'), 60)}",
            "" if confidence is None else f"confidence {printable(confidence, 10)}",
            printable(one.get("why", "")),
        ]
    )
    return (
        printable(one.get("id", "?"), 200),
        printable(one.get("rule", "?"), 60),
        call_in_words(one),
        evidence,
        _between(one.get("t_frame_ns"), now_ns),
        _between(now_ns, one.get("until_ns")),
    )


def _between(begin: Any, end: Any) -> str:
    if type(begin) is not int or type(end) is not int:
        return "?"
    return f"{(end - begin) / 1e9:.1f} s"


def guard_screen(found: Mapping[str, Any]) -> Group:
    """Return mode, why it is parked, dose, and the last verdicts."""
    head = Table.grid(padding=(0, 2))
    for name, text in _facts(found):
        head.add_row(Text(name, style="bold"), Text(text))
    parts: list[Any] = [head]
    if last := _list(found.get("last")):
        table = Table(box=None, header_style="bold", pad_edge=False, title_style="")
        for column in ("last verdicts", "id", "what", "verdict", "reason"):
            table.add_column(column, overflow="fold")
        for one in last:
            table.add_row(*map(Text, _verdict_row(one)))
        parts += ["", table]
    parts.append(Text("no safety system: the instrument's own interlocks stay"))
    return Group(*parts)


def _facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    mode = printable(found.get("mode", "?"), 20)
    if found.get("armed_until_ns"):
        by = printable(found.get("armed_by", ""), 60)
        mode += f" until {moment(found['armed_until_ns'])}" + (
            f", by {by}" if by else ""
        )
    facts = [("mode", mode)]
    if parked := found.get("parked"):
        facts.append(("parked", parked_in_words(parked)))
    troubles = ("under_way", "blanking", "unreadable", "unwritten")
    said = {name: trouble_in_words(found.get(name)) for name in troubles}
    facts += [(name.replace("_", " "), text) for name, text in said.items() if text]
    waiting = len(_list(found.get("waiting")))
    facts.append(
        ("waiting", f"{waiting} ('scopeside proposals')" if waiting else "none")
    )
    facts.append(("dose", dose_in_words(found.get("dose"))))
    if readback := found.get("readback"):
        facts.append(("microscope", amounts(values_of(readback))))
    if counts := found.get("counts"):
        facts.append(("counts", amounts(counts)))
    if audit := found.get("audit"):
        facts.append(("audit log", printable(audit)))
    return facts


def _verdict_row(one: Mapping[str, Any]) -> tuple[str, ...]:
    state, cause = one.get("state", ""), one.get("cause", "")
    return (
        moment(one.get("t_ns"), date=False) if one.get("t_ns") else "",
        printable(one.get("id", ""), 100),
        call_in_words(one) if one.get("action") else "",
        joined([printable(state, 20), printable(cause, 30)], ": "),
        printable(one.get("reason", "")),
    )


def _list(value: Any) -> list[Mapping[str, Any]]:
    found = value if isinstance(value, list) else []
    return [one for one in found if isinstance(one, Mapping)]
