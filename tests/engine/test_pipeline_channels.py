"""``[[channel]]`` tables: what is taken, and what is said of the others."""

import pytest
from tests.engine.small import raw

from scopeside.errors import ConfigError
from scopeside.pipeline import Pipeline
from scopeside.preflight import problems


def with_channels(*tables):
    return {
        **raw(("a", {"Counts": {}}, {})),
        "channel": [
            {"name": "t", "kind": "tests.engine.small:Mute", "tolerance_s": 1, **more}
            for more in tables
        ],
    }


def test_a_channel_is_loaded_with_its_own_keys(tmp_path):
    found = Pipeline.from_raw(with_channels({"complaint": "so"}), folder=tmp_path)
    (channel,) = found.channels
    assert (channel.settings.name, channel.settings.join) == ("t", "previous")
    assert channel.settings.tolerance_ns == 1_000_000_000
    assert channel.source().check() == ["so"]
    assert "channel[0] (t): so" in problems(found)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (
            {"tolerance_s": 0},
            r"channel\[0\].tolerance_s: found 0; expected more than 0",
        ),
        ({"join": "next"}, r"channel\[0\].join: found 'next'; expected 'previous', "),
        ({"name": "a b"}, r"channel\[0\].name: found 'a b'; expected a letter"),
        ({"kind": "cvs"}, r"channel\[0\].kind: channel 'cvs' is not .* mean 'csv'"),
        ({"tolerence_s": 1}, r"key 'tolerence_s' is not known; .* mean 'tolerance_s'"),
        ({"complain": "x"}, r"key 'complain' is not known; did you mean 'complaint'"),
        ({"complaint": 5}, r"channel\[0\].complaint: found 5; expected text"),
        ({"wait_s": 60}, r"channel\[0\].wait_s: found 60; expected 5 or less"),
        ({"required": "yes!"}, r"channel\[0\].required: found 'yes!'; expected true"),
        ({"kind": "tests.engine.small:Counts"}, "Counts' lacks run, check"),
    ],
)
def test_what_is_wrong_with_a_channel_is_said(tmp_path, table, says):
    with pytest.raises(ConfigError, match=says):
        Pipeline.from_raw(with_channels(table), folder=tmp_path)


def test_channels_have_names_of_their_own(tmp_path):
    with pytest.raises(
        ConfigError, match=r"channel\[1\].name: two channels are called"
    ):
        Pipeline.from_raw(with_channels({}, {}), folder=tmp_path)


def test_no_chain_takes_the_place_of_channels(tmp_path):
    table = {**with_channels({}), **raw(("channels", {"Counts": {}}, {}))}
    table["channel"] = with_channels({})["channel"]
    with pytest.raises(ConfigError, match=r"chain\[0\].name: 'channels' is where"):
        Pipeline.from_raw(table, folder=tmp_path)
    Pipeline.from_raw(raw(("channels", {"Counts": {}}, {})), folder=tmp_path)


def test_a_channel_without_tolerance_is_refused(tmp_path):
    table = with_channels({})
    del table["channel"][0]["tolerance_s"]
    with pytest.raises(ConfigError, match=r"channel\[0\].tolerance_s: missing"):
        Pipeline.from_raw(table, folder=tmp_path)
