"""The deserver detector against peers that are no DE-Server; see also tests/peers."""

import contextlib
import socket
import threading

import pytest
from tests.doubles import MemorySink

from scopeside.detector import Detector, StopRequested
from scopeside.errors import SourceError
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.deserver.source import DeServerDetector

pytest.importorskip("deapi", reason="deapi is not installed (extra deserver)")


def detector(port, **table):
    params = DeServerDetector.Params.model_validate({"port": port, **table})
    return DeServerDetector(params, AcquisitionSettings())


@contextlib.contextmanager
def peer(answer):
    """Something that listens and gives every caller `answer`; None: says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connections = []

        def serve():
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                connections.append(connection)
                if answer is not None:
                    with contextlib.suppress(OSError):  # who checked has hung up
                        connection.sendall(answer)
                        connection.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in connections:
                connection.close()


def test_it_is_a_detector_that_does_not_start_a_camera_twice():
    source: Detector = detector(9)
    assert source.resumes is False


def test_nobody_there_is_told():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    source = detector(port)
    assert f"DE-Server at 127.0.0.1:{port} cannot be reached" in source.check()[0]
    with pytest.raises(SourceError, match="is DE-MC running"):
        source.run(MemorySink())


def test_a_peer_that_says_nothing_is_told():
    with (
        peer(None) as port,
        pytest.raises(SourceError, match=r"nothing came for 0\.2 s"),
    ):
        detector(port, timeout_s=0.2).run(MemorySink())


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 9]
)
def test_a_peer_that_is_something_else_is_told(answer):
    with peer(answer) as port, pytest.raises(SourceError, match="the link broke"):
        detector(port).run(MemorySink())


def test_a_stop_is_noticed_while_nothing_comes():
    sink = MemorySink()
    sink.note = lambda _: setattr(sink, "stopping", True)
    with peer(None) as port, pytest.raises(StopRequested):
        detector(port).run(sink)
