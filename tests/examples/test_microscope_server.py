"""The program for the microscope's computer, as it is and with keys."""

import ast
import io
import re
import socket
import subprocess
import sys
import tokenize
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq.auth

from scopeside.control.instrument import Call
from scopeside.control.trial import check_instrument, opened
from scopeside.errors import InstrumentError
from scopeside_adapters.microscope.zmq import ZmqControl, ZmqControlParams

ROOT = Path(__file__).parents[2]
SOURCE = (ROOT / "examples/microscope_server.py").read_text(encoding="utf-8")
BIND = 'requests.bind("tcp://127.0.0.1:5700")'
SHIFT = Call("set_beam_shift", {"x_m": 1e-9, "y_m": 2e-9})


@contextmanager
def served(source, folder):
    """Run the program in a process of its own; gives its endpoint."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    program = folder / "server.py"
    program.write_text(re.sub("5700", port, source), encoding="utf-8")
    process = subprocess.Popen([sys.executable, str(program)], cwd=folder)
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def to(endpoint, **more):
    table = {"endpoint": endpoint, "actions": ["set_beam_shift", "blank"], **more}
    return ZmqControl(ZmqControlParams.model_validate({"answer_s": 20.0, **table}))


def test_it_keeps_the_laws_of_an_instrument(tmp_path):
    with served(SOURCE, tmp_path) as endpoint:
        check_instrument(lambda: to(endpoint), [SHIFT], busy=SHIFT)


def test_it_refuses_what_came_too_late_and_what_is_of_another_session(tmp_path):
    with (
        served(SOURCE, tmp_path) as endpoint,
        opened(lambda: to(endpoint)) as instrument,
    ):
        instrument._clock_ahead_ns = -(10**12)
        with pytest.raises(InstrumentError, match="came too late"):
            instrument.act(SHIFT)
        instrument._clock_ahead_ns = 0
        instrument._session = "yesterday"
        with pytest.raises(InstrumentError, match="of another session"):
            instrument.act(SHIFT)
        instrument.act(Call("blank", {"on": True}))
        values = instrument.read().values
    assert (values["beam_shift_x_m"], values["blanked"]) == (0.0, True)


def test_with_the_lines_of_the_page_it_serves_those_whose_keys_it_has(tmp_path):
    page = (ROOT / "docs/control_wire.md").read_text(encoding="utf-8")
    (lines,) = [
        code
        for code in re.findall(
            r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE
        )
        if "curve_server" in code
    ]
    friends = tmp_path / "friends"
    friends.mkdir()
    zmq.auth.create_certificates(tmp_path, "microscope")
    _, own = zmq.auth.create_certificates(tmp_path, "us")
    _, strange = zmq.auth.create_certificates(tmp_path, "stranger")
    (tmp_path / "us.key").rename(friends / "us.key")
    public, _ = zmq.auth.load_certificate(tmp_path / "microscope.key")
    secure = {"server_key": public.decode(), "own_keys": own}
    assert SOURCE.count(BIND) == 1
    source = SOURCE.replace(BIND, lines.replace("0.0.0.0", "127.0.0.1"))
    with served(source, tmp_path) as endpoint:
        with opened(lambda: to(endpoint, **secure)) as instrument:
            instrument.act(SHIFT)
            assert instrument.read().number("beam_shift_x_m") == 1e-9
        for wrong in ({**secure, "own_keys": strange}, {}):
            with pytest.raises(InstrumentError, match="cannot be reached"):
                to(endpoint, **{**wrong, "answer_s": 0.3}).open()


def test_it_has_no_more_than_40_lines_of_code():
    documentation = set()
    for node in ast.walk(ast.parse(SOURCE)):
        has = isinstance(node, ast.Module | ast.FunctionDef)
        if has and ast.get_docstring(node) is not None:
            text = node.body[0]
            documentation |= set(range(text.lineno, text.end_lineno + 1))
    empty = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT)
    empty += (tokenize.DEDENT, tokenize.ENDMARKER)
    tokens = tokenize.generate_tokens(io.StringIO(SOURCE).readline)
    code = {token.start[0] for token in tokens if token.type not in empty}
    assert len(code - documentation) <= 40
