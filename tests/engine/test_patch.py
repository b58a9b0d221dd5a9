"""Only what has changed of a large result is sent, and it comes out whole."""

import time
from contextlib import contextmanager

import msgpack
import numpy as np
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from scopeside import patch
from scopeside.collect import publisher as publishing
from scopeside.collect.publisher import Publisher
from scopeside.errors import ProtocolError
from scopeside.publication import to_header
from scopeside.result import Result
from scopeside.subscribe import subscribe

PATIENCE_S = 20.0
SIDE = 80  # of an image that is large enough to be patched


def image(*filled, dtype=np.int64, empty=0):
    """An image of which the places `filled` stand, each with its number."""
    data = np.full((SIDE, SIDE), empty, dtype)
    mask = np.zeros((SIDE, SIDE), bool)
    data.reshape(-1)[list(filled)] = filled
    mask.reshape(-1)[list(filled)] = True
    return Result("bf", data, used=len(filled), expected=SIDE**2, mask=mask)


def same(one, other):
    np.testing.assert_array_equal(one.data, other.data)
    np.testing.assert_array_equal(one.mask, other.mask)
    assert one.used == other.used


# -- what has changed ----------------------------------------------------------------


def test_the_range_holds_all_that_differs():
    assert patch.changed(image(1, 2), image(1, 2, 5, 9)) == (5, 10)


def test_nothing_new_is_an_empty_range():
    assert patch.changed(image(3), image(3)) == (0, 0)


def test_a_place_that_is_empty_is_no_change_where_it_is_no_number():
    before = image(1, dtype=np.float64, empty=np.nan)
    after = image(1, 2, dtype=np.float64, empty=np.nan)
    assert patch.changed(before, after) == (2, 3)


def test_a_value_of_zero_shows_by_its_mask():
    before, after = image(7), image(7)
    after.mask.reshape(-1)[3] = True
    assert patch.changed(before, after) == (3, 4)


WHOLE = Result("bf", np.zeros((SIDE, SIDE)))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Result("bf", 1.0), Result("bf", 2.0)),
        (Result("bf", np.zeros(3)), Result("bf", np.ones(3))),
        (WHOLE, Result("bf", np.zeros((SIDE, SIDE + 1)))),
        (WHOLE, Result("bf", np.zeros((SIDE, SIDE), np.float32))),
        (WHOLE, Result("bf", np.ones((SIDE, SIDE)))),
        (WHOLE, image(1, dtype=np.float64)),
    ],
)
def test_what_is_small_or_other_or_new_in_most_places_is_sent_whole(before, after):
    assert patch.changed(before, after) is None


