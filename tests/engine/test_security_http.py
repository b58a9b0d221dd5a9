"""The rules of our web servers, with real requests, and what the user reads."""

import http.client
import json
import socket
import threading
import time
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside.latency import Latencies
from scopeside.security import http as rules
from scopeside.security.http import HEADERS, LARGEST_BODY, new_token, refusal, serve
from scopeside.supervise.metrics import EngineMetrics
from scopeside.supervise.metrics import serve as serve_metrics

PATIENCE_S = 20.0
TOKEN = "t" * 43


def application(environ, start):
    """Says what it was asked for; a body is answered with its size."""
    body = environ["wsgi.input"].read()
    start("200 OK", [("Content-Type", "text/plain"), ("Cache-Control", "max-age=1")])
    return [f"{environ['REQUEST_METHOD']} {len(body)}".encode()]


@contextmanager
def serving(app=application, token=TOKEN):
    where, stop = serve(app, 0, token)
    try:
        yield int(where.rpartition(":")[2])
    finally:
        stop()


@pytest.fixture(scope="module")
def port():
    with serving() as found:
        yield found


def ask(port, method="GET", path="/", body=None, **headers):
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        link.request(method, path, body, headers)
        answer = link.getresponse()
        return answer, answer.read().decode()
    finally:
        link.close()


def refused(port, *args, **headers):
    """The status and the reason of a request that is refused."""
    answer, text = ask(port, *args, **headers)
    return answer.status, json.loads(text)["error"]


