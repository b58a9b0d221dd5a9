"""The HTTP client that detectors share, against servers that behave badly."""

import gzip
import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from scopeside.errors import SourceError
from scopeside_adapters import rest
from scopeside_adapters.rest import RestApi, RestError

NAME = "camera at 127.0.0.1"


@contextmanager
def answering(status=200, body=b"", headers=(), asked=None):
    """A server that gives one answer to everything, and notes what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if asked is not None:
                asked.append((self.command, self.path, sent))
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = answer

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    api = RestApi(f"http://127.0.0.1:{server.server_address[1]}", NAME, 5.0)
    try:
        yield api
    finally:
        api.close()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def listening(say=None):
    """A socket that takes a request and says `say`, or nothing at all.

    It hears the request first: closed on unread bytes, a connection is reset, and that
    is another fault than an answer that ends too early.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1 << 16)
                if say is not None:
                    connection.sendall(say)
                    return
                over.wait(10)

        over = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        api = RestApi(f"http://127.0.0.1:{listener.getsockname()[1]}", NAME, 0.2)
        yield api
        over.set()
        api.close()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_json_comes_back_as_a_value():
    with answering(body=b'{"value": [1, 2.5, null]}') as api:
        assert api.get("/x") == {"value": [1, 2.5, None]}


def test_text_that_is_no_json_comes_back_as_text():
    with answering(body=b" ready\n") as api:
        assert api.get("/x") == "ready"


def test_a_packed_answer_is_not_unpacked():
    # 64 MiB of zeros are 64 kB on the wire.
    packed = gzip.compress(bytes(1 << 20))
    with (
        answering(body=packed, headers=[("Content-Encoding", "gzip")]) as api,
        pytest.raises(RestError, match="packed as 'gzip'; it was not asked to"),
    ):
        api.get("/x")


def test_an_empty_answer_is_none():
    with answering() as api:
        assert api.put("/x") is None


def test_a_body_is_sent_as_json_and_no_body_as_none():
    asked = []
    with answering(asked=asked) as api:
        api.put("/config/nimages", {"value": 3})
        api.put("/command/arm")
    assert asked[0][:2] == ("PUT", "/config/nimages")
    assert json.loads(asked[0][2]) == {"value": 3}
    assert asked[1] == ("PUT", "/command/arm", b"")


def test_a_refused_connection_says_what_to_look_at():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    api = RestApi(f"http://127.0.0.1:{port}", NAME)
    with pytest.raises(RestError, match=r"cannot be reached .*refused.*switched"):
        api.get("/x")


def test_a_name_that_nobody_knows_says_so():
    with pytest.raises(RestError, match="cannot be reached"):
        RestApi("http://no.such.host.invalid", NAME).get("/x")


def test_a_detector_that_hangs_is_not_waited_for():
    with (
        listening() as api,
        pytest.raises(RestError, match=r"did not answer GET /x within 0\.2 s") as e,
    ):
        api.get("/x")
    assert e.value.status is None


def test_one_call_may_wait_shorter_than_the_others():
    with (
        listening() as api,
        pytest.raises(RestError, match=r"PUT /x within 0\.05 s"),
    ):
        api.put("/x", timeout_s=0.05)


@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_web_page_is_named_as_one(status):
    page = b"\n <!DOCTYPE html><html>Welcome to the router</html>"
    with (
        answering(status, page) as api,
        pytest.raises(RestError, match=r"a web page .*another program") as e,
    ):
        api.get("/x")
    assert e.value.status == status


def test_a_refusal_carries_status_and_text():
    with (
        answering(404, b"unknown\n  parameter") as api,
        pytest.raises(RestError, match="refused PUT /x: 404 unknown parameter") as e,
    ):
        api.put("/x", 1)
    assert (e.value.status, e.value.text) == (404, "unknown parameter")
    assert isinstance(e.value, SourceError)


def test_a_long_refusal_is_cut():
    with answering(500, b"x" * 10_000) as api, pytest.raises(RestError) as e:
        api.get("/x")
    assert len(str(e.value)) < 400


def test_a_redirection_is_not_followed():
    asked = []
    moved = [("Location", "/elsewhere")]
    with (
        answering(302, b"", moved, asked) as api,
        pytest.raises(RestError, match="302"),
    ):
        api.get("/x")
    assert len(asked) == 1


def test_an_answer_without_an_end_is_not_kept(monkeypatch):
    monkeypatch.setattr(rest, "LARGEST_ANSWER", 1000)
    with (
        answering(body=bytes(1001)) as api,
        pytest.raises(RestError, match="more than"),
    ):
        api.get("/x")


def test_what_is_no_http_is_an_error():
    with listening(b"\xff\x00\x00\x00 zmq\r\n") as api, pytest.raises(RestError):
        api.get("/x")


def test_an_answer_that_breaks_off_is_an_error():
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"
    with listening(half) as api, pytest.raises(RestError):
        api.get("/x")


def test_json_that_is_nested_without_end_comes_back_as_text():
    deep = b"[" * 100_000
    with answering(body=deep) as api:
        assert api.get("/x") == deep.decode()


def test_bytes_that_are_no_text_do_not_harm():
    with answering(body=b"\xff\xfe") as api:
        assert isinstance(api.get("/x"), str)
