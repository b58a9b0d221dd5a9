"""The frame wire: what it says, what it refuses, and that it survives anything."""

import contextlib
from pathlib import Path

import msgpack
import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from tests import hostile
from tests.hostile import BATCHES, STARTS, acquisition, batch, end, frames, start

from scopeside.acquisition import Scan
from scopeside.errors import ProtocolError
from scopeside.wire import MAGIC, VERSION, Kind, encode
from scopeside_adapters.zmq.events import (
    FramesReceived,
    GapDeclared,
    SequenceBroken,
    SeriesEnded,
    SeriesResumed,
    SeriesStarted,
)
from scopeside_adapters.zmq.fields import RefusedError
from scopeside_adapters.zmq.protocol import MAX_CAUSES, Parser

WIRE_DOC = Path(__file__).parents[3] / "docs" / "wire.md"


def begun(**more):
    parser = Parser()
    parser.feed(start(**more))
    return parser


def numbers(part):
    return np.frombuffer(part, "<i8").tolist()


def test_a_start_gives_the_whole_acquisition():
    about = acquisition(
        kind="scan4d",
        frames=6,
        scan=Scan((2, 3), "snake"),
        calibration={"beam_energy_eV": 3e5, "centre_px": [1.5, 2.5]},
        metadata={"operator": "Ångström"},
    )
    parts = encode(Kind.START, {"acquisition": about.to_dict(), "epoch": 4})
    assert Parser().feed(parts) == [SeriesStarted(about, 4)]


def test_a_batch_is_not_copied():
    parts = batch(7)
    (event,) = begun().feed(parts)
    assert (event.first, event.n, event.index, event.t_ns) == (7, 3, None, None)
    assert event.pixels.obj is parts[2]


def test_indices_and_time_stamps_may_come_as_parts():
    index, t_ns = np.array([[9, 2, 5], [10, 20, 30]], "<i8")
    parts = batch(0, 3, index.tobytes(), t_ns.tobytes(), index=True, t_ns=True)
    (event,) = begun().feed(parts)
    assert numbers(event.index) == [9, 2, 5]
    assert numbers(event.t_ns) == [10, 20, 30]


def test_time_stamps_may_come_without_indices():
    (event,) = begun().feed(batch(0, 3, np.arange(3).tobytes(), t_ns=True))
    assert event.index is None
    assert numbers(event.t_ns) == [0, 1, 2]


def test_a_time_and_a_step_may_stand_for_all():
    (event,) = begun().feed(batch(t_ns=1000, dt_ns=5))
    assert (event.t_ns, event.dt_ns) == (1000, 5)


@pytest.mark.parametrize("said", ["{:016x}", "{:016X}", int])
def test_a_digest_is_a_number_or_sixteen_digits(said):
    digest = xxhash.xxh3_64_intdigest(frames().tobytes())
    said = said(digest) if said is int else said.format(digest)
    assert len(begun().feed(batch(digest=said))) == 1


def test_one_byte_has_no_order():
    parser = begun(dtype="|u1")
    bytes_ = frames().astype("u1").tobytes()
    parts = [*batch(dtype="<u1")[:2], bytes_]
    assert isinstance(parser.feed(parts)[0], FramesReceived)


def test_an_end_gives_total_state_and_reason():
    said = end(9, state="stopped", reason="beam lost")
    assert begun().feed(said) == [SeriesEnded(9, "stopped", "beam lost")]


def test_a_gap_names_frames_and_cause():
    said = encode(Kind.GAP, {"acq": "a", "first": 5, "last": 7, "cause": "shutter"})
    assert begun().feed(said) == [GapDeclared(5, 7, "shutter")]


def test_gaps_have_few_causes():
    parser = begun()
    head = {"acq": "a", "first": 0, "last": 0}
    told = [
        parser.feed(encode(Kind.GAP, {**head, "cause": f"cause_{k}"}))[0].cause
        for k in range(MAX_CAUSES + 2)
    ]
    assert told[MAX_CAUSES - 1 :] == [f"cause_{MAX_CAUSES - 1}", "other", "other"]


