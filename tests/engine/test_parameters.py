"""The supervisor checks a change, tries it, passes it on, and answers who asked."""

import pytest
from tests.engine.small import IMPOSSIBLE, acquisition, pipeline

from scopeside.supervise.parameters import Parameters

PIPELINE = pipeline(
    ("c", {"Counts": {"gain": 2}, "Double": {}}, {}), ("d", {"Trail": {}}, {})
)


class Rig:
    """Parameters whose adapter and clients are lists."""

    def __init__(self, running=(), ready=True):
        self.said, self.answers, self.notes = [], [], []
        self.running = [one.to_dict() for one in running]
        self.it = Parameters(
            PIPELINE,
            lambda name, kind, **header: self.said.append(header),
            lambda client, header: self.answers.append((client, header)),
            lambda who, text: self.notes.append(text),
            lambda: self.running,
        )
        if ready:
            self.it.adapter_is_there()

    def ask(self, client=b"me", processor="c.counts", **values):
        self.it.ask(client, {"processor": processor, "values": values})

    def hear(self, answer, version=2, name="c.counts", **more):
        header = {"name": name, "version": version, "answer": answer, **more}
        self.it.hear(header)

    def sent(self):
        found = [
            (one["change"]["version"], one["change"]["values"], one["tried"])
            for one in self.said
        ]
        self.said.clear()
        return found

    def state(self, name="c.counts"):
        now = self.it.status()[name]
        return now["version"], now["params"], now["waiting"]


def test_a_change_is_taken_then_holds_and_both_are_told():
    rig = Rig()
    rig.ask(gain=3)
    assert rig.sent() == [(2, {"gain": 3}, [])]
    assert rig.state() == (1, {"gain": 2}, False)
    rig.hear("taken")
    assert rig.state() == (2, {"gain": 3}, True)
    rig.hear("holds", acquisition="a", frame=7)
    assert rig.state() == (2, {"gain": 3}, False)
    assert [header["state"] for _, header in rig.answers] == ["taken", "holds"]
    assert rig.answers[-1][1]["frame"] == 7
    assert [one["frame"] for one in rig.it.log] == [7]
    assert rig.notes == [
        "c.counts: version 2 of the parameters from frame 7 of a on: gain = 3"
    ]


@pytest.mark.parametrize(
    ("processor", "values", "why"),
    [
        ("c.counts", {"gain": 77}, "c.counts.gain: found 77; expected 10 or less"),
        ("c.counts", {"gian": 3}, "c.counts.gian: key 'gian' is not known; did you"),
        ("c.counts", {"gain.x": 3}, "c.counts.gain: is no table, so 'x' is not in it"),
        ("c.counts", {"gain": IMPOSSIBLE}, "c.counts: a gain of 9 is not possible"),
        ("c.double", {}, "c.double: a processor of kind 'tests.engine.small:Double'"),
        ("c.counst", {}, "processor of chain 'c' 'counst' is not known; did you mean"),
        ("x.counts", {}, "chain 'x' is not known"),
        ("counts", {}, "chain 'counts' is not known"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(processor, values, why):
    rig = Rig(running=[acquisition()])
    rig.ask(processor=processor, **values)
    ((client, header),) = rig.answers
    assert client == b"me"
    assert header["error"].startswith(why)
    assert (rig.sent(), rig.state()) == ([], (1, {"gain": 2}, False))
    rig.ask(gain=3)
    assert rig.sent() == [(2, {"gain": 3}, ["a"])]


@pytest.mark.parametrize("header", [{}, {"processor": 1, "values": {}}, {"values": 3}])
def test_a_request_that_is_none_is_refused(header):
    rig = Rig()
    rig.it.ask(b"me", header)
    assert rig.answers == [(b"me", {"error": "expected a processor and values"})]


def test_one_change_at_a_time_is_with_the_adapter_and_builds_on_the_last():
    rig = Rig()
    rig.ask(b"1", gain=3)
    rig.ask(b"2", fail_at=5)
    assert rig.sent() == [(2, {"gain": 3}, [])]
    rig.hear("taken")
    assert rig.sent() == [(3, {"gain": 3, "fail_at": 5}, [])]
    rig.hear("taken", version=3)
    rig.hear("holds", acquisition="a", frame=4)
    rig.hear("holds", version=3, acquisition="a", frame=4)
    clients = [(client, header["state"]) for client, header in rig.answers]
    assert clients == [
        (b"1", "taken"), (b"2", "taken"), (b"1", "holds"), (b"2", "holds"),
    ]  # fmt: skip


def test_an_acquisition_that_began_meanwhile_is_tried_too():
    rig = Rig()
    rig.ask(gain=3)
    rig.sent()
    rig.hear("untried", acquisition=acquisition("b").to_dict())
    assert rig.sent() == [(2, {"gain": 3}, ["b"])]


def test_and_may_make_it_impossible():
    rig = Rig()
    rig.ask(gain=IMPOSSIBLE)
    rig.ask(b"next", gain=4)
    rig.hear("untried", acquisition=acquisition("b").to_dict())
    assert "not possible live" in rig.answers[-1][1]["error"]
    assert rig.sent()[-1] == (2, {"gain": 4}, [])


def test_a_new_adapter_is_told_all_that_was_taken_and_what_was_on_its_way():
    rig = Rig()
    rig.ask(b"1", gain=3)
    rig.hear("taken")
    rig.hear("holds", acquisition="a", frame=7)
    rig.ask(b"2", gain=4)
    rig.hear("taken", version=3)
    rig.ask(b"3", gain=5)
    rig.sent()
    rig.it.adapter_is_gone()
    rig.ask(b"4", gain=6)
    assert rig.sent() == []
    rig.it.adapter_is_there()
    assert rig.sent() == [(3, {"gain": 4}, []), (4, {"gain": 5}, [])]
    rig.hear("taken", version=3)
    rig.hear("holds", version=3, acquisition="", frame=0)
    assert rig.answers[-1] == (
        b"2",
        {
            "processor": "c.counts", "version": 3, "state": "holds",
            "acquisition": "", "frame": 0,
        },
    )  # fmt: skip
    rig.hear("taken", version=4)
    assert rig.sent() == [(5, {"gain": 6}, [])]


def test_before_the_adapter_is_ready_a_change_waits_for_it():
    rig = Rig(ready=False)
    rig.ask(gain=3)
    assert rig.sent() == []
    rig.it.adapter_is_there()
    assert rig.sent() == [(2, {"gain": 3}, [])]


def test_an_engine_that_ends_tells_those_who_wait():
    rig = Rig()
    rig.ask(b"1", gain=3)
    rig.hear("taken")
    rig.ask(b"2", gain=4)
    rig.ask(b"3", gain=5)
    rig.it.close("the engine is stopping (Ctrl-C)")
    rig.ask(b"4", gain=6)
    rig.it.end()
    errors = {client: h["error"] for client, h in rig.answers if "error" in h}
    assert errors.keys() == {b"1", b"2", b"3", b"4"}
    assert errors[b"4"] == "c.counts: the engine is stopping (Ctrl-C)"
