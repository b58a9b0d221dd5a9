"""Every place where the product opens a socket is in the table of docs/security.md.

Who adds one says there who may connect, with which keys, and what is in the clear.
"""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/security.md"
SOURCES = ("engine", "adapters", "processors")
OPENS = {
    "bind",
    "bind_sockets",
    "bind_to_random_port",
    "connect",
    "connect_ex",
    "create_connection",
    "create_datagram_endpoint",
    "create_server",
    "create_unix_server",
    "dial",
    "listen",
    "open_connection",
    "open_unix_connection",
    "start_server",
    "start_http_server",
    "start_unix_server",
    "urlopen",
    "run_simple",
    "make_server",
}
CLASSES = re.compile(
    r"(Threading|Forking)?(Mixin)?(HTTP|HTTPS|WSGI|TCP|UDP|UnixStream|XMLRPC)Server"
    r"|PoolManager|HTTPConnection|HTTPSConnection|PVServer|Client|StaticProvider"
)


class Finder(ast.NodeVisitor):
    """Finds the functions that open a socket."""

    def __init__(self, path):
        self.path, self.where, self.found = path, [], set()

    def visit_FunctionDef(self, node):
        self.where.append(node.name)
        self.generic_visit(node)
        self.where.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node):
        if any(CLASSES.fullmatch(name_of(base)) for base in node.bases):
            self.found.add(f"{self.path}:{node.name}")
        self.visit_FunctionDef(node)

    def visit_Call(self, node):
        name = name_of(node.func)
        if name in OPENS or CLASSES.fullmatch(name):
            self.found.add(f"{self.path}:{'.'.join(self.where) or 'module'}")
        self.generic_visit(node)


def name_of(node):
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def openings(path, text):
    finder = Finder(path)
    finder.visit(ast.parse(text))
    return finder.found


@functools.cache
def all_openings():
    found = set()
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            found |= openings(name, path.read_text(encoding="utf-8"))
    return found


def listed():
    text = PAGE.read_text(encoding="utf-8")
    sources = "|".join(SOURCES)
    return set(re.findall(rf"`((?:{sources})/[\w/]+\.py:[\w.]+)`", text))


def test_every_socket_that_is_opened_is_in_the_table():
    unlisted = all_openings() - listed()
    assert not unlisted, (
        "say in docs/security.md who may connect there, with which role, and whether "
        f"in the clear: {sorted(unlisted)}"
    )


def test_the_table_names_nothing_that_is_not_there():
    assert not listed() - all_openings()


@pytest.mark.parametrize(
    "text",
    [
        "def f(s):\n    s.bind('tcp://*:1')",
        "def f():\n    socket.create_server(('', 1))",
        "def f():\n    return ThreadingHTTPServer(('', 1), H)",
        "def f():\n    return http.server.HTTPServer(('', 1), H)",
        "class f(socketserver.TCPServer):\n    pass",
        "async def f():\n    await asyncio.start_server(g)",
        "def f(c):\n    Link.listen(c, 'tcp://*:1')",
    ],
)
def test_a_new_one_would_be_found(text):
    assert openings("x.py", text) == {"x.py:f"}


def test_no_socket_is_told_to_take_everybody():
    for source in SOURCES:
        for path in (ROOT / source).rglob("*.py"):
            for line in path.read_text(encoding="utf-8").splitlines():
                assert not re.search(r"bind\(.*(0\.0\.0\.0|//\*|\"::\")", line), path