def test_unknown_fields_are_left_alone():
    assert len(begun().feed(batch(weather="fine"))) == 1


@pytest.mark.parametrize("name", BATCHES)
def test_what_cannot_be_is_refused_and_the_next_batch_is_taken(name):
    parts, cause = BATCHES[name]
    parser = begun()
    with pytest.raises(ProtocolError) as refused:
        parser.feed(parts)
    assert refused.value.cause == cause
    assert isinstance(parser.feed(batch())[0], FramesReceived)


@pytest.mark.parametrize("name", STARTS)
def test_what_is_no_acquisition_is_refused_and_the_open_one_goes_on(name):
    parts, cause = STARTS[name]
    parser = begun(id="open")
    with pytest.raises(RefusedError) as refused:
        parser.feed(parts)
    assert refused.value.cause == cause
    assert isinstance(parser.feed(batch(acq="open"))[0], FramesReceived)


def test_a_refusal_says_how_many_frames_go_with_it():
    with pytest.raises(RefusedError) as refused:
        begun().feed(batch(codec="zip"))
    assert refused.value.frames == 3


def test_an_unsupported_codec_is_answered_with_those_that_are():
    with pytest.raises(RefusedError, match="one of raw, not 'bslz4'"):
        begun().feed(batch(codec="bslz4"))


def test_nothing_is_taken_before_a_start():
    with pytest.raises(RefusedError, match="no START came for acquisition 'a'"):
        Parser().feed(batch())


def test_nothing_is_taken_after_the_end():
    parser = begun()
    parser.feed(end(3))
    with pytest.raises(RefusedError) as refused:
        parser.feed(batch())
    assert refused.value.cause == "after_end"


def test_an_id_may_be_used_again_after_the_end():
    parser = begun()
    parser.feed(batch(seq=0))
    parser.feed(end(3))
    assert parser.feed(start()) == [SeriesStarted(acquisition(), 0)]
    assert len(parser.feed(batch(seq=0))) == 1


def test_another_start_ends_what_is_open():
    parser = begun()
    assert parser.feed(start("b"))[0].acquisition.id == "b"
    with pytest.raises(RefusedError, match="the producer began another"):
        parser.feed(batch())


def test_a_restarted_producer_goes_on_in_a_higher_epoch():
    parser = begun()
    parser.feed(batch(seq=0))
    assert parser.feed(start(epoch=1)) == [SeriesResumed(acquisition(), 1)]
    assert parser.feed(batch(3, seq=0, epoch=1))[0].first == 3
    with pytest.raises(RefusedError) as refused:
        parser.feed(batch(6, seq=1))
    assert refused.value.cause == "stale_epoch"
    with pytest.raises(RefusedError) as refused:
        parser.feed(start(epoch=0))
    assert refused.value.cause == "stale_epoch"


def test_a_restarted_producer_cannot_change_the_frames():
    with pytest.raises(RefusedError, match="is open with other frames"):
        begun().feed(start(epoch=1, shape=[5, 5]))


def test_a_jump_in_the_batches_is_told_and_the_frames_are_taken():
    parser = begun()
    parser.feed(batch(0, seq=0))
    broken, taken = parser.feed(batch(9, seq=3))
    assert broken == SequenceBroken(
        "missing_batches", "batch 3 came, 2 batch(es) before it have not come"
    )
    assert taken.first == 9


def test_a_late_batch_is_told_and_the_frames_are_taken():
    parser = begun()
    parser.feed(batch(3, seq=1))
    broken, taken = parser.feed(batch(0, seq=0))
    assert broken.cause == "out_of_order"
    assert taken.first == 0


def test_a_repeated_batch_is_refused():
    parser = begun()
    parser.feed(batch(0, seq=0))
    with pytest.raises(RefusedError) as refused:
        parser.feed(batch(0, seq=0))
    assert (refused.value.cause, refused.value.frames) == ("duplicate", 3)


def test_a_refused_batch_may_come_again():
    parser = begun()
    with pytest.raises(RefusedError):
        parser.feed(batch(0, seq=0, digest=1))
    assert len(parser.feed(batch(0, seq=0))) == 1


