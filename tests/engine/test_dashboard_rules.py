"""The page's web server against whoever means it no good, over real sockets."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside.dashboard import place
from scopeside.dashboard import server as serving
from scopeside.dashboard.page import Blob, Page
from scopeside.dashboard.parts import Dashboard
from scopeside.dashboard.said import heard
from scopeside.dashboard.server import Server
from scopeside.errors import ConfigError, ScopesideError

TOKEN = "the-token-of-the-tests"
LET_IN = f"Authorization: Bearer {TOKEN}"


def refuse(body):
    raise ScopesideError("the beam is <b>blanked</b>")


@pytest.fixture(scope="module")
def served():
    page = Page()
    page.commands["change"] = lambda body: {"took": body}
    page.commands["refused"] = refuse
    page.questions["echo"] = lambda asked: {**asked, "nan": float("nan")}
    page.questions["file"] = lambda asked: Blob(b"x", filename='a"\r\nEvil: 1 é.png')
    page.questions["broken"] = lambda asked: 1 / 0
    server = Server(page, 0, TOKEN, lambda shown: {})
    server.start()
    yield server
    server.close()


class Answer:
    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1]) if first else 0
        pairs = [line.partition(": ")[::2] for line in lines]
        self.headers = {name.lower(): value for name, value in pairs}

    def json(self):
        return json.loads(self.body)


def send(served, raw: bytes) -> Answer:
    """Send bytes, read until the other side hangs up."""
    with socket.create_connection(("127.0.0.1", served.port), 10) as link:
        link.sendall(raw)
        got = b""
        while piece := link.recv(1 << 16):
            got += piece
    return Answer(got)


def ask(served, first="GET / HTTP/1.1", *lines, host=None, body=b"") -> Answer:
    host = f"127.0.0.1:{served.port}" if host is None else host
    head = [first, f"Host: {host}", "Connection: close", *lines]
    return send(served, "\r\n".join([*head, "", ""]).encode("latin-1") + body)


def post(served, name, *lines, body=b"{}", host=None):
    first = f"POST /api/{name} HTTP/1.1"
    length = f"Content-Length: {len(body)}"
    return ask(served, first, *lines, length, body=body, host=host)


# -- who may ask -----------------------------------------------------------------------


def test_another_name_is_refused_so_that_rebinding_reads_nothing(served):
    for host in ("evil.example", f"evil.example:{served.port}", "127.0.0.1:1", ""):
        for first in ("GET / HTTP/1.1", "GET /api/echo HTTP/1.1", "GET /no HTTP/1.1"):
            assert ask(served, first, host=host).status in (400, 421), (host, first)


def test_a_request_without_a_host_is_refused(served):
    raw = b"GET / HTTP/1.0\r\n\r\n"
    assert send(served, raw).status == 421


def test_our_own_names_are_let_in(served):
    for name in ("127.0.0.1", "localhost"):
        assert ask(served, host=f"{name}:{served.port}").status == 200


def test_a_change_needs_the_token(served):
    assert post(served, "change").status == 401
    assert post(served, "change", "Authorization: Bearer wrong").status == 401
    assert post(served, "change", f"Authorization: Basic {TOKEN}").status == 401
    assert post(served, "change", f"{LET_IN}é").status == 401
    assert post(served, f"change?token={TOKEN}").status == 401
    assert post(served, "change", LET_IN).json() == {"took": {}}


def test_a_page_of_another_site_changes_nothing_even_with_the_token(served):
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{served.port}"):
        assert post(served, "change", LET_IN, f"Origin: {origin}").status == 403
    ours = f"Origin: http://127.0.0.1:{served.port}"
    assert post(served, "change", LET_IN, ours).status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "X"])
def test_other_methods_do_nothing(served, method):
    for path in ("/api/change", "/index.html", "/no"):
        found = ask(served, f"{method} {path} HTTP/1.1", LET_IN)
        assert found.status in (405, 501), path


def test_a_file_takes_no_change(served):
    found = ask(served, "POST / HTTP/1.1", LET_IN, "Content-Length: 0")
    assert found.status == 405


# -- what is sent ----------------------------------------------------------------------


def test_a_body_without_a_length_is_refused(served):
    chunked = b"2\r\n{}\r\n0\r\n\r\n"
    first = "POST /api/change HTTP/1.1"
    found = ask(served, first, LET_IN, "Transfer-Encoding: chunked", body=chunked)
    assert found.status == 411


def test_a_body_that_is_too_long_is_not_read(served):
    first = "POST /api/change HTTP/1.1"
    found = ask(served, first, LET_IN, f"Content-Length: {1 << 40}")
    assert found.status in (0, 400, 413)


@pytest.mark.parametrize("length", ["-1", "x", "1, 2", "1_0", "", "٣"])
def test_a_length_that_is_none_is_refused(served, length):
    raw = f"POST /api/change HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n{LET_IN}\r\n"
    raw += f"Content-Length: {length}\r\nConnection: close\r\n\r\n{{}}"
    assert send(served, raw.encode()).status in (0, 400, 413)


def test_two_lengths_and_a_length_beside_chunks_are_refused(served):
    first = "POST /api/change HTTP/1.1"
    twice = ("Content-Length: 2", "Content-Length: 3")
    assert ask(served, first, LET_IN, *twice, body=b"{}").status in (0, 400)
    both = ("Content-Length: 2", "Transfer-Encoding: chunked")
    assert ask(served, first, LET_IN, *both, body=b"{}").status in (0, 400, 411)


def test_headers_that_are_too_long_are_cut_off(served):
    assert ask(served, "GET / HTTP/1.1", "X: " + "x" * (16 << 10)).status in (0, 400)


@pytest.mark.parametrize(
    "body",
    [b"[" * 60_000, b'{"a":' * 100 + b"1" + b"}" * 100, b"[]", b"1", b"{", b"\xff",
     b"9" * 5000, b'{"a": "\\ud800"}'],
)  # fmt: skip
def test_a_body_that_is_no_plain_object_is_refused_in_words(served, body):
    found = post(served, "change", LET_IN, body=body)
    assert found.status == 400
    assert found.json()["error"].startswith("not understood")


def test_a_name_that_is_none_is_refused(served):
    assert post(served, "nothing", LET_IN).status == 404
    assert ask(served, "GET /api/nothing HTTP/1.1").status == 404
    assert ask(served, "GET /api/NOTHING%2f.. HTTP/1.1").status == 404


# -- what is answered ------------------------------------------------------------------


def test_a_refusal_is_json_that_no_browser_takes_for_a_page(served):
    found = post(served, "refused", LET_IN)
    assert found.status == 409
    assert found.headers["content-type"] == "application/json"
    assert found.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("first", "status"),
    [
        ("GET / HTTP/1.1", 200),
        ("GET /no HTTP/1.1", 404),
        ("GET /<script> HTTP/1.1", 404),
        ("GET /live HTTP/1.1", 400),
        ("GET /api/echo HTTP/1.1", 200),
        ("GET /api/broken HTTP/1.1", 500),
        ("PUT /api/echo HTTP/1.1", 401),
        ("DELETE / HTTP/1.1", 405),
    ],
)
def test_every_answer_says_what_a_browser_may_do(served, first, status):
    found = ask(served, first)
    assert found.status == status
    policy = found.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy
    assert not re.search(r"script-src[^;]*unsafe-inline", policy)
    assert found.headers["referrer-policy"] == "no-referrer"
    assert found.headers["server"] == "scopeside"
    assert "access-control-allow-origin" not in found.headers
    assert b"<script>" not in found.body or status == 200
    assert b"Traceback" not in found.body


def test_what_a_host_says_does_not_get_into_the_policy(served):
    found = ask(served, host="x; script-src *")
    assert "script-src *" not in str(found.headers)


def test_what_is_no_number_is_null(served):
    assert ask(served, "GET /api/echo?a=1 HTTP/1.1").json() == {"a": "1", "nan": None}


def test_the_name_of_a_file_adds_no_header(served):
    found = ask(served, "GET /api/file HTTP/1.1")
    assert "evil" not in found.headers
    assert found.headers["content-disposition"] == (
        'attachment; filename="a___Evil__1__.png"'
    )


# -- files -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/../rules.py", "/%2e%2e/rules.py", "/js/../../rules.py", "/..%2frules.py",
        "/js%5c..%5c..%5crules.py", "//etc/passwd", "/etc/passwd", "/%00", "/js/%00.js",
        "/bokeh/../../../__init__.py", "/bokeh/..%2f..%2f__init__.py", "/.git", "/js/",
        "/bokeh/", "/css", "/js", "/bokeh/bokeh.js", "/static/index.html", "/é",
    ],
)  # fmt: skip
def test_nothing_outside_of_the_pages_files_is_given_out_and_nothing_listed(
    served, path
):
    assert ask(served, f"GET {path} HTTP/1.1").status in (301, 400, 403, 404)


def test_the_pages_files_are_given_out(served):
    for path in ("/", "/index.html", "/js/main.js", "/bokeh/bokeh.min.js"):
        assert ask(served, f"GET {path} HTTP/1.1").status == 200, path


# -- sockets of tabs -------------------------------------------------------------------

UPGRADE = (
    "Upgrade: websocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)


def shake_hands(served, *lines, host=None):
    host = host or f"127.0.0.1:{served.port}"
    head = ["GET /live HTTP/1.1", f"Host: {host}", "Connection: Upgrade", *UPGRADE]
    link = socket.create_connection(("127.0.0.1", served.port), 10)
    link.sendall("\r\n".join([*head, *lines, "", ""]).encode())
    got = b""
    while b"\r\n\r\n" not in got:
        got += link.recv(1)
    return link, Answer(got).status


def status_of(served, *lines, host=None):
    link, status = shake_hands(served, *lines, host=host)
    link.close()
    return status


def test_only_pages_of_ours_open_a_socket(served):
    ours = f"Origin: http://127.0.0.1:{served.port}"
    assert status_of(served, ours) == 101
    assert status_of(served, "Origin: http://evil.example") == 403
    assert status_of(served, "Origin: null") == 403
    assert status_of(served, "Origin: http://127.0.0.1:1") == 403
    assert status_of(served, host=f"evil.example:{served.port}") == 421
    both = f"Origin: http://evil.example:{served.port}"
    assert status_of(served, both, host=f"evil.example:{served.port}") == 421


def say(link, text: bytes) -> None:
    """Send a text as a browser does, masked."""
    size = len(text)
    more = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack(">H", size)
    link.sendall(b"\x81" + more + b"\0\0\0\0" + text)


def ended_with(link) -> int:
    """Read until the socket is closed, and return the code that was given."""
    file = link.makefile("rb")
    while head := file.read(2):
        size = head[1] & 127
        if size == 126:
            size = struct.unpack(">H", file.read(2))[0]
        body = file.read(size)
        if head[0] & 15 == 8:
            return struct.unpack(">H", body[:2])[0]
    return 0


@pytest.mark.parametrize("text", [b"[" * 60_000, b"{", b"5", b'{"want": {}}'])
def test_a_tab_that_talks_nonsense_is_hung_up_on(served, text):
    link, _ = shake_hands(served)
    with link:
        say(link, text)
        assert ended_with(link) == 1003


def test_a_message_that_is_too_long_is_not_read(served):
    link, _ = shake_hands(served)
    with link:
        link.sendall(b"\x81\xff" + struct.pack(">Q", 1 << 40) + b"\0\0\0\0" + b"x" * 99)
        assert ended_with(link) in (0, 1009)


def test_one_tab_too_many_is_told_so(served, monkeypatch):
    eventually(lambda: not served.tabs)
    monkeypatch.setattr("scopeside.dashboard.live.MOST_TABS", 1)
    link, status = shake_hands(served)
    assert status == 101
    eventually(lambda: len(served.tabs) == 1)
    assert status_of(served) == 503
    link.close()
    eventually(lambda: not served.tabs)


OURS = "Sec-WebSocket-Protocol: scopeside"
KNOWS = f"{OURS}, token.{TOKEN.encode().hex()}"
GUESSES = f"{OURS}, token.{b'another'.hex()}, token.\N{LATIN SMALL LETTER E WITH ACUTE}"


def test_a_tab_with_the_token_takes_the_place_of_the_oldest_without_one(
    served, monkeypatch
):
    eventually(lambda: not served.tabs)
    monkeypatch.setattr("scopeside.dashboard.live.MOST_TABS", 3)
    with contextlib.ExitStack() as links:

        def come(said):
            link, status = shake_hands(served, said)
            assert status == 101
            return links.enter_context(link)

        come(KNOWS)
        oldest, guesses = come(OURS), come(GUESSES)
        eventually(lambda: len(served.tabs) == 3)
        assert ended_with(come(GUESSES)) == 4001  # there is no place to be had
        come(KNOWS)
        assert ended_with(oldest) == 4001
        come(KNOWS)
        assert ended_with(guesses) == 4001
        assert ended_with(come(KNOWS)) == 4001  # of those with it none goes
        assert len(served.tabs) == 3
    eventually(lambda: not served.tabs)


def eventually(condition):
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


# -- too much --------------------------------------------------------------------------


def test_with_one_connection_too_many_the_oldest_that_asks_nothing_goes(monkeypatch):
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 2)
    page = Page()
    asked, go_on = threading.Event(), threading.Event()
    page.questions["slow"] = lambda _asked: asked.set() or go_on.wait(20)
    server = Server(page, 0, TOKEN, lambda shown: {})
    server.start()
    where = ("127.0.0.1", server.port)
    with contextlib.ExitStack() as stack:
        stack.callback(server.close)
        stack.callback(go_on.set)

        def link():
            return stack.enter_context(socket.create_connection(where, 20))

        host = f"Host: {where[0]}:{where[1]}"
        slow = link()
        slow.sendall(f"GET /api/slow HTTP/1.1\r\n{host}\r\n\r\n".encode())
        assert asked.wait(20)
        silent, _late = link(), link()
        assert silent.recv(1) == b""
        for _ in range(4):  # whoever comes gets in, however many are held open
            link().sendall(b"GET")
            assert can_ask(server)
        go_on.set()
        assert slow.recv(12) == b"HTTP/1.1 200"


def can_ask(server) -> bool:
    try:
        return ask(server).status == 200
    except OSError:
        return False


@pytest.mark.parametrize("began", [b"GET / HT", b"POST /api/change HTTP/1.1\r\n"])
def test_who_sends_a_byte_now_and_then_is_cut_off(monkeypatch, began):
    monkeypatch.setattr(serving, "HEAD_S", 0.05)
    monkeypatch.setattr(serving, "BODY_S", 0.05)
    server = Server(Page(), 0, TOKEN, lambda shown: {})
    server.start()
    try:
        rest = f"Host: 127.0.0.1:{server.port}\r\nContent-Length: 9\r\n\r\n{{"
        sent = began + (rest.encode() if began.endswith(b"\n") else b"")
        assert send(server, sent).status in (0, 400)
    finally:
        server.close()


def test_questions_that_take_long_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(serving, "MOST_WAITING", 1)
    page, go_on, begun = Page(), threading.Event(), threading.Event()
    page.questions["long"] = lambda asked: begun.set() or {"done": go_on.wait(20)}
    server = Server(page, 0, TOKEN, lambda shown: {})
    server.start()
    try:
        first = threading.Thread(target=ask, args=(server, "GET /api/long HTTP/1.1"))
        first.start()
        assert begun.wait(20)
        assert ask(server, "GET /api/long HTTP/1.1").status == 503
        go_on.set()
        first.join()
    finally:
        server.close()


# -- what tabs say, without sockets ----------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"painted": [[1], 2]}',
        '{"painted": ["a"]}',
        '{"want": {"images": [], "topics": []}}',
        '{"want": {"images": {"%s": {"key": "k"}}, "topics": []}}' % ("x" * 33),
        '{"want": {"images": {"a": {"key": 5}}, "topics": []}}',
        '{"want": {"images": {"a": {"key": "k", "hz": NaN}}, "topics": []}}',
        '{"want": {"images": {"a": {"key": "k", "plane": [1]}}, "topics": []}}',
        '{"want": {"images": {}, "topics": [5]}}',
        json.dumps({"want": {"images": {}, "topics": ["t"] * 65}}),
    ],
)
def test_what_a_tab_cannot_mean_is_refused(text):
    with pytest.raises(ValueError):
        heard(text)


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_whatever_a_tab_says_is_understood_or_refused(text):
    with contextlib.suppress(ValueError):
        assert isinstance(heard(text), dict)


# -- the token, and the port -----------------------------------------------------------


@pytest.fixture
def run_root(short_path, monkeypatch):
    monkeypatch.setenv("SCOPESIDE_RUN", str(short_path))
    return short_path / "scopeside"


def test_the_token_is_made_once_and_for_this_user_only(run_root):
    token = place.token_of_this_user()
    assert token == place.token_of_this_user()
    assert len(token) >= 32
    assert (run_root / "page.token").stat().st_mode & 0o777 == 0o600
    assert run_root.stat().st_mode & 0o777 == 0o700


def test_a_token_that_was_not_written_to_its_end_is_made_anew(run_root):
    run_root.mkdir(mode=0o700)
    (run_root / "page.token").touch(mode=0o600)
    assert len(place.token_of_this_user()) >= 32


def test_a_page_is_found_as_long_as_it_lives(run_root):
    with place.announced(8765):
        assert place.pages() == [8765]
    assert place.pages() == []


def test_pages_are_told_oldest_first_and_files_of_pages_that_were_killed_are_not(
    run_root,
):
    with place.announced(8765), place.announced(8764):
        (run_root / "page-8763").touch()
        (run_root / "page-of-no-port").touch()
        assert place.pages() == [8765, 8764]


def test_a_page_whose_port_is_taken_leaves_no_thread_of_its_parts(
    run_root, monkeypatch
):
    page = Dashboard(None, 0, "token")

    def start():
        raise OSError("address already in use")

    monkeypatch.setattr(page.server, "start", start)
    with pytest.raises(OSError, match="in use"):
        page.start()
    assert page.page.over.is_set()


def test_a_port_that_is_asked_for_and_taken_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--page {port}: .* taken"):
            place.check_port(port, "--page")
    place.check_port(0, "--page")