def raw(port, data):
    """All that is answered to some bytes."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as link:
        link.sendall(data)
        found = b""
        while more := link.recv(65536):
            found += more
        return found


def bearer(token=TOKEN):
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_who_asks_for_this_machine_is_answered(port, name):
    answer, text = ask(port, Host=f"{name}:{port}")
    assert (answer.status, text) == (200, "GET 0")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost.evil.example:{port}",
        "127.0.0.1:{port}.evil.example",
        "192.168.1.5:{port}",
        "",
    ],
)
def test_a_name_that_was_made_to_resolve_to_us_is_refused(port, host):
    host = host.format(port=port)
    status, said = refused(port, Host=host)
    assert status == 421
    assert said == (
        f"this server is 127.0.0.1:{port} or localhost:{port} or [::1]:{port}, not "
        f"{host!r}; through a tunnel take the same port on both sides"
    )


def test_a_request_without_a_host_is_refused(port):
    assert b"421 Misdirected Request" in raw(port, b"GET / HTTP/1.0\r\n\r\n")


def test_two_hosts_are_refused(port):
    ours = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil\r\n\r\n"
    assert b"421 Misdirected Request" in raw(port, ours.encode())


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_change_with_the_token_goes_through(port, method):
    answer, text = ask(port, method, "/x", b"abc", **bearer())
    assert (answer.status, text) == (200, f"{method} 3")


def test_a_change_from_our_own_page_goes_through(port):
    origin = f"http://localhost:{port}"
    assert ask(port, "POST", "/x", b"", Origin=origin, **bearer())[0].status == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1"],
)
def test_a_page_of_another_site_changes_nothing_even_with_the_token(port, origin):
    origin = origin.format(port=port)
    status, said = refused(port, "POST", "/x", b"", Origin=origin, **bearer())
    assert (status, said) == (403, f"a page of {origin!r} may not change anything")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer(""),
        bearer("x" * 43),
        bearer(TOKEN[:-1]),
        bearer(TOKEN + "t"),
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Cookie": f"token={TOKEN}"},
    ],
)
def test_a_change_without_the_token_is_refused(port, headers):
    status, said = refused(port, "POST", "/x", b"", **headers)
    assert status == 401
    assert said == (
        "a change needs the header 'Authorization: Bearer TOKEN' with the token of "
        "this run, which is in a file of its run folder"
    )


def test_a_token_in_the_address_counts_for_nothing(port):
    assert refused(port, "POST", f"/x?token={TOKEN}", b"")[0] == 401


def test_where_nothing_can_be_changed_nothing_else_than_reading_is_allowed():
    with serving(token=None) as found:
        status, said = refused(found, "POST", "/", b"", **bearer())
    assert status == 405
    assert said == "POST is not allowed: here one can read, nothing else"


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "BREW", "get"])
def test_other_methods_are_refused(port, method):
    assert refused(port, method, "/") == (405, f"{method} is not allowed")


@pytest.mark.parametrize("length", [LARGEST_BODY + 1, 10**30, -1, "many", "0x10"])
def test_a_body_that_is_too_large_is_refused_before_it_is_read(port, length):
    said = (
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKEN}"
        f"\r\nContent-Length: {length}\r\n\r\n"
    )
    answer = raw(port, said.encode())
    assert b"413 Request Entity Too Large" in answer
    assert f"a body has 65536 bytes at most, not {length!s:.20}".encode() in answer


def test_a_body_of_unknown_length_is_refused(port):
    headers = {"Transfer_Encoding": "chunked", **bearer()}
    said = refused(port, "POST", "/", iter([b"x"]), **headers)
    assert said == (411, "a body needs a Content-Length")


def test_a_long_address_is_refused(port):
    answer = raw(port, b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n")
    assert b"414" in answer.splitlines()[0]


def test_too_many_headers_are_refused_and_that_answer_keeps_the_rules_too(port):
    headers = b"".join(b"H%d: x\r\n" % n for n in range(200))
    answer = raw(port, b"GET / HTTP/1.1\r\n" + headers + b"\r\n")
    assert b"431" in answer.splitlines()[0]
    assert b"X-Content-Type-Options: nosniff" in answer


def test_what_is_no_request_is_answered_without_markup(port):
    answer = raw(port, b"<script>\r\n\r\n")
    assert answer.startswith(b"400 ")
    assert b"<" not in answer


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/../../etc/passwd", "//", "/%2e%2e"]
)
def test_every_answer_forbids_what_a_browser_would_do_with_it(port, path):
    for answer, _ in (ask(port, path=path), ask(port, path=path, Host="evil")):
        for name, value in HEADERS.items():
            if name != "Cache-Control":
                assert answer.headers.get_all(name) == [value]
        assert answer.headers["Server"] == "scopeside"


def test_the_application_may_set_a_header_itself(port):
    assert ask(port)[0].headers.get_all("Cache-Control") == ["max-age=1"]


def test_head_has_no_body(port):
    assert ask(port, "HEAD", Host="evil")[1] == ""


@given(st.binary(max_size=300))
def test_garbage_is_answered_or_hung_up_on(port, junk):
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as link:
        link.sendall(junk)
        link.shutdown(socket.SHUT_WR)
        while link.recv(65536):
            pass
    assert ask(port)[0].status == 200


def test_who_sends_a_byte_now_and_then_is_cut_off(monkeypatch):
    monkeypatch.setattr(rules, "REQUEST_S", 0.0)  # and the time-out of one read stays
    with serving() as found, socket.create_connection(("127.0.0.1", found)) as link:
        link.settimeout(PATIENCE_S)
        link.sendall(b"GET / HT")
        assert link.recv(100) == b""


def test_requests_at_once_are_bounded_and_the_next_one_is_told(monkeypatch):
    monkeypatch.setattr(rules, "MOST_REQUESTS", 2)
    inside, go = threading.Semaphore(0), threading.Event()

    def slow(environ, start):
        inside.release()
        assert go.wait(PATIENCE_S)
        return application(environ, start)

    with serving(slow) as found:
        answers = []
        asking = [
            threading.Thread(target=lambda: answers.append(ask(found)))
            for _ in range(2)
        ]
        for thread in asking:
            thread.start()
            assert inside.acquire(timeout=PATIENCE_S)
        answer, text = ask(found)
        assert (answer.status, text) == (503, "too many requests at once; come again\n")
        go.set()
        for thread in asking:
            thread.join(PATIENCE_S)
        assert [answer.status for answer, _ in answers] == [200, 200]
        deadline = time.monotonic() + PATIENCE_S
        while ask(found)[0].status != 200:
            assert time.monotonic() < deadline


def test_it_listens_on_this_machine_only(port):
    with socket.socket() as other:
        # Bound to all addresses it would be taken here as well.
        other.bind(("127.0.0.2", port))


def test_a_token_is_closed_to_others_and_never_the_same(tmp_path):
    one, two = new_token(tmp_path / "one"), new_token(tmp_path / "two")
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "one").read_text() == one
    assert one != two
    assert len(one) == 43
    with pytest.raises(FileExistsError):
        new_token(tmp_path / "one")


@given(st.text(max_size=50))
def test_no_other_text_is_the_token(text):
    environ = {
        "REQUEST_METHOD": "POST",
        "HTTP_HOST": "localhost:1",
        "HTTP_AUTHORIZATION": f"Bearer {text}",
    }
    assert refusal(environ, 1, TOKEN).status == 401


# -- the metrics -------------------------------------------------------------------


@pytest.fixture
def metrics():
    class Nothing(EngineMetrics):
        def collect(self):
            return iter(())

    where, stop = serve_metrics(0, Nothing(dict, Latencies))
    yield int(where.split(":")[2].split("/")[0])
    stop()


def test_metrics_keep_the_rules(metrics):
    answer, _ = ask(metrics, path="/metrics")
    assert answer.status == 200
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert refused(metrics, path="/metrics", Host="evil.example")[0] == 421
    assert refused(metrics, "POST", "/metrics", b"")[0] == 405


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metrics/..", "/../metrics", "//"])
def test_there_is_nothing_but_metrics(metrics, path):
    answer, text = ask(metrics, path=path)
    assert (answer.status, text) == (404, "there is nothing but /metrics\n")
