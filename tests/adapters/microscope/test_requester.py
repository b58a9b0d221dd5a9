"""A request is answered, or its socket is thrown away; nothing is sent twice."""

import pytest
from tests.adapters.microscope.peer import Peer

from scopeside.errors import InstrumentError
from scopeside_adapters.microscope.requester import Requester


@pytest.fixture
def peer():
    with Peer(lambda request: request.upper()) as peer:
        yield peer


@pytest.fixture
def requester(peer):
    requester = Requester(peer.endpoint, "the peer", largest_answer=1000)
    requester.open()
    yield requester
    requester.close()


def test_an_answer_comes_back(requester):
    assert requester.ask(b"a", 5) == b"A"
    assert requester.ask(b"b", 5) == b"B"


def test_what_is_not_open_is_not_asked(peer):
    requester = Requester(peer.endpoint, "the peer", largest_answer=1000)
    with pytest.raises(InstrumentError, match="the peer is not connected"):
        requester.ask(b"a", 5)
    requester.close()


def test_a_silent_peer_is_told_and_the_next_request_is_a_new_one(peer, requester):
    peer.reply = lambda request: None
    with pytest.raises(InstrumentError, match=r"did not answer within 0\.1 s"):
        requester.ask(b"a", 0.1)
    peer.reply = lambda request: request.upper()
    assert requester.ask(b"b", 5) == b"B"
    assert peer.requests == [b"a", b"b"]


def test_a_late_answer_is_not_taken_for_that_of_the_next_request(peer, requester):
    first = []
    peer.reply = first.append
    with pytest.raises(InstrumentError, match="is not known"):
        requester.ask(b"a", 0.1)
    peer.reply = lambda request: b"late" if request == b"a" else b"in time"
    assert requester.ask(b"b", 5) == b"in time"


def test_what_nobody_is_there_for_is_never_delivered():
    with Peer(lambda request: request) as peer:
        endpoint = peer.endpoint
    requester = Requester(endpoint, "the peer", largest_answer=1000)
    requester.open()
    try:
        with pytest.raises(
            InstrumentError, match=r"cannot be reached at .*nothing was"
        ):
            requester.ask(b"a", 0.1)
    finally:
        requester.close()


def test_an_answer_of_several_parts_is_refused(peer, requester):
    peer.reply = lambda request: [b"a", b"b"]
    with pytest.raises(InstrumentError, match="answered with 2 parts; expected one"):
        requester.ask(b"a", 5)
    peer.reply = lambda request: request
    assert requester.ask(b"b", 5) == b"b"


def test_an_answer_that_is_too_large_is_not_taken_in(peer, requester):
    peer.reply = lambda request: bytes(5000)
    with pytest.raises(InstrumentError, match="did not answer"):
        requester.ask(b"a", 0.3)


def test_an_address_that_is_none_is_told():
    requester = Requester("tcp://127.0.0.1:port", "the peer", largest_answer=1000)
    requester.open()
    try:
        with pytest.raises(InstrumentError, match="the peer: "):
            requester.ask(b"a", 0.1)
    finally:
        requester.close()
