"""The pipeline file: each message names file, key, what was found, what is allowed."""

import re
import sys
from pathlib import Path

import pytest
from tests.engine.small import Counts, Nothing, acquisition, pipeline

from scopeside.errors import ConfigError
from scopeside.pipeline import Pipeline
from scopeside.settings import EdgePolicy

DETECTOR = '[detector]\nkind = "tests.engine.small:Nothing"\n'
CHAIN = '[[chain]]\nname = "stem"\n'
COUNTS = '[[chain.processor]]\nkind = "tests.engine.small:Counts"\n'
TRAIL = '[[chain.processor]]\nkind = "tests.engine.small:Trail"\n'
GOOD = DETECTOR + CHAIN + COUNTS


@pytest.fixture
def refused(tmp_path):
    """Return what is said of a file, without its name."""
    path = tmp_path / "pipeline.toml"

    def read(text):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(ConfigError) as caught:
            Pipeline.load(path)
        lines = str(caught.value).splitlines()
        assert all(line.startswith(f"{path}: ") for line in lines)
        return "\n".join(line.removeprefix(f"{path}: ") for line in lines)

    return read


@pytest.fixture
def loaded(tmp_path):
    def load(text):
        path = tmp_path / "pipeline.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return Pipeline.load(path)

    return load


WHOLE = "expected a whole number"
SCAN = r"expected \[rows, columns\], two whole numbers of 1 or more"
EDGE = "expected 'lossless', 'latest', 'sample:n' or 'bounded:k'"
PROCESSOR = r"chain\[0\]\.processor\[0\]"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        # keys
        ("", "detector: missing; it is required\nchain: missing"),
        (
            GOOD + "[slab]\nmb = 1",
            r"slab\.mb: .*did you mean 'mib'\? \(known: batch_kib",
        ),
        (GOOD + "[recrod]\n", r"recrod: key 'recrod' is not known"),
        (DETECTOR + CHAIN + "edg = 1\n" + COUNTS, r"chain\[0\]\.edg: .*mean 'edge'"),
        (
            GOOD + "gian = 2",
            rf"{PROCESSOR}\.gian: .*mean 'gain'\? \(known: fail_at, gain",
        ),
        (DETECTOR + "x = 1\n" + CHAIN + COUNTS, r"detector\.x: key 'x' is not known"),
        (DETECTOR + CHAIN, r"^chain\[0\]\.processor: missing; it is required$"),
        (DETECTOR + "[[chain]]\n" + COUNTS, r"^chain\[0\]\.name: missing"),
        # units and types
        (
            GOOD + "[slab]\nmib = '256 MiB'",
            rf"slab\.mib: found '256 MiB'; {WHOLE} without",
        ),
        (
            GOOD + "[slab]\nmax_latency_ms = '2 ms'",
            "max_latency_ms: found '2 ms'; expected a number without quotes or unit",
        ),
        (GOOD + "gain = 'high'", rf"{PROCESSOR}\.gain: found 'high'; {WHOLE} without"),
        (GOOD + "gain = 1.5", rf"gain: found 1\.5; {WHOLE}$"),
        (GOOD + "gain = []", rf"gain: found \[\]; {WHOLE}$"),
        (
            "detector = 'file'\n" + CHAIN + COUNTS,
            r"found 'file'; expected a table: \[detector\]",
        ),
        ("slab = 12\n" + GOOD, r"^slab: found 12; expected a table: \[slab\]$"),
        (
            DETECTOR + '[chain]\nname = "a"',
            r"^chain: .* double brackets: \[\[chain\]\]$",
        ),
        (
            DETECTOR + CHAIN + '[chain.processor]\nkind = "sum"',
            r"^chain\[0\]\.processor: .* double brackets: \[\[chain\.processor\]\]$",
        ),
        # ranges
        (GOOD + "gain = 11", r"gain: found 11; expected 10 or less"),
        (GOOD + "gain = 0", r"gain: found 0; expected 1 or more"),
        (GOOD + "[slab]\nmib = 0", r"slab\.mib: found 0; expected 1 or more"),
        (GOOD + "[slab]\nmax_latency_ms = 0", r"found 0; expected more than 0"),
        (GOOD + "[slab]\nmax_latency_ms = nan", r"found nan; expected a finite number"),
        (
            GOOD + "[results]\nport = 99999",
            r"results\.port: found 99999; .*65535 or less",
        ),
        (
            GOOD + "[slab]\nmib = 2\nbatch_kib = 1024",
            r"^slab\.batch_kib = 1024 needs slab\.mib of at least 4",
        ),
        # the scan
        (GOOD + "[acquisition]\nscan = [0, 256]", rf"scan: found \[0, 256\]; {SCAN}"),
        (GOOD + "[acquisition]\nscan = [256]", rf"scan: found \[256\]; {SCAN}"),
        (GOOD + "[acquisition]\nscan = [2, 2, 2]", rf"found \[2, 2, 2\]; {SCAN}"),
        (GOOD + "[acquisition]\nscan = '256x256'", rf"found '256x256'; {SCAN}"),
        (GOOD + "[acquisition]\nscan = [1.5, 2]", rf"found \[1\.5, 2\]; {SCAN}"),
        (GOOD + "[acquisition]\nscan = [true, 2]", rf"found \[true, 2\]; {SCAN}"),
        (
            GOOD + "[acquisition]\nflyback = -1",
            r"flyback: found -1; expected 0 or more",
        ),
        (
            GOOD + "[acquisition]\nkind = '4dstem'",
            "kind: found '4dstem'; expected 'scan4d', 'movie', 'spectrum_image' or",
        ),
        (
            GOOD + "[acquisition]\npattern = 'zigzag'",
            "expected 'raster', 'snake' or 'positions'",
        ),
        # chains
        (
            GOOD + CHAIN + COUNTS,
            r"^chain: two chains are called 'stem'; names must differ$",
        ),
        (
            DETECTOR + "[[chain]]\nname = 'my chain'\n" + COUNTS,
            r"found 'my chain'; .*no spaces",
        ),
        (
            GOOD + COUNTS,
            r"processor\[1\]\.name: two processors of chain 'stem' .*'counts'",
        ),
        (DETECTOR + CHAIN + "edge = 'lossles'\n" + COUNTS, f"found 'lossles'; {EDGE}"),
        (
            DETECTOR + CHAIN + "edge = 'sample:0'\n" + COUNTS,
            f"found 'sample:0'; {EDGE}",
        ),
        (DETECTOR + CHAIN + "edge = 3\n" + COUNTS, f"found 3; {EDGE}"),
        (
            DETECTOR + CHAIN + "device = 'cuda'\n" + COUNTS,
            "'cuda'; expected 'auto', 'cpu', 'gpu'",
        ),
        (
            DETECTOR + CHAIN + "workers = 0\n" + COUNTS,
            "workers: found 0; expected 1 or more",
        ),
        (
            DETECTOR + CHAIN + "workers = 2\n" + COUNTS + TRAIL,
            r"chain\[0\]\.workers: found 2; 'trail' needs its frames in order, so the "
            "chain can have one worker only",
        ),
        # plug-ins
        (
            '[detector]\nkind = "simulater"\n' + CHAIN + COUNTS,
            r"detector\.kind: detector 'simulater' is not known; .* mean 'simulator'",
        ),
        (
            DETECTOR + CHAIN + '[[chain.processor]]\nkind = "virtul"',
            rf"{PROCESSOR}\.kind: processor 'virtul' is not known; .* mean 'virtual'\? "
            r"\(known: .*sum.*\); your own: 'package\.module:Class'",
        ),
        (
            DETECTOR + CHAIN + "[[chain.processor]]\nname = 'x'",
            rf"{PROCESSOR}\.kind: missing",
        ),
        (DETECTOR + CHAIN + "[[chain.processor]]\nkind = ''", "text that is not empty"),
        (
            "[detector]\nkind = 5\n" + CHAIN + COUNTS,
            "kind: found 5; expected text in quotes",
        ),
        (
            GOOD + "[record]\nbefore_s = 3",
            r"^record: before_s: only with mode = 'on_event'",
        ),
        (
            GOOD + "[control]\nmode = 'armed'",
            r"^control: mode = 'armed' needs an adapter; without, observe",
        ),
        (
            GOOD + "[control.limits.set_defocus]\nevery_s = 1.0",
            r"^control: limits.set_defocus: defocus_m has no limits",
        ),
        # the file itself
        (
            (GOOD + "# µm").encode("latin-1"),
            r"not UTF-8 text \(line 7 holds the byte 0xb5\)",
        ),
        (GOOD.encode("utf-16"), "^is UTF-16 text; save it as UTF-8$"),
        (GOOD.encode("utf-16-be"), "^is UTF-16 text; save it as UTF-8$"),
        (
            DETECTOR + "device = cpu",
            r"is not TOML: .*line 3, column 10\): device = cpu$",
        ),
    ],
)
def test_a_wrong_file_is_refused_in_words(refused, text, says):
    found = refused(text)
    assert re.search(says, found), found


