"""`check_processor` finds the law that a processor breaks: one breaker for each."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from scopeside.errors import ShapeError
from scopeside.params import Params as BaseParams
from scopeside.processor import Order
from scopeside.result import Result, invalid
from scopeside.state import pack, unpack
from scopeside.testing import check_processor

FRAMES = np.random.default_rng(2024).poisson(3, (6, 4, 5)).astype(np.uint16)


class Total:
    """Keeps all the laws: the counts of all frames together."""

    order = Order.ANY
    Params: ClassVar = BaseParams

    def __init__(self, acquisition, params, device="cpu"):
        self.total, self.used, self.last = 0, 0, -1

    def process(self, batch):
        self.total += int(batch.pixels.sum())
        self.used += len(batch)
        self.last = max([self.last, *batch.index.tolist()])

    def results(self):
        if not self.used:
            return [invalid("total", "no frame yet")]
        data = np.array([self.total])
        return [Result("total", data, "series", frame=self.last, used=self.used)]

    def merge(self, other):
        self.total += other.total
        self.used += other.used
        self.last = max(self.last, other.last)

    def snapshot(self):
        return pack({"state": [self.total, self.used, self.last]})

    def restore(self, state):
        self.total, self.used, self.last = unpack(state)["state"]


class Change:
    """ORDERED, keeps all the laws: the change of the counts from frame to frame."""

    order = Order.ORDERED
    Params: ClassVar = BaseParams

    def __init__(self, acquisition, params, device="cpu"):
        self.before, self.found = 0, []

    def process(self, batch):
        self.found = []
        for index, frame in zip(batch.index.tolist(), batch.pixels, strict=True):
            counts = int(frame.sum())
            change = counts - self.before
            self.found.append(Result("change", change, "scalar", frame=index, used=1))
            if change > 0:
                self.found.append(Result("rise", {}, "event", frame=index, used=1))
            self.before = counts

    def results(self):
        return list(self.found)

    def snapshot(self):
        return pack({"before": self.before})

    def restore(self, state):
        self.before = unpack(state)["before"]


class Excess:
    """KEYED, keeps all the laws: the counts beyond those of the first three frames."""

    order = Order.KEYED
    Params: ClassVar = BaseParams

    def __init__(self, acquisition, params, device="cpu"):
        self.frames = acquisition.frames
        self.values, self.first, self.waiting = {}, [], []

    def process(self, batch):
        for index, frame in zip(batch.index.tolist(), batch.pixels, strict=True):
            counts = int(frame.sum())
            self.waiting.append([index, counts])
            if len(self.first) < 3:
                self.first.append(counts)
        self.work_off()

    def work_off(self):
        if len(self.first) == 3:
            self.values |= {k: counts - sum(self.first) for k, counts in self.waiting}
            self.waiting = []

    def results(self):
        if not self.values:
            return [invalid("excess", "the first frames are lacking")]
        data = np.array([self.values.get(k, 0) for k in range(self.frames)])
        last, used = max(self.values), len(self.values)
        return [Result("excess", data, "series", frame=last, used=used)]

    def merge(self, other):
        self.values |= other.values
        self.resume(other.context())

    def snapshot(self):
        values = [list(self.values), list(self.values.values())]
        return pack({"values": values, "context": self.context()})

    def restore(self, state):
        found = unpack(state)
        self.values = dict(zip(*found["values"], strict=True))
        self.resume(found["context"])

    def context(self):
        return pack({"first": self.first, "waiting": self.waiting})

    def resume(self, context):
        found = unpack(context)
        self.first, self.waiting = found["first"], found["waiting"]


class Scaled(Total):
    """Keeps the laws of those that can change: the counts times a factor."""

    class Params(BaseParams):
        factor: int = 2

    def __init__(self, acquisition, params, device="cpu"):
        super().__init__(acquisition, params)
        self.factor = params.factor

    def process(self, batch):
        before = self.total
        super().process(batch)
        self.total = before + (self.total - before) * self.factor

    def change(self, params):
        self.factor = params.factor


class ScaledExcess(Excess):
    Params = Scaled.Params

    def __init__(self, acquisition, params, device="cpu"):
        super().__init__(acquisition, params)
        self.factor = params.factor

    def process(self, batch):
        factor = self.factor
        super().process(batch.with_pixels(batch.pixels * np.uint16(factor)))

    def change(self, params):
        self.factor = params.factor


class ChangesWhatItHasSeen(Scaled):
    def results(self):
        found = super().results()
        return [replace(r, data=r.data * self.factor) if r.valid else r for r in found]

    def merge(self, other):
        super().merge(other)
        self.total += self.factor - other.factor


class KeepsTheOldParameters(Scaled):
    def snapshot(self):
        return pack({"state": [self.total, self.used, self.last, self.factor]})

    def restore(self, state):
        *found, self.factor = unpack(state)["state"]
        self.total, self.used, self.last = found
        self.factor = 2


class BeginsAnewWhenChanged(Scaled):
    def change(self, params):
        self.total = 0


class ForgetsWhatItLearnt(Excess):
    def resume(self, context):
        pass


class ForgetsThoseThatWait(Excess):
    def context(self):
        return pack({"first": self.first, "waiting": []})


class KeepsItsOwnContext(Excess):
    def merge(self, other):
        self.values |= other.values
        if not self.first:
            self.resume(other.context())


class GivesItsContextAsText(Excess):
    def context(self):
        return super().context().decode("latin-1")

    def resume(self, context):
        super().resume(context.encode("latin-1"))


class WritesIntoFrames(Total):
    def process(self, batch):
        super().process(batch)
        batch.pixels[:1] = 0


class TotalOfEvents(Total):
    def process_events(self, batch):
        self.total += int(batch.value.sum())
        self.used += len(batch)
        self.last = max([self.last, *batch.index.tolist()])


class ChangeOfEvents(Change):
    def process_events(self, batch):
        self.process(batch.dense())


class CountsHits(TotalOfEvents):
    def process_events(self, batch):
        super().process_events(batch.with_words(batch.words | np.uint64(1 << 24)))


class LeavesEmptyFramesOut(TotalOfEvents):
    def process_events(self, batch):
        self.used -= len(batch) - len(np.unique(batch.place))
        super().process_events(batch)


class WritesIntoEvents(TotalOfEvents):
    def process_events(self, batch):
        super().process_events(batch)
        if batch.words.flags.writeable:
            batch.words[:1] = 0


class CountsBatchesOfEvents(TotalOfEvents):
    def process_events(self, batch):
        super().process_events(batch)
        self.total += 0 if len(batch) < 2 else 1


class CountsBatches(Total):
    def process(self, batch):
        super().process(batch)
        self.total += len(batch) > 0


class CountsEmptyBatches(Total):
    def process(self, batch):
        super().process(batch)
        self.total += len(batch) == 0


class ClaimsFramesWithoutAny(Total):
    def results(self):
        return [Result("total", np.array([self.total]), used=1)]


class TakesTheIndexForTheNumber(Total):
    def process(self, batch):
        super().process(batch)
        self.used = self.last + 1


class ClearsWhenAsked(Total):
    def results(self):
        found = super().results()
        self.total = 0
        return found


class GivesItsOwnMemoryAway(Total):
    def __init__(self, *args):
        super().__init__(*args)
        self.shared = np.zeros(1, np.int64)

    def results(self):
        self.shared[0] = self.total
        return [Result("total", self.shared, frame=self.last, used=self.used)]


class ForgetsInItsSnapshot(Total):
    def restore(self, state):
        super().restore(state)
        self.total = 0


class SnapshotsText(Total):
    def snapshot(self):
        return "state"


class ForgetsTheOther(Total):
    def merge(self, other):
        self.used += other.used
        self.last = max(self.last, other.last)


class KeepsTheFirstFrame(Total):
    def process(self, batch):
        if not self.used:
            self.total = int(batch.pixels[:1].sum())
        self.used += len(batch)
        self.last = max([self.last, *batch.index.tolist()])


class SeesOnlyTheEndOfABatch(Change):
    def process(self, batch):
        super().process(batch)
        self.found = self.found[-1:]


class ForgetsTheFrameBefore(Change):
    def process(self, batch):
        self.before = 0
        super().process(batch)


class RestoresNothing(Change):
    def restore(self, state):
        pass


@pytest.mark.parametrize("cls", [Total, Change, Excess, TotalOfEvents, ChangeOfEvents])
@pytest.mark.parametrize("frames", [FRAMES, FRAMES.reshape(2, 3, 4, 5)])
def test_a_lawful_processor_passes(cls, frames):
    check_processor(cls, frames)


@pytest.mark.parametrize(
    ("cls", "law"),
    [
        (WritesIntoFrames, "frames are left as they were"),
        (CountsBatches, "how frames are cut into batches does not matter"),
        (SeesOnlyTheEndOfABatch, "how frames are cut .*the event rise .* is lost"),
        (ForgetsTheFrameBefore, "how frames are cut into batches does not matter"),
        (CountsEmptyBatches, "an empty batch changes nothing"),
        (ClaimsFramesWithoutAny, "an empty batch changes nothing"),
        (TakesTheIndexForTheNumber, "gaps between frames are survived"),
        (ClearsWhenAsked, "asking for results changes nothing"),
        (GivesItsOwnMemoryAway, "asking for results changes nothing .* given out"),
        (ForgetsInItsSnapshot, r"restore\(snapshot\(\)\) is invisible"),
        (SnapshotsText, r"restore\(snapshot\(\)\) is invisible \(it is str\)"),
        (RestoresNothing, r"restore\(snapshot\(\)\) is invisible"),
        (ForgetsTheOther, "two halves merged equal the whole"),
        (CountsHits, "events bring what the frames made of them bring"),
        (LeavesEmptyFramesOut, r"events bring .*\(total stands on 3\)"),
        (WritesIntoEvents, "frames are left as they were.* with events"),
        (CountsBatchesOfEvents, "how frames are cut .* with events"),
        (ForgetsWhatItLearnt, r"restore\(snapshot\(\)\) is invisible"),
        (ForgetsThoseThatWait, r"restore\(snapshot\(\)\) is invisible"),
        (KeepsItsOwnContext, r"parts merged .* \(excess.*commits at .*restarted"),
        (GivesItsContextAsText, r"parts merged in order equal the whole \(str"),
        (KeepsTheFirstFrame, "two halves merged equal the whole"),
    ],
)
def test_a_broken_law_is_named(cls, law):
    with pytest.raises(AssertionError, match=f"law: {law}"):
        check_processor(cls, FRAMES)


@pytest.mark.parametrize("cls", [Scaled, ScaledExcess])
def test_a_lawful_processor_that_can_change_passes(cls):
    check_processor(cls, FRAMES, changed={"factor": 3})


@pytest.mark.parametrize(
    ("cls", "law"),
    [
        (ChangesWhatItHasSeen, "a change is made at its frame, .* merged, late"),
        (KeepsTheOldParameters, "a change is made at its frame, .* snapshot after it"),
        (BeginsAnewWhenChanged, "a change is made at its frame, .* to the same"),
        (Total, r"a change is made at its frame, .* \(it has no method change"),
    ],
)
def test_a_broken_law_of_changes_is_named(cls, law):
    changed = {"factor": 3} if issubclass(cls, Scaled) else {}
    with pytest.raises(AssertionError, match=f"law: {law}"):
        check_processor(cls, FRAMES, changed=changed)


def test_the_bits_of_floats_are_compared():
    class Mean(Total):
        def process(self, batch):
            self.total += float(np.float64(batch.pixels.mean() * len(batch) / 3))
            self.used += len(batch)
            self.last = max([self.last, *batch.index.tolist()])

    with pytest.raises(AssertionError, match=r"total\.data"):
        check_processor(Mean, np.random.default_rng(1).normal(size=(7, 4, 5)))


def test_too_few_frames_prove_nothing():
    with pytest.raises(ShapeError, match="need 4 frames"):
        check_processor(Total, FRAMES[:3])
