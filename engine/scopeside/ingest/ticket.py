"""What workers are told of a batch in the slab."""

from __future__ import annotations

from scopeside.acquisition import Acquisition
from scopeside.edge import Ticket
from scopeside.ingest.news import Filled
from scopeside.wire import Kind, encode


def ticket_of(
    event: Filled,
    acquisition: Acquisition,
    *,
    seq: int,
    epoch: int,
    change: int,
    users: int,
) -> Ticket:
    """Return the ticket of a batch for so many edges.

    `change`: number of the last change of parameters before it.
    """
    layout = event.layout
    at = event.slot * layout.stride
    header = {
        "acq": event.acquisition,
        "epoch": epoch,
        "seq": seq,
        "change": change,
        "first": event.runs[0][0],
        "n": event.n,
        "shape": acquisition.frame_shape,
        "dtype": acquisition.dtype.str,
        "codec": "raw",
        "events": event.events,
        "encoding": acquisition.encoding,
        "runs": event.runs,
        "t_ns": event.timestamp_ns,
        "received_ns": event.received_ns,
        "slots": layout.slots,
        "slab": [at, at + 8 * layout.capacity, at + layout.pixels_at],
    }
    return Ticket(
        seq,
        event.acquisition,
        event.slot,
        event.n,
        event.runs,
        encode(Kind.BATCH, header),
        users=users,
        change=change,
    )