def test_without_numbers_batches_are_known_by_their_frames_alone():
    parser = begun()
    assert len(parser.feed(batch(9))) == len(parser.feed(batch(0))) == 1


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=12,
)
kinds = st.integers(0, 255).map(lambda kind: MAGIC + bytes((VERSION, kind)))
known = st.sampled_from(
    [
        "acq",
        "epoch",
        "seq",
        "first",
        "index",
        "n",
        "shape",
        "dtype",
        "codec",
        "t_ns",
        "dt_ns",
        "digest",
        "acquisition",
        "total",
        "state",
        "reason",
        "last",
        "cause",
    ]
)
headers = st.dictionaries(known, values, max_size=8).map(msgpack.packb)


@given(
    st.lists(st.binary(max_size=40), max_size=5)
    | st.tuples(kinds, headers | st.binary(max_size=60), st.binary(max_size=40))
)
def test_garbage_raises_protocol_errors_and_nothing_else(parts):
    parser = begun()
    with contextlib.suppress(ProtocolError):
        parser.feed(list(parts))


@given(st.sampled_from(["acquisition", *acquisition().to_dict(), "scan"]), values)
def test_any_value_anywhere_in_a_start_is_taken_or_refused(name, value):
    about = {**acquisition().to_dict(), "scan": {"shape": [2, 3]}, name: value}
    with contextlib.suppress(ProtocolError):
        Parser().feed([b"SF\1\1", msgpack.packb({"acquisition": about})])


@given(known, values)
def test_any_value_anywhere_in_a_batch_is_taken_or_refused(name, value):
    envelope, header, pixels = batch(seq=0)
    spoilt = msgpack.packb({**msgpack.unpackb(header), name: value})
    with contextlib.suppress(ProtocolError):
        begun().feed([envelope, spoilt, pixels])


@given(st.sampled_from([start(), batch(digest=1, seq=2), end(3)]), st.data())
def test_a_message_cut_anywhere_is_refused_or_whole(parts, data):
    part = data.draw(st.integers(0, len(parts) - 1))
    length = data.draw(st.integers(0, len(parts[part]) - 1))
    with pytest.raises(ProtocolError):
        begun(id="b").feed([*parts[:part], parts[part][:length]])


@given(
    st.integers(1, 5),
    st.integers(0, 1 << 40),
    st.sampled_from(["|u1", "<u2", "<i4", "<f4", "<f8", "<u8"]),
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
)
def test_what_is_sent_is_what_comes(n, first, dtype, shape):
    sent = np.random.default_rng(n).integers(0, 99, (n, *shape)).astype(dtype)
    parser = Parser()
    parser.feed(start(shape=list(shape), dtype=dtype))
    parts = hostile.encode_batch({"acq": "a"}, sent, first, digest=True)
    (event,) = parser.feed(parts)
    got = np.frombuffer(event.pixels, dtype).reshape(n, *shape)
    np.testing.assert_array_equal(got, sent)
    assert event.first == first


def worked_example():
    """The messages of docs/wire.md: a START and a BATCH of two frames of 2 × 3."""
    about = {"id": "demo", "shape": [2, 3], "dtype": "<u2", "frames": 2}
    said = {"acq": "demo", "seq": 0, "first": 0, "n": 2, "shape": [2, 3]}
    pixels = np.arange(12, dtype="<u2").tobytes()
    return [
        *encode(Kind.START, {"acquisition": about}),
        *encode(Kind.BATCH, {**said, "dtype": "<u2"}, [pixels]),
    ]


def test_the_worked_example_of_the_documentation_is_what_is_sent():
    section = WIRE_DOC.read_text().split("## Worked example")[1].split("\n## ")[0]
    blocks = section.split("```")[1::2]
    in_doc = [bytes.fromhex(block.removeprefix("hex")) for block in blocks]
    assert in_doc == worked_example()


def test_the_worked_example_can_be_taken():
    a, b, *message = worked_example()
    parser = Parser()
    parser.feed([a, b])
    (event,) = parser.feed(message)
    assert np.frombuffer(event.pixels, "<u2").tolist() == list(range(12))
