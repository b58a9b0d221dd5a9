"""Messages between programs: frame wire, results, control, door, plans, samples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import msgpack
import numpy as np
from tests import hostile
from tests.engine.audit_records import proposal
from tests.fuzz.mutate import join, split
from tests.fuzz.target import Target

from scopeside import state, wire
from scopeside.acquisition import Acquisition
from scopeside.bluesky import plan_wire, serial
from scopeside.control.actuator import Call
from scopeside.control.permission import admitted
from scopeside.control.proposal import Proposal
from scopeside.dashboard.said import heard
from scopeside.errors import ProtocolError, RefusedError, ShapeError
from scopeside.patch import Whole, cut
from scopeside.publication import from_header, to_header
from scopeside.result import Result
from scopeside.strangers import from_json, from_msgpack
from scopeside.subscribe import _header
from scopeside.wire import Kind, encode
from scopeside_adapters.channels import wire as samples_wire
from scopeside_adapters.deserver.protocol import frames_of, layout_of
from scopeside_adapters.microscope import wire as control_wire
from scopeside_adapters.microscope.nion_server import Server
from scopeside_adapters.zmq.events import SeriesStarted
from scopeside_adapters.zmq.protocol import Parser

_EVERYTHING = frozenset({"propose", "observe", "configure", "arm", "hold"})


# -- frame wire -----------------------------------------------------------------------


def frame_wire(data: bytes) -> None:
    """Feed messages after a START; an acquisition that is taken can be sent on."""
    parser = Parser()
    parser.feed(hostile.start())
    for message in _messages(split(data)):
        try:
            for event in parser.feed(message):
                if isinstance(event, SeriesStarted):
                    _can_travel(event.acquisition)
        except ProtocolError:
            continue


def _messages(parts: list[bytes]) -> list[list[bytes]]:
    """Cut parts into messages where an envelope begins one."""
    begins = [k for k, part in enumerate(parts) if k and part[:2] == b"SF"]
    return [parts[a:b] for a, b in pairwise([0, *begins, len(parts)])]


def _can_travel(acquisition: Acquisition) -> None:
    """What was accepted is of a size that can be worked on, and can be written."""
    msgpack.packb(acquisition.to_dict())
    if acquisition.scan is not None:
        assert np.prod(acquisition.scan.result_shape, dtype=object) <= 1 << 28


def _frame_wire() -> list[bytes]:
    scan = {"shape": [2, 2], "pattern": "positions", "visited": "AAAAAAEAAAA="}
    return [
        join(hostile.batch()),
        join([*hostile.batch(), *hostile.batch(3), *hostile.end(6)]),
        join([*hostile.end(0), *hostile.start("b", scan=scan)]),
        join(hostile.start("c", scan={"shape": [4, 5], "scans": 2, "offset": -3})),
        join(encode(Kind.GAP, {"acq": "a", "first": 5, "last": 6, "cause": "lost"})),
    ]


def own_messages(data: bytes) -> None:
    """Take a message apart as processes of one engine do."""
    wire.decode_own(split(data))


def acquisition(data: bytes) -> None:
    """Read an acquisition as it stands in a manifest, and make it plain again."""
    found: Any = None
    with suppress(ValueError):
        found = from_json(data)
    Acquisition.from_dict(Acquisition.from_dict(found).to_dict())


def _acquisitions() -> list[bytes]:
    scans = [None, {"shape": [4, 5], "flyback": 2}, {"shape": [2, 3], "scans": 2}]
    plain = hostile.acquisition().to_dict()
    return [json.dumps({**plain, "scan": scan}).encode() for scan in scans]


# -- results --------------------------------------------------------------------------

_IMAGE = Result(
    "bf", np.arange(12.0).reshape(3, 4), mask=np.eye(3, 4, dtype=bool), frame=5
)


def results(data: bytes) -> None:
    """Read a result, and a patch of one, as a subscriber does."""
    parts = split(data)
    header = _header(parts)
    from_header(header, parts[2:])


def patches(data: bytes) -> None:
    """Put a patch onto a result."""
    parts = split(data)
    Whole("r", 1, 0, _IMAGE).patched(_header(parts), parts[2:])


def _results() -> list[bytes]:
    found = [_IMAGE, Result("n", 3.5, "scalar"), Result("e", {"a": [1]}, "event")]
    return [
        join([b"a/p/n", msgpack.packb({"v": 1, **header}), *payload])
        for header, payload in map(to_header, found)
    ]


def _patches() -> list[bytes]:
    header = {"v": 1, **to_header(_IMAGE)[0], "patch": [2, 7]}
    return [join([b"~a/p/n", msgpack.packb(header), *cut(_IMAGE, (2, 7))])]


# -- control --------------------------------------------------------------------------


def control_answers(data: bytes) -> None:
    """Read what a microscope answers, as the answer to each question."""
    for parse in (
        control_wire.parse_hello,
        control_wire.parse_values,
        control_wire.parse_done,
    ):
        try:
            parse(data, "a1")
        except ProtocolError:
            continue


def _control_answers() -> list[bytes]:
    head = {"v": 1, "id": "a1", "ok": True, "reason": "", "session": "7f"}
    return [
        msgpack.packb({**head, "name": "EM", "actions": ["blank"], "now_ns": 1}),
        msgpack.packb({**head, "values": {"x_m": 0.5, "blanked": False, "mode": "T"}}),
        msgpack.packb({**head, "answer": {"x_m": 1e-9}}),
        msgpack.packb({**head, "ok": False, "reason": "no"}),
    ]


class _Swift:
    """Has every control, and takes everything."""

    def TryGetVal(self, _: str) -> tuple[bool, float]:
        return True, 0.5

    def SetVal(self, *_: Any) -> bool:
        return True


def control_requests(data: bytes) -> None:
    """Answer a request, whatever it is."""
    server = Server(_Swift())
    server._session = "7f"
    control_wire._map(server.answer(data))


def _control_requests() -> list[bytes]:
    far = 1 << 62
    call = Call("set_beam_shift", {"x_m": 0.5, "y_m": 0.5})
    return [
        control_wire.hello("a1"),
        control_wire.read("a2"),
        control_wire.command("a3", call, session="7f", deadline_ns=far),
    ]


def proposals(data: bytes) -> None:
    """Read a proposal that a stranger sent."""
    said = None
    with suppress(ValueError):
        said = from_msgpack(data)
    Proposal.from_dict(said)


def _proposals() -> list[bytes]:
    return [msgpack.packb(proposal("a/1")["decision"]["proposal"])]


def door(data: bytes) -> None:
    """Let a message in as the door does, for a key with every role."""
    message = wire.decode(split(data))
    admitted(message, "anna", _EVERYTHING)


def _door() -> list[bytes]:
    asked = proposal("door:anna/1", rule="door:anna")["decision"]["proposal"]
    asks = [{"ask": "arm", "seconds": 60.0, "id": "1"}, {"ask": "hold", "id": "2"}]
    return [
        join(encode(Kind.STATUS, {"id": "9"})),
        join(encode(Kind.PROPOSAL, {"proposal": asked})),
        *(join(encode(Kind.ASK, one)) for one in asks),
    ]


def plans(data: bytes) -> None:
    """Read what is said between the guard's adapter and a RunEngine."""
    for parse in (plan_wire.request, plan_wire.reply):
        try:
            parse(data)
        except ProtocolError:
            continue


