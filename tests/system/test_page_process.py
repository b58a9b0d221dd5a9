"""The page as a process: it may die or hang, and nothing else notices."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tests.system.engine_runs import nothing_left, pid_of, running, scopeside
from tests.system.test_run import SUM, endless, write_pipeline

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A pipeline whose processes may die once."""
    return write_pipeline(
        tmp_path,
        detector=endless(),
        chain=[{"name": "a", "processor": SUM}],
        engine={"restarts": 1},
    )


def page_of(status: dict) -> dict:
    (page,) = [one for one in status["processes"] if one["name"] == "page"]
    return page


def can_be_read(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return b"<title>scopeside</title>" in answer.read()
    except urllib.error.URLError:
        return False


def test_a_page_that_dies_comes_back_and_is_given_up_without_any_effect(
    tmp_path, pipeline
):
    arguments = ("run", pipeline, "--page", "0", "--report", "report.json")
    with running(tmp_path, *arguments) as engine:
        first = engine.until(lambda s: "page" in s["servers"], "had a page")
        where = first["servers"]["page"]
        assert can_be_read(where)
        engine.kill("page")
        again = engine.until(
            lambda s: page_of(s)["state"] == "running" and s["restarts"]["page"] == 1,
            "came back",
        )
        assert again["servers"]["page"] == where
        assert can_be_read(where)
        engine.kill("page")
        engine.until(lambda s: page_of(s)["state"] == "degraded", "gave it up")
        received = engine.status()["rates"]["frames"]
        last = engine.until(lambda s: s["rates"]["frames"] > received + 100, "went on")
        assert "page" not in last["servers"]
        engine.process.send_signal(signal.SIGINT)
        code = engine.wait()
    assert code == 130, engine.said
    assert "DEGRADED: page" in engine.said
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["closed"]
    assert "stopped by Ctrl-C" in report["exit"]["reason"]
    assert nothing_left(tmp_path) == []


def test_a_page_that_hangs_does_not_hold_up_the_end(tmp_path, pipeline):
    with running(tmp_path, "run", pipeline, "--page", "0") as engine:
        status = engine.until(
            lambda s: "page" in s["servers"] and s["rates"]["frames"], "ran"
        )
        os.kill(pid_of(status, "page"), signal.SIGSTOP)
        engine.process.send_signal(signal.SIGINT)
        code = engine.wait()
    assert code == 130, engine.said
    assert "did not end when asked" in engine.said
    assert nothing_left(tmp_path) == []


def test_the_address_of_a_page_can_be_asked_for_and_opens_it(tmp_path):
    with running(tmp_path, "page", "--port", "0") as page:
        address = ""
        ends = time.monotonic() + 60
        while not address and time.monotonic() < ends and page.process.poll() is None:
            address = scopeside(tmp_path, "page", "--address").stdout.strip()
        where, _, token = address.partition("/#token=")
        assert len(token) > 30
        assert can_be_read(where)
        port = where.rpartition(":")[2]
        refused = scopeside(tmp_path, "demo", "--page", port)
        assert refused.returncode == 2
        assert f"--page {port}" in refused.stderr
        page.process.send_signal(signal.SIGINT)
        assert page.wait() == 0
    none = scopeside(tmp_path, "page", "--address")
    assert none.returncode == 2
    assert "no page" in none.stderr
