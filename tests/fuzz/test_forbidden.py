"""What may stand nowhere in the code: what runs, or unpacks, what a stranger sent."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in ("engine", "adapters", "processors", "examples")
    for path in (ROOT / folder).rglob("*.py")
)
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
CALLS = {"eval", "exec", "compile", "__import__", "extractall", "unsafe_load"}
CALLS |= {"recv_pyobj", "send_pyobj", "read_pickle", "to_pickle", "literal_eval"}
OWNERS = {"yaml": {"load", "full_load"}, "os": {"system", "popen"}}
"""Calls of ``module.name``."""
OPEN_CALLS = {("ctypes", "util"), ("re", "compile")}


def found_in(source: str) -> Iterator[str]:
    """Yield what is forbidden in a source text."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                wrong = [n.name for n in names if n.name.split(".")[0] in MODULES]
                yield from (f"import {name}" for name in wrong)
            case ast.ImportFrom(module=str(module)):
                if module.split(".")[0] in MODULES:
                    yield f"from {module}"
            case ast.Call():
                yield from _of_call(node)


def _of_call(call: ast.Call) -> Iterator[str]:
    owner, name = _named(call.func)
    said = {one.arg: one.value for one in call.keywords}
    if name in CALLS and (owner, name) not in OPEN_CALLS:
        yield name
    if name in OWNERS.get(owner, ()):
        yield f"{owner}.{name}"
    shell = said.get("shell")
    if shell is not None and not (
        isinstance(shell, ast.Constant) and shell.value is False
    ):
        yield "shell="
    pickles = said.get("allow_pickle")
    closed = isinstance(pickles, ast.Constant) and pickles.value is False
    if ((owner, name) == ("np", "load") and not closed) or (pickles and not closed):
        yield "np.load without allow_pickle=False"


def _named(function: ast.expr) -> tuple[str, str]:
    match function:
        case ast.Name(id=name):
            return "", name
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return owner, name
        case ast.Attribute(attr=name):
            return "?", name
    return "", ""


@pytest.mark.parametrize("folder", ["engine", "adapters", "processors", "examples"])
def test_nothing_runs_or_unpickles_what_a_stranger_sent(folder):
    found = {
        f"{path.relative_to(ROOT)}: {wrong}"
        for path in SOURCES
        if path.relative_to(ROOT).parts[0] == folder
        for wrong in found_in(path.read_text(encoding="utf-8"))
    }
    assert not found


def test_all_sources_are_looked_at():
    assert len(SOURCES) > 400


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import marshal as m",
        "eval(x)",
        "builtins.exec(x)",
        "socket.recv_pyobj()",
        "yaml.load(x)",
        "np.load(x)",
        "np.load(x, allow_pickle=True)",
        "np.load(x, allow_pickle=yes)",
        "pandas.read_pickle(x)",
        "subprocess.run(x, shell=True)",
        "archive.extractall(x)",
        "os.system(x)",
    ],
)
def test_each_of_them_would_be_found(source):
    assert list(found_in(source))


def test_what_is_safe_is_let_be():
    safe = "re.compile(x); np.load(x, allow_pickle=False); run(x, shell=False)"
    assert not list(found_in(safe))
