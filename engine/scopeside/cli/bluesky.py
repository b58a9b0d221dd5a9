"""``scopeside bluesky``: results as bluesky's documents."""

from __future__ import annotations

from typing import Annotated

import typer

bluesky_app = typer.Typer(
    help="Live results as bluesky's documents.", no_args_is_help=True
)
_TIMEOUT_S = 0.5


@bluesky_app.callback()
def _bluesky() -> None:
    pass


@bluesky_app.command(name="publish")
def publish_(
    to: Annotated[
        str, typer.Argument(help="Where a RemoteDispatcher is to connect.")
    ] = "tcp://127.0.0.1:5568",
    engine: Annotated[
        str | None,
        typer.Option(
            help="Where results are published; by default the engine that runs here.",
            show_default=False,
        ),
    ] = None,
    proxy: Annotated[
        bool, typer.Option("--proxy", help="Connect to the front of a 0MQ proxy.")
    ] = False,
    prefix: Annotated[str, typer.Option(help="Of every message.")] = "",
    topic: Annotated[
        str, typer.Option(help="Only topics that begin so: acquisition/processor/name.")
    ] = "",
) -> None:
    """Publish live results as bluesky's documents over 0MQ, until the engine ends."""
    from scopeside.bluesky.publish import DocumentSocket, publish
    from scopeside.subscribe import subscribe

    with (
        subscribe(engine, topic, timeout=_TIMEOUT_S) as subscription,
        DocumentSocket(to, proxy=proxy, prefix=prefix) as out,
    ):
        print(f"documents are at {out.endpoint}", flush=True)
        try:
            sent, left_out = publish(subscription, out)
        except KeyboardInterrupt:
            print("stopped publishing")
            return
    print(f"{sent} documents; {left_out} arrays were too large for one")
