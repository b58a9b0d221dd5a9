"""What a person sees while an engine runs: a live view, or plain lines."""

from __future__ import annotations

import time
from typing import Any, Self

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scopeside.cli.gallery import Gallery
from scopeside.dashboard.place import with_token
from scopeside.subscribe import Subscription, subscribe
from scopeside.supervise.engine import Engine
from scopeside.supervise.session import Outcome
from scopeside.supervise.status import Watch

REFRESH_S = 0.25
LINE_EVERY_S = 2.0
ROWS_OF_SCREEN = 10
"""Lines of the live view beside those of the edges."""
SHOWN = ("proposals", "observed", "done", "refused", "failed")
"""Of what the guard counts."""
LOUD = {"armed": "bold green", "parked": "bold yellow", "lost": "bold red"}
"""Modes of feedback that are written large, and how."""
TAKE_IN_S = 0.1
"""For so long results are taken in at one look."""


class View:
    """Shows notes as they come; a subclass shows the rest."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._notes = 0
        self._next = 0.0
        self._page = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, engine: Engine, watch: Watch) -> None:
        """Show the engine as it is now; called several times a second."""
        fresh = engine.notes_total - self._notes
        self._notes = engine.notes_total
        for _, who, text in list(engine.notes)[-fresh:] if fresh else []:
            self._note(who, text)
        self._tell_page(engine.servers.get("page", ""))
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self.period
            self.update(watch.status())

    def _tell_page(self, where: str) -> None:
        """Say where the page is, once it is there, with the token."""
        if where and where != self._page:
            self._page = where
            self.console.print(
                f"page: {with_token(where)}", markup=False, soft_wrap=True
            )

    period = REFRESH_S

    def update(self, status: dict[str, Any]) -> None:
        """Show a new status."""

    def last(self, outcome: Outcome) -> None:
        """Show the account of the whole run."""
        if outcome.report:
            self.console.print(ledger_table(outcome.report["ledger"]))
            self.console.print(_summary(outcome.report), markup=False)

    def _note(self, who: str, text: str) -> None:
        style = "bold red" if "DEGRADED" in text else "yellow"
        self.console.print(f"[{style}]{escape(who)}[/] {escape(text)}", soft_wrap=True)


class PlainView(View):
    """One line every two seconds, for logs and pipes."""

    period = LINE_EVERY_S

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._told = False

    def update(self, status: dict[str, Any]) -> None:
        """Print a line."""
        if not self._told and status["phase"] == "running":
            self._told = True
            for name, where in status["servers"].items():
                if name == "page":
                    continue  # told when it is there: nobody waits for it
                self.console.print(f"{name} at {where}", markup=False)
        edges = "; ".join(
            f"{name}: {account['processed']} processed"
            + _losses(account)
            + (f", {account['in_flight']} in flight" if account["in_flight"] else "")
            for name, account in status["edges"].items()
        )
        edges += "".join(f"; {text}" for text, _ in channel_texts(status["channels"]))
        edges += "".join(f"; {text}" for text, _ in control_text(status["control"]))
        edges += "".join(f"; {text}" for text, _ in record_text(status["record"]))
        rates = status["rates"]
        self.console.print(
            f"{status['seconds']:7.1f} s  {status['phase']:<10} "
            f"{rates['frames']} frames  {rates['frames_per_s']:.0f}/s  "
            f"{rates['gb_per_s']:.3f} GB/s  {edges}",
            markup=False,
            soft_wrap=True,
        )


class LiveView(View):
    """A screenful that is redrawn in place.

    With `pictures` it shows the results as well; it gets them as any subscriber does.
    """

    def __init__(self, console: Console, *, pictures: bool = False) -> None:
        super().__init__(console)
        self._pictures = pictures
        self._gallery = Gallery()
        self._subscription: Subscription | None = None
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)
        if self._subscription is not None:
            self._subscription.close()

    def show(self, engine: Engine, watch: Watch) -> None:
        """Show the engine as it is now, and take in what it has published."""
        if self._pictures and self._subscription is None and engine.went is not None:
            endpoint = f"ipc://{engine.folder.path}/results"
            self._subscription = subscribe(endpoint, timeout=0)
        if self._subscription is not None:
            until = time.monotonic() + TAKE_IN_S
            for result in self._subscription:
                self._gallery.add(result)
                if time.monotonic() > until:
                    break
        super().show(engine, watch)

    def update(self, status: dict[str, Any]) -> None:
        """Redraw."""
        parts = [screen(status)]
        if self._pictures:
            shown = len(status["edges"]) + len(status["channels"])
            room = self.console.height - ROWS_OF_SCREEN - shown
            parts.append(self._gallery.draw(self.console.width, room))
        self._live.update(Group(*parts), refresh=True)


def screen(status: dict[str, Any]) -> RenderableType:
    """Return the whole live view of a status."""
    rates, slab = status["rates"], status["slab"]
    head = Text.assemble(
        (f" {status['phase']} ", "bold reverse"),
        f"  {rates['frames']:,} frames  ",
        (f"{rates['frames_per_s']:,.0f}/s  {rates['gb_per_s']:.3f} GB/s", "bold cyan"),
        f"  slab {slab['in_use']}/{slab['slots']} slots",
    )
    where = Text("   ".join(f"{k}: {v}" for k, v in status["servers"].items()), "dim")
    parts: list[RenderableType] = [head, *_progress(status["open"])]
    parts += [Text(note, "bold red") for note in status.get("plaintext", ())]
    parts += [ledger_table(status["edges"], status["queues"]), _ages(status)]
    parts += [Text(*text) for text in channel_texts(status["channels"])]
    parts += [Text(*text) for text in control_text(status["control"])]
    parts += [Text(*text) for text in record_text(status["record"])]
    parts.append(_processes(status))
    return Panel(Group(*parts, where), title="scopeside", border_style="cyan")


def ledger_table(
    edges: dict[str, Any], queues: dict[str, Any] | None = None
) -> RenderableType:
    """Return the ledger as a table, a row an edge."""
    table = Table(box=None, pad_edge=False)
    table.add_column("edge")
    for name in ("announced", "processed", "dropped", "failed", "in flight"):
        table.add_column(name, justify="right")
    table.add_column("losses by cause / state")
    for name, account in edges.items():
        dropped = sum(account["dropped"].values())
        failed = sum(account["failed"].values())
        queue = (queues or {}).get(name, {})
        state = "[bold red]DEGRADED[/] " if queue.get("degraded") else ""
        table.add_row(
            escape(name),
            f"{account['announced']:,}",
            f"{account['processed']:,}",
            f"[yellow]{dropped:,}[/]" if dropped else "0",
            f"[red]{failed:,}[/]" if failed else "0",
            f"{account['in_flight']:,}",
            state + escape(_losses(account).removeprefix(", ")),
        )
    return table


def _progress(open_ones: dict[str, Any]) -> list[RenderableType]:
    rows: list[RenderableType] = []
    for name, values in open_ones.items():
        acquisition = values["acquisition"]
        received, expected = values["ingest"]["received"], acquisition.get("frames")
        shape = "×".join(str(n) for n in acquisition["shape"])
        text = f"{name}  {acquisition['kind']} {shape} {np.dtype(acquisition['dtype'])}"
        if expected:
            bar = Table.grid(padding=(0, 1))
            bar.add_row(
                text,
                ProgressBar(total=expected, completed=received, width=30),
                f"{received / expected:.0%}",
            )
            rows.append(bar)
        else:
            rows.append(Text(f"{text}  {received:,} frames"))
    return rows


def channel_texts(channels: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """Return a line and its style for each channel: last value, age, state."""
    styles = {"ok": "", "silent": "yellow", "lost": "bold red", "ended": "dim"}
    lines = []
    for name, channel in channels.items():
        text = name
        if channel["value"] is not None:
            text += f" {channel['value']:.6g} {channel['unit']}".rstrip()
            text += f" ({channel['age_s']:.1f} s old)"
        if channel["state"] != "ok":
            text += f" {channel['state'].upper()}: {channel['reason']}"
        lines.append((text, styles[channel["state"]]))
    return lines


def control_text(control: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a line and its style for feedback, if there is any."""
    if not control:
        return []
    mode = control.get("mode", "not ready")
    text = f"feedback {mode.upper() if mode in LOUD else mode}"
    if control.get("parked"):
        text += f" ({control['parked']['reason']})"
    if until_ns := control.get("armed_until_ns"):
        text += f" for {max(0.0, until_ns / 1e9 - time.time()):.0f} s"
    counts = control.get("counts", {})
    text += "".join(f", {counts[key]} {key}" for key in SHOWN if counts.get(key))
    if control.get("waiting"):
        text += f"; {len(control['waiting'])} wait for a person (scopeside proposals)"
    return [(text, LOUD.get(mode, "cyan"))]


