"""Processes from the fork server: children like any other, and nothing left behind."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.engine.small import eventually

from scopeside import fork_server, plugins
from scopeside.errors import ScopesideError
from scopeside.plugins import installed
from scopeside.supervise.forks import Forks
from scopeside.supervise.member import MODULES

TOLD = "tests.engine.forked"


@pytest.fixture(scope="module")
def forks():
    found = Forks(["numpy"])
    found.prepare()
    yield found
    found.close()


def what_it_says(forked):
    """Return what a child has told of itself, once it has."""
    heard = bytearray()

    def hear():
        heard.extend(forked.stderr.read() or b"")
        return heard.endswith(b"\n")

    eventually(hear, lambda: None, "its words")
    return json.loads(heard)


def started(forks, said=b"", fds=()):
    """Start a child, hear it, and see it end."""
    forked = forks.start(TOLD, fds, said)
    found = what_it_says(forked)
    assert forked.wait() == 0
    forked.stderr.close()
    assert found["pid"] == forked.pid
    return found


@pytest.fixture
def memory():
    """Two files in memory, with something in them; the higher number first."""
    fds = [os.memfd_create("of-a-test") for _ in range(2)][::-1]
    for fd in fds:
        os.pwrite(fd, f"I am {fd}".encode(), 0)
    yield fds
    for fd in fds:
        os.close(fd)


def test_it_is_our_child_in_a_group_of_its_own(forks):
    found = started(forks)
    assert found["parent"] == os.getpid()
    assert found["group"] == found["pid"]
    assert found["name"] == "__main__"


def test_it_has_what_it_was_given_under_the_same_numbers_and_nothing_else(
    forks, memory
):
    found = started(forks, " ".join(map(str, memory)).encode(), memory)
    assert found["fds"] == sorted([0, 1, 2, *memory])
    assert found["held"] == {str(fd): f"I am {fd}"[:9] for fd in memory}


def test_numbers_that_cross_in_the_server_are_set_right(forks):
    """Wanted numbers may be those under which others have come."""
    low = [os.memfd_create("of-a-test") for _ in range(6)]
    try:
        for fds in (low, low[::-1]):
            for fd in fds:
                os.pwrite(fd, f"I am {fd:4}".encode(), 0)
            found = started(forks, " ".join(map(str, fds)).encode(), fds)
            assert found["held"] == {str(fd): f"I am {fd:4}" for fd in fds}
    finally:
        for fd in low:
            os.close(fd)


def test_it_reads_all_that_it_was_told(forks):
    assert started(forks, b"x" * 300_000)["said"] == 300_000


def test_no_two_draw_the_same_random_numbers(forks):
    assert started(forks)["number"] != started(forks)["number"]


def test_how_it_ended_is_known(forks):
    forked = forks.start(TOLD, [], b"wait")
    assert forked.poll() is None
    forked.send_signal(signal.SIGKILL)
    assert forked.wait() == forked.poll() == -signal.SIGKILL
    forked.send_signal(signal.SIGKILL)  # to nobody
    forked.stderr.close()


def test_children_outlive_the_server_and_the_next_comes_from_a_new_one(caplog):
    forks = Forks(())
    try:
        first = forks.start(TOLD, [], b"wait")
        what_it_says(first)
        server = forks._server
        server.kill()
        server.wait()
        assert first.poll() is None
        assert started(forks)["parent"] == os.getpid()
        assert "started again" in caplog.text
        assert first.poll() is None
        first.send_signal(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
        first.stderr.close()
    finally:
        forks.close()


def test_a_server_that_was_stopped_is_replaced(monkeypatch):
    monkeypatch.setattr("scopeside.supervise.forks.ANSWER_S", 30.0)
    monkeypatch.setattr("scopeside.supervise.forks.AGAIN_S", 0.2, raising=False)
    forks = Forks(())
    try:
        started(forks)
        server = forks._server
        server.send_signal(signal.SIGSTOP)
        assert started(forks)["parent"] == os.getpid()
        assert server.poll() == -signal.SIGKILL
    finally:
        forks.close()


def test_a_child_that_nobody_knows_of_takes_no_word_from_the_one_in_its_place(
    monkeypatch,
):
    """As of a server that died between the fork and its answer."""
    forks = Forks(())
    answer, answers = forks._answer, []

    def dies_once(request, fds):
        answers.append(answer(request, fds))
        return answers[-1] if len(answers) > 1 else None

    monkeypatch.setattr(forks, "_answer", dies_once)
    try:
        assert started(forks, b"x" * 300_000)["said"] == 300_000
        unknown = json.loads(answers[0])["pid"]
        assert os.waitpid(unknown, 0)[0] == unknown
    finally:
        forks.close()


def test_what_cannot_be_imported_is_said_and_does_not_hang(capfd):
    forks = Forks(["no_such_module"])
    with pytest.raises(ScopesideError, match=r"fork server .* ended"):
        forks.start(TOLD, [], b"")
    assert "no_such_module" in capfd.readouterr().err


def test_the_server_dies_with_its_parent():
    code = (
        "import os, sys, time\n"
        "from scopeside.supervise.forks import Forks\n"
        "forks = Forks(())\n"
        f"child = forks.start({TOLD!r}, [], b'')\n"
        "print(forks._server.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as one:
        server = int(one.stdout.readline())
        assert Path(f"/proc/{server}").exists()
        one.kill()
    eventually(
        lambda: not Path(f"/proc/{server}/fd").exists() or _is_dead(server),
        lambda: None,
        "the end of the server",
    )


def _is_dead(pid):
    """Whether it has ended; where nobody reaps orphans its entry stays."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        )
    except OSError:
        return True


def test_what_it_imports_starts_no_thread_and_touches_no_gpu():
    """Neither would survive a fork."""
    ours = {
        point.module for group in plugins.GROUPS for point in installed(group).values()
    }
    code = (
        "import importlib, os, sys\n"
        f"for name in {['numba', *MODULES.values(), *sorted(ours)]!r}:\n"
        "    importlib.import_module(name)\n"
        "print(len(os.listdir('/proc/self/task')), 'cupy' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout.split() == ["1", "False"]


def test_a_users_plug_in_is_not_imported_for_all():
    before = plugins.imported()
    plugins.processor_class("tests.system.plugins:Trail")
    assert plugins.imported() == before
    plugins.processor_class("virtual")
    assert "scopeside_processors.stem.virtual" in plugins.imported()


def test_a_refused_fork_is_told_with_its_reason(monkeypatch, forks):
    def refuse():
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", refuse)
    answer = fork_server._fork()
    monkeypatch.setattr(forks, "_answer", lambda *_: answer)
    with pytest.raises(OSError, match="cannot fork: Resource temporarily") as e:
        forks.start(TOLD, [], b"")
    assert e.value.errno == errno.EAGAIN
