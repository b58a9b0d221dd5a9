"""docs/security.md says what is true: roles, numbers, and the steps."""

import re
import shlex
import tomllib
from contextlib import ExitStack
from pathlib import Path

import pytest
import zmq
from typer.testing import CliRunner

from scopeside.cli.main import app
from scopeside.collect.publisher import LARGEST_SUBSCRIPTION, Publisher
from scopeside.control.door_settings import DoorSettings
from scopeside.pipeline import Pipeline
from scopeside.security import crowd, entrance, http
from scopeside.security.ring import ROLES
from scopeside.subscribe import subscribe
from scopeside.supervise.engine import RESULTS_PORT
from scopeside.supervise.session import METRICS_PORT
from scopeside_adapters.channels.wire import MAX_MESSAGE
from scopeside_adapters.zmq.source import ZmqParams

PAGE = Path(__file__).parents[2] / "docs/security.md"
TEXT = PAGE.read_text(encoding="utf-8")
ELSEWHERE = "192.168.1.5"
PATIENCE_MS = 20_000


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_every_role_is_in_the_table_and_no_other():
    assert set(re.findall(r"^\| `([a-z]+)` \| ", TEXT, re.MULTILINE)) == set(ROLES)


@pytest.mark.parametrize(
    "said",
    [
        f"{crowd.MOST_OF_ONE} links and {crowd.MOST_NEW_PER_S} new ones a second",
        f"{crowd.MOST_LINKS} of all",
        f"{crowd.MOST_OF_ONE} of one address at most, {crowd.MOST_LINKS} of all",
        f"is not made within {entrance.HANDSHAKE_MS // 1000} s is cut",
        f"{http.LARGEST_BODY >> 10} KiB of a body",
        f"{http.LARGEST_LINE >> 10} KiB of a line, {http.REQUEST_S:g} s, "
        f"{http.MOST_REQUESTS} at once",
        f"{LARGEST_SUBSCRIPTION >> 10} KiB of a subscription",
        f"`max_message_mib` ({ZmqParams().max_message_mib}) a part",
        f"`plaintext = true` | {MAX_MESSAGE >> 10} KiB; 1000 wait",
        f"port {RESULTS_PORT}",
        f"port {METRICS_PORT}",
        "`max_message_bytes` "
        f"({DoorSettings.model_fields['max_message_bytes'].default >> 10} KiB)",
    ],
)
def test_every_number_is_the_one_in_the_code(said):
    assert said in " ".join(TEXT.split())


def test_the_steps_lead_to_results_on_another_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in blocks("")[0].splitlines():
        words = shlex.split(line.removeprefix("$ scopeside "))
        assert CliRunner().invoke(app, words).exit_code == 0
    (pipeline,) = blocks("toml")
    found = Pipeline.from_raw(tomllib.loads(pipeline), folder=tmp_path, source="page")
    assert found.detector_params.bind == f"tcp://{ELSEWHERE}:5555"
    assert found.results.bind == f"tcp://{ELSEWHERE}:8768"
    with ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        publisher = Publisher(context, [f"ipc://{tmp_path}/r"], "collector#1")
        stack.callback(publisher.close)
        where = publisher.open_to("tcp://127.0.0.1:0", found.results.keys)
        stack.enter_context(subscribe(where, keys="keys/laptop.key_secret"))
        assert publisher.socket.poll(PATIENCE_MS)


def test_a_producer_of_one_s_own_gets_in_as_the_page_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["keys", "new", "camera", "--role", "ingest"]
    assert CliRunner().invoke(app, command).exit_code == 0
    names = {}
    exec(blocks("python")[1], names)
    with ExitStack() as stack:
        from scopeside_adapters.zmq.receiver import Receiver

        receiver = stack.enter_context(
            Receiver(
                "tcp://127.0.0.1:0", rcvhwm=8, largest_part=1024, keys=Path("keys")
            )
        )
        context = zmq.Context()
        stack.callback(context.destroy, linger=0)
        socket = context.socket(zmq.PUSH)
        names["with_keys"](socket, "keys/camera.key_secret")
        socket.connect(receiver.endpoint)
        socket.send(b"hello")
        (part,) = receiver.receive(PATIENCE_MS)
        assert bytes(part) == b"hello"