RECORDS = {
    "lagging": ("LAGGING", "bold yellow"),
    "disk_full": ("DISK FULL", "bold red"),
    "disk_failed": ("THE DISK FAILS", "bold red"),
    "lost": ("RECORDER LOST", "bold red"),
}
"""States of recording that are written large, and how."""


def record_text(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a line and its style for recording, if there is any."""
    if "bytes" not in record:
        return []
    state, style = RECORDS.get(record["state"], ("recording", "green"))
    text = (
        f"{state}: {record['bytes'] / 1e9:.3f} GB, {record['disk_mb_per_s']:.0f} MB/s"
    )
    if record["backlog_bytes"]:
        text += f", {record['backlog_bytes'] / 1e6:.0f} MB wait"
    left_s = record["full_in_s"]
    if record["state"] == "lagging" and left_s is not None:
        text += f" (memory for it is full in {left_s:.0f} s)"
    text += "".join(
        f", {n} frames not recorded ({cause})" for cause, n in record["lost"].items()
    )
    if record["free_bytes"] is not None:
        text += f", {record['free_bytes'] / 1e9:.0f} GB free"
    return [(text, style)]


def _ages(status: dict[str, Any]) -> Text:
    ages = status["latency_ms"]["frame_to_result"]
    if ages["p50"] is None:
        return Text("no result yet", "dim")
    return Text(
        f"frame to result: p50 {ages['p50']:.2f} ms  p99 {ages['p99']:.2f} ms", "dim"
    )


def _processes(status: dict[str, Any]) -> Text:
    text = Text()
    for process in status["processes"]:
        style = {"running": "green", "degraded": "bold red"}.get(
            process["state"], "yellow"
        )
        restarts = status["restarts"][process["name"]]
        again = f" (restarted {restarts}×)" if restarts else ""
        text.append(f"● {process['name']}{again}  ", style)
    return text


def _losses(account: dict[str, Any]) -> str:
    parts = [f"{n} dropped ({cause})" for cause, n in account["dropped"].items()]
    parts += [f"{n} failed ({cause})" for cause, n in account["failed"].items()]
    return "".join(f", {part}" for part in parts)


def _summary(report: dict[str, Any]) -> str:
    rates = report["rates"]
    ages = report["latency_ms"]["frame_to_result"]
    lines = [
        f"{rates['frames']:,} frames at {rates['mean_frames_per_s']:,.0f}/s "
        f"({rates['mean_gb_per_s']:.3f} GB/s), "
        f"ledger {'closed' if report['closed'] else 'NOT CLOSED'}"
    ]
    if ages["p50"] is not None:
        lines.append(
            f"frame to result: p50 {ages['p50']:.2f} ms, p99 {ages['p99']:.2f} ms"
        )
    commands = report["latency_ms"].get("frame_to_command", {})
    if commands.get("p50") is not None:
        lines.append(
            f"frame to command: p50 {commands['p50']:.2f} ms, "
            f"p99 {commands['p99']:.2f} ms"
        )
    recorded = report["record"]
    if recorded["folders"]:
        gaps = sum(recorded["gaps"].values())
        lines.append(
            f"recorded: {recorded['frames']:,} frames, {recorded['bytes'] / 1e9:.3f} GB"
            + (f", {gaps:,} frames missing" if gaps else "")
            + f", in {recorded['folders'][-1]}"
        )
    restarts = {name: n for name, n in report["restarts"].items() if n}
    if restarts:
        lines.append("restarts: " + ", ".join(f"{k} {v}" for k, v in restarts.items()))
    return "\n".join(lines)