def test_everything_that_is_wrong_is_said_at_once(refused):
    text = DETECTOR + CHAIN + "edge = 'x'\nworkers = 0\n" + COUNTS + "[slab]\nmb = 2"
    assert len(refused(text).splitlines()) == 3


def test_a_long_value_is_shortened(refused):
    said = refused(GOOD + f"gain = '{'x' * 500}'")
    assert len(said) < 250


@pytest.mark.parametrize(
    ("path", "why"), [("/nowhere.toml", "No such file"), ("/", "Is a dir")]
)
def test_a_file_that_cannot_be_read_says_why(path, why):
    with pytest.raises(ConfigError, match=f"{path}: cannot be read: {why}"):
        Pipeline.load(Path(path))


def test_a_good_file_is_understood(loaded, tmp_path):
    found = loaded(
        GOOD
        + "gain = 3\n"
        + "[[chain]]\nname = 'live'\nedge = 'sample:4'\n"
        + TRAIL
        + "name = 'path'\n[acquisition]\nscan = [4, 5]\nflyback = 1\n"
    )
    assert found.detector_cls.__qualname__ == Nothing.__qualname__
    assert found.folder == tmp_path
    assert found.acquisition.scan_of().frames == 24
    stem, live = found.chains
    assert (stem.steps[0].name, stem.steps[0].params.gain) == ("counts", 3)
    assert stem.steps[0].cls.__qualname__ == Counts.__qualname__
    assert (live.edge, live.ordered, live.steps[0].name) == (
        EdgePolicy(policy="sample", number=4),
        True,
        "path",
    )
    assert found.chain("live") is live


