"""A person marks what is going on: it becomes an event, or the answer says why not."""

import math
import threading

import pytest
import zmq

from scopeside.cli.keeping import in_words
from scopeside.errors import ConfigError
from scopeside.link import Link
from scopeside.mark import Kept, keep
from scopeside.record.settings import RecordSettings
from scopeside.supervise.marks import MAX_WAITING, Marks
from scopeside.wire import Kind

ON_EVENT = RecordSettings(mode="on_event", before_s=3, after_s=4)


class Rig:
    def __init__(self, settings=ON_EVENT, newest=None):
        self.said, self.answers = [], []
        newest = {"a": 10_000, "b": 20_000} if newest is None else newest
        self.it = Marks(
            settings,
            lambda name, kind, **header: self.said.append((name, kind, header)),
            lambda client, header: self.answers.append((client, header)),
            lambda: newest,
        )

    def refused(self, **header):
        self.it.ask(b"me", header)
        assert not self.said
        return self.answers[-1][1]["error"]


def test_a_mark_goes_to_the_collector_and_is_confirmed_when_it_is_kept():
    rig = Rig()
    rig.it.ask(b"me", {"before_s": 2.5, "after_s": None, "note": "look"})
    ((name, kind, mark),) = rig.said
    assert (name, kind, mark["acq"]) == ("collector", Kind.KEEP, "b")
    assert (mark["t_ns"], mark["note"]) == (20_000, "look")
    assert (mark["before_ns"], mark["after_ns"]) == (2_500_000_000, 4_000_000_000)
    assert not rig.answers
    rig.it.hear({"id": mark["id"], "kept": True})
    assert rig.answers == [(b"me", mark)]


def test_a_mark_that_was_not_confirmed_is_said_again_to_a_new_collector():
    rig = Rig()
    rig.it.ask(b"me", {})
    rig.it.again()
    first, second = rig.said
    assert first == second
    for _ in range(2):
        rig.it.hear({"id": first[2]["id"], "kept": True})
    assert len(rig.answers) == 1
    rig.it.again()
    assert len(rig.said) == 2


def test_a_mark_for_an_acquisition_that_has_just_ended_is_too_late():
    rig = Rig()
    rig.it.ask(b"me", {})
    rig.it.hear({"id": 1, "kept": False})
    assert rig.answers[-1][1] == {"error": "b has ended: too late"}


@pytest.mark.parametrize(
    ("settings", "newest", "said"),
    [
        (None, None, "nothing is recorded: the pipeline has no"),
        (RecordSettings(), None, "record.mode is 'all': every frame is kept anyway"),
        (ON_EVENT, {}, "no acquisition is running"),
    ],
)
def test_where_nothing_waits_for_events_this_is_said(settings, newest, said):
    assert said in Rig(settings, newest).refused()


@pytest.mark.parametrize(
    "header",
    [
        {"before_s": -1},
        {"before_s": math.nan},
        {"before_s": 3601},
        {"after_s": math.inf},
        {"after_s": "60"},
        {"after_s": True},
        {"note": 7},
        {"note": 81 * "x"},
    ],
)
def test_what_no_person_would_say_is_refused(header):
    assert "expected" in (said := Rig().refused(**header)) or "a note is text" in said


def test_marks_that_nobody_confirms_are_bounded():
    rig = Rig()
    for _ in range(MAX_WAITING + 1):
        rig.it.ask(b"me", {})
    assert len(rig.said) == MAX_WAITING
    assert "wait for the collector" in rig.answers[-1][1]["error"]


def test_the_answer_says_what_is_kept():
    said = in_words(Kept("movie-1", 1_700_000_000_250_000_000, 10, 60.5))
    assert said.startswith("movie-1: 10 s before to 60.5 s after ")
    assert said.endswith(".250000 are kept")
    assert "as all its frames are" in in_words(Kept("movie-1", 0, 10, 60))


@pytest.fixture
def engine(tmp_path):
    """Answers one request at the control socket of a run folder."""
    context = zmq.Context()
    link = Link.listen(context, f"ipc://{tmp_path}/control")
    heard = []

    def serve(answer):
        while (found := link.receive_from()) is None:
            link.socket.poll(100)
        heard.append(found[1])
        link.send(Kind.KEEP, answer, to=found[0])

    def start(answer):
        thread = threading.Thread(target=serve, args=(answer,), daemon=True)
        thread.start()
        threads.append(thread)
        return heard

    threads: list[threading.Thread] = []
    yield start
    for thread in threads:
        thread.join(5)
    link.close()
    context.destroy(linger=0)


def test_the_command_asks_the_engine(engine, tmp_path):
    mark = {"acq": "a", "t_ns": 5, "before_ns": 10**9, "after_ns": 2 * 10**9}
    heard = engine({**mark, "note": "look", "id": 1})
    found = keep(1.0, None, "look", run=tmp_path)
    assert found == Kept("a", 5, 1.0, 2.0)
    assert heard[0].kind is Kind.KEEP
    assert heard[0].header == {"before_s": 1.0, "after_s": None, "note": "look"}


def test_what_the_engine_refuses_is_told(engine, tmp_path):
    engine({"error": "nothing is recorded"})
    with pytest.raises(ConfigError, match="nothing is recorded"):
        keep(run=tmp_path)
