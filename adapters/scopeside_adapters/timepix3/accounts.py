"""Where hits went that are no events, in the operator's words."""

from __future__ import annotations

from scopeside.detector import Sink
from scopeside_adapters.timepix3 import tables as k
from scopeside_adapters.timepix3.tables import Array

_BASE = k.COUNTS.start
_HITS = {
    k.FLYBACK: "hits in the fly-back, between two lines",
    k.LATE: "hits came after their line was handed on; a larger reorder_ms waits "
    "longer",
    k.OUTSIDE: "hits outside of every line: before the first, in a pause of the scan, "
    "or in a line that was missed",
    k.UNKNOWN_CHIP: "hits of chips that the layout does not have",
    k.NO_TIME: "hits without a time: the detector counts events instead; set it to "
    "ToA and ToT",
    k.OVERFLOW: "hits found no room",
    k.MERGED: "hits are part of a cluster whose event is another",
    k.REPEATED: "hits came twice, in a repeated packet",
}
_OTHER = {
    k.GARBAGE: ("garbage", "words were no TPX3, between two chunks"),
    k.UNKNOWN: ("unknown_word", "words of a kind that is not known"),
    k.LOST_PACKETS: ("lost_packets", "packets were lost between detector and here"),
    k.BAD_FINE: ("bad_fine_time", "edges had fine time 0, which counts as 1"),
    k.DUPLICATE: ("repeated_edge", "packets or edges came twice"),
}


def tell(sink: Sink, counts: Array, cut: int = 0) -> None:
    """Reject what was no event, by cause, and note the sum.

    Parameters
    ----------
    counts : what the kernels counted, as `tables.COUNTS` cuts it out
    cut : counts that were delivered no more: a full pixel or slot
    """
    for number, words in _HITS.items():
        if n := int(counts[number - _BASE]):
            sink.reject(n, k.CAUSES[number], f"{n} {words}")
    for number, (cause, words) in _OTHER.items():
        if n := int(counts[number - _BASE]):
            sink.reject(n, cause, f"{n} {words}")
    if cut:
        sink.reject(
            cut, "overflow", f"{cut} counts were cut off: a pixel or a slot was full"
        )
    if hits := int(counts[k.HITS - _BASE]):
        parts = [
            f"{int(counts[number - _BASE])} {cause}"
            for number, cause in k.CAUSES.items()
            if counts[number - _BASE]
        ]
        events = f"{int(counts[k.EVENTS - _BASE])} events"
        sink.note(f"{hits} hits: {', '.join([events, *parts])}")