def _plans() -> list[bytes]:
    return [
        plan_wire.Request("1", "hello", "me", ("x", "y"), "b").pack(),
        plan_wire.Request(
            "2", "set", "me", action="go", values={"x": 0.5}, within_s=1.0
        ).pack(),
        plan_wire.Request("3", "blank", "me", on=True, within_s=2.0).pack(),
        plan_wire.Reply("1", True, "", {"x": 0.5}).pack(),
    ]


# -- others ---------------------------------------------------------------------------


def documents(data: bytes) -> None:
    """Read a document of bluesky's."""
    serial.loads(data)


def states(data: bytes) -> None:
    """Read a snapshot of a processor."""
    state.unpack(data)


def _states() -> list[bytes]:
    return [state.pack({"a": np.arange(6).reshape(2, 3), "n": 3, "b": [0.5]})]


def samples(data: bytes) -> None:
    """Read a message with samples."""
    samples_wire.parse(split(data))


def _samples() -> list[bytes]:
    one = {"name": "t", "t_ns": 1_767_225_600_000_000_000, "value": 21.5, "unit": "K"}
    many = {"name": "t", "t_ns": [1, 2], "value": [0.5, 1]}
    text = b'{"name": "t", "t_ns": 5, "value": 2.5}'
    packed = [msgpack.packb(one), msgpack.packb(many), text]
    return [join([b"topic", part]) for part in packed] + [join([packed[0]])]


def page_socket(data: bytes) -> None:
    """Read what a tab of the page says."""
    heard(data)


def _page_socket() -> list[bytes]:
    images = {"i1": {"key": "stem.virtual.bf", "hz": 10}}
    want = {"want": {"images": images, "topics": ["status"]}}
    return [json.dumps(want).encode(), b'{"painted": ["i1", 7]}']


def movie_buffers(data: bytes) -> None:
    """Read what DE-Server describes and sends; the description comes first."""
    head, *rest = split(data) or [b""]
    said = np.frombuffer(head[: len(head) // 8 * 8], "<i8").tolist()
    if len(said) >= 6:
        layout = layout_of(said[0], said[1], said[2], (said[3], said[4]))
        frames_of(rest[0] if rest else b"", said[5], layout)


def _movie_buffers() -> list[bytes]:
    head = np.array([64, 16, 5, 3, 4, 2], "<i8").tobytes()
    return [join([head, bytes(64 + 2 * 24)])]


def targets() -> Sequence[Target]:
    """Return them."""
    wire_errors = (ProtocolError,)
    return (
        Target("frame_wire", frame_wire, _frame_wire, wire_errors, parts=True),
        Target("own_messages", own_messages, _frame_wire, wire_errors, parts=True),
        Target("acquisition", acquisition, _acquisitions, (ShapeError,)),
        Target("results", results, _results, wire_errors, parts=True),
        Target("patches", patches, _patches, wire_errors, parts=True),
        Target("control_answers", control_answers, _control_answers, ()),
        Target("control_requests", control_requests, _control_requests, ()),
        Target("proposals", proposals, _proposals, (RefusedError,)),
        Target("door", door, _door, (ProtocolError, RefusedError), parts=True),
        Target("plans", plans, _plans, ()),
        Target("documents", documents, lambda: [serial.dumps({"a": np.arange(3)})],
               (ValueError,)),
        Target("states", states, _states, (ValueError,)),
        Target("samples", samples, _samples, wire_errors, parts=True),
        Target("page_socket", page_socket, _page_socket, (ValueError,)),
        Target("movie_buffers", movie_buffers, _movie_buffers, wire_errors, parts=True),
    )  # fmt: skip