def test_the_mark_that_some_editors_put_first_is_no_offence(loaded):
    assert loaded("\ufeff" + GOOD).chains


def test_lines_may_end_as_on_windows(loaded):
    assert loaded(GOOD.replace("\n", "\r\n").encode()).chains


def test_a_plug_in_may_lie_beside_the_file(loaded, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "beside_the_file.py").write_text(
        "from tests.engine.small import Counts\nclass Mine(Counts):\n    pass\n"
    )
    text = DETECTOR + CHAIN + '[[chain.processor]]\nkind = "beside_the_file:Mine"\n'
    assert loaded(text).chains[0].steps[0].name == "mine"


@pytest.mark.parametrize("text", ["lossless", "latest", "sample:1", "bounded:999999"])
def test_an_edge_is_written_as_it_is_read(text):
    assert str(EdgePolicy.parse(text)) == text
    assert EdgePolicy.parse(EdgePolicy.parse(text)) == EdgePolicy.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sample",
        "sample:",
        "sample:-1",
        "sample:1.5",
        "bounded:0",
        "sample:01",
        None,
    ],
)
def test_an_edge_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="expected 'lossless'"):
        EdgePolicy.parse(text)


@pytest.mark.parametrize("kind", ["Trail", "Excess"])
def test_one_worker_is_right_for_an_ordered_chain(kind):
    assert pipeline(("a", {kind: {}}, {"workers": 1})).chains[0].ordered


def test_the_settings_win_over_what_the_detector_says(loaded):
    text = (
        GOOD + "[acquisition]\nscan = [2, 3]\ncalibration = { beam_energy_eV = 3e5 }\n"
    )
    said = acquisition(
        frames=99, calibration={"beam_energy_eV": 1, "centre_px": [1, 2]}
    )
    found = loaded(text).acquisition.complete(said)
    assert (found.frames, found.kind, found.scan_shape) == (6, "scan4d", (2, 3))
    assert found.calibration == {"beam_energy_eV": 3e5, "centre_px": [1, 2]}