@given(st.lists(st.integers(0, SIDE**2 // 3), min_size=1), st.sets(st.integers(0, 99)))
def test_a_patched_result_is_the_result(first, more):
    before, after = image(*first), image(*first, *more)
    where = patch.changed(before, after)
    header, _ = to_header(after)
    held = patch.Whole("run", 0, 0, before)
    found = held.patched({**header, "patch": where}, patch.cut(after, where))
    same(found.result, after)


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        ({"patch": [0, 2]}, [bytes(8), b"\0"]),
        ({"patch": [0, 1]}, [bytes(7), b"\0"]),
        ({"patch": [0, 1]}, [bytes(8)]),
        ({"patch": [SIDE**2, SIDE**2 + 1]}, [bytes(8), b"\0"]),
        ({"patch": "all"}, [bytes(8), b"\0"]),
        ({}, [bytes(8), b"\0"]),
    ],
)
def test_what_is_no_patch_is_refused(header, payload):
    own, _ = to_header(image(1))
    with pytest.raises(ProtocolError, match="no patch"):
        patch.Whole("run", 0, 0, image(1)).patched({**own, **header}, payload)


# -- on the wire ---------------------------------------------------------------------


@contextmanager
def publisher_and(topics):
    """A publisher, and a bare SUB socket that has subscribed to `topics`."""
    with zmq.Context() as context:
        publisher = Publisher(context, ["tcp://127.0.0.1:*"], "collector#1")
        bare = context.socket(zmq.SUB)
        bare.linger = 0
        for topic in topics:
            bare.subscribe(topic)
        bare.connect(publisher.socket.last_endpoint)
        hear(publisher, len(topics))
        yield publisher, bare
        bare.close()
        publisher.socket.close(linger=0)


def hear(publisher, n):
    heard, deadline = 0, time.monotonic() + PATIENCE_S
    while heard < n:
        assert time.monotonic() < deadline, "nobody subscribed"
        publisher.socket.poll(100)
        heard += len(publisher.new_subscriptions())


def publish(publisher, *results, final=False):
    for result in results:
        publisher.publish(
            result,
            acquisition="a1",
            chain="stem",
            processor="virtual",
            t_frame_ns=17,
            final=final,
        )


def received(socket):
    topic, header, *_ = socket.recv_multipart()
    return topic, msgpack.unpackb(header)


def test_who_asks_for_patches_gets_them_between_whole_results(monkeypatch):
    monkeypatch.setattr(publishing, "WHOLE_EVERY_S", 3600.0)
    with publisher_and([b"", b"~"]) as (publisher, bare):
        publish(publisher, image(1), image(1, 2), image(1, 2, 3))
        publish(publisher, image(1, 2, 3), final=True)
        found = [received(bare) for _ in range(4)]
    topics = [topic for topic, _ in found]
    assert topics == [
        b"a1/virtual/bf",
        b"~a1/virtual/bf",
        b"~a1/virtual/bf",
        b"a1/virtual/bf",
    ]
    assert [header["seq"] for _, header in found] == [0, 0, 0, 1]
    assert [header.get("number") for _, header in found] == [None, 1, 2, None]
    assert found[2][1]["patch"] == [3, 4]


def test_who_does_not_ask_for_patches_gets_whole_results():
    with publisher_and([b"a1/"]) as (publisher, bare):
        publish(publisher, image(1), image(1, 2))
        assert [received(bare)[1]["seq"] for _ in range(2)] == [0, 1]


def test_after_a_time_a_whole_result_comes_again(monkeypatch):
    monkeypatch.setattr(publishing, "WHOLE_EVERY_S", 0.0)
    with publisher_and([b"~", b"a1/"]) as (publisher, bare):
        publish(publisher, image(1), image(1, 2))
        assert [received(bare)[1]["seq"] for _ in range(2)] == [0, 1]


@contextmanager
def subscription(monkeypatch):
    monkeypatch.setattr(publishing, "WHOLE_EVERY_S", 3600.0)
    with zmq.Context() as context:
        publisher = Publisher(context, ["tcp://127.0.0.1:*"], "collector#1")
        endpoint = publisher.socket.last_endpoint.decode()
        with subscribe(endpoint, timeout=PATIENCE_S) as results:
            hear(publisher, 2)
            yield publisher, results
        publisher.socket.close(linger=0)


def test_a_subscriber_sees_whole_results_only(monkeypatch):
    with subscription(monkeypatch) as (publisher, results):
        sent = [image(1), image(1, 2), image(1, 2, 3)]
        publish(publisher, *sent)
        found = [next(results) for _ in sent]
    for one, other in zip(found, sent, strict=True):
        same(one, other)
    assert (results.heard, results.missed) == (3, 0)


def test_results_that_were_given_out_stay_as_they_are(monkeypatch):
    with subscription(monkeypatch) as (publisher, results):
        publish(publisher, image(1), image(1, 2), image(1, 2, 3))
        _, second, _ = (next(results) for _ in range(3))
        same(second, image(1, 2))


def test_after_a_patch_that_was_missed_the_next_whole_result_comes(monkeypatch):
    with subscription(monkeypatch) as (publisher, results):
        publish(publisher, image(1))
        next(results)
        publisher._sent["stem", b"a1/virtual/bf"].patches += 1  # one is lost
        publish(publisher, image(1, 2), image(1, 2, 3))
        publish(publisher, image(1, 2, 3, 4), final=True)
        same(next(results), image(1, 2, 3, 4))
    assert results.missed == 2
