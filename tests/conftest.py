"""Options of the whole test suite."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine makes hypothesis call its own generation too slow; no test of ours
# asserts a time.
settings.register_profile(
    "scopeside",
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("scopeside")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give processes that share the tests short folders: sockets are made in them.

    The path of a socket has 107 bytes at most, and pytest-xdist makes it longer.
    """
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        name = f"s-{worker['testrunuid'][:8]}-{worker['workerid']}"
        config.option.basetemp = str(Path(tempfile.gettempdir()) / name)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remove such a folder, unless there is something to look at in it."""
    if hasattr(session.config, "workerinput") and exitstatus == 0:
        shutil.rmtree(session.config.option.basetemp, ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills",
        type=int,
        default=1,
        help="how often each process is killed in tests/faults (default 1)",
    )


SYSTEM = "mark.system"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files that start no engine where only those that do are asked for.

    To collect all takes ten seconds of a core, twice that in a new clone.
    """
    if config.option.markexpr != "system" or not collection_path.match("test_*.py"):
        return None
    return SYSTEM not in collection_path.read_text() or None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kill" in metafunc.fixturenames:
        metafunc.parametrize("kill", range(metafunc.config.getoption("--kills")))


ORIX = re.compile(r"test_stem_(calibrate|orientation|radial)")
"""These load orix, whose compiled functions spoil their own cache, and with it every
later import, if two processes compile them at the same time."""


LONG = re.compile(r"/(cuda|processors|peers/test_stem_)")
"""These compile kernels for a minute: they begin first, so that all end together."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.search(item.path.as_posix()) is None)
    for item in items:
        # Processes that share the tests take a file each.
        group = "orix" if ORIX.match(item.path.stem) else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
        if item.get_closest_marker("system") and SYSTEM not in item.path.read_text():
            message = f"{item.path} has to name {SYSTEM}: else it is never collected"
            raise pytest.UsageError(message)
    # Whole engines, real sockets and other people's programs on a machine that does
    # other things too: about one start in 150 has hung, and the cause is not found. A
    # test that fails twice in a row still fails. The summary lists every rerun: each is
    # a bug of the test or of the product that is still to be found.
    for item in items:
        of_adapters = "adapters" in item.path.parts
        marked = any(
            item.get_closest_marker(name) for name in ("system", "peers", "browser")
        )
        if of_adapters or marked:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder for sockets: the path of one has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="s-") as folder:
        yield Path(folder)
