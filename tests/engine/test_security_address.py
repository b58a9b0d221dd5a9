"""Which addresses are of this machine only, and which may be listened at."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside.bluesky.plan_wire import checked_endpoint
from scopeside.errors import ConfigError
from scopeside.messages import validate
from scopeside.security.address import checked_bind, of_this_machine, tcp_of
from scopeside.security.bulk import check_border, plaintext_note
from scopeside.settings import ResultsSettings
from scopeside_adapters.channels.zmq_samples import ZmqSamplesParams
from scopeside_adapters.microscope.temscript.parameters import TemscriptParams
from scopeside_adapters.microscope.zmq import ZmqControlParams
from scopeside_adapters.simulator.control import check_endpoint
from scopeside_adapters.zmq.source import ZmqParams

OURS = [
    "tcp://127.0.0.1:5555",
    "tcp://127.0.0.1:*",
    "tcp://127.8.9.10:1",
    "tcp://[::1]:5555",
    "tcp://[::ffff:127.0.0.1]:5555",
    "ipc:///run/user/1000/x",
    "ipc://x",
]
OPEN = [
    "tcp://*:5555",
    "tcp://0.0.0.0:5555",
    "tcp://[::]:5555",
    "tcp://[::ffff:0.0.0.0]:5555",
    "tcp://224.0.0.1:5555",
]
OTHERS = [
    "tcp://192.168.1.5:5555",
    "tcp://[fd00::7]:5555",
    "tcp://[::ffff:10.0.0.1]:5555",
    "tcp://8.8.8.8:1",
]
NAMES = [
    "tcp://localhost:5555",
    "tcp://localhost.evil.example:5555",
    "tcp://127.0.0.1.evil.example:5555",
    "tcp://em-pc:5555",
    "tcp://eth0:5555",
    "tcp://127.1:5555",
    "tcp://2130706433:5555",
    "tcp://0x7f000001:5555",
]
NONSENSE = [
    "",
    "127.0.0.1:5555",
    "tcp://127.0.0.1",
    "tcp://127.0.0.1:70000",
    "tcp://127.0.0.1:5555\n",
    " tcp://127.0.0.1:5555",
    "tcp://10.0.0.1:0;127.0.0.1:5555",
    "tcp://127.0.0.1:5555@10.0.0.1:1",
    "tcp://user@127.0.0.1:5555",
    "udp://127.0.0.1:5555",
    "ws://127.0.0.1:5555",
    "pgm://127.0.0.1:5555",
    "TCP://127.0.0.1:5555",
    "ipc://",
    "ipc://@abstract",
]


@pytest.mark.parametrize("endpoint", OURS)
def test_loopback_and_paths_are_of_this_machine(endpoint):
    assert of_this_machine(endpoint)
    assert checked_bind(endpoint) == endpoint


@pytest.mark.parametrize("endpoint", [*OPEN, *OTHERS, *NAMES, *NONSENSE])
def test_everything_else_is_not(endpoint):
    assert not of_this_machine(endpoint)


@pytest.mark.parametrize("endpoint", OPEN)
def test_all_addresses_at_once_are_refused(endpoint):
    with pytest.raises(ValueError, match="names one address of this machine, not all"):
        checked_bind(endpoint)


@pytest.mark.parametrize("endpoint", OTHERS)
def test_one_address_of_a_network_can_be_listened_at(endpoint):
    assert checked_bind(endpoint) == endpoint


@pytest.mark.parametrize("endpoint", NAMES)
def test_a_name_is_refused_whatever_it_resolves_to(endpoint, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", None)  # it would be an error to ask
    with pytest.raises(ValueError, match=r"address as a number.*never a name"):
        checked_bind(endpoint)


@pytest.mark.parametrize("endpoint", NONSENSE)
def test_what_is_no_address_is_refused(endpoint):
    with pytest.raises(ValueError, match=r"it is '(tcp://ADDRESS:PORT|ipc://PATH)'"):
        checked_bind(endpoint)


def test_an_abstract_socket_is_refused_for_it_lies_in_no_folder():
    with pytest.raises(ValueError, match="every user of this machine could take it"):
        checked_bind("ipc://@scope")


def test_a_path_that_the_kernel_would_cut_is_refused():
    with pytest.raises(ValueError, match="107 bytes"):
        checked_bind("ipc:///" + "x" * 107)


@given(st.text(max_size=60))
def test_no_text_is_of_this_machine_but_loopback(text):
    for endpoint in (text, f"tcp://{text}", f"tcp://{text}:5555"):
        if of_this_machine(endpoint) and not endpoint.startswith("ipc://"):
            assert tcp_of(endpoint).numeric.is_loopback


# -- frames, samples, results --------------------------------------------------------


@pytest.mark.parametrize("params", [ZmqParams, ZmqSamplesParams])
def test_taking_in_from_elsewhere_needs_keys(params):
    with pytest.raises(ConfigError) as refused:
        validate(params, {"bind": "tcp://192.168.1.5:5555"}, where="detector")
    assert (
        "bind = 'tcp://192.168.1.5:5555': other machines could reach it; that needs "
        "keys = 'FOLDER', which scopeside keys new NAME --role ingest makes"
    ) in str(refused.value)


@pytest.mark.parametrize("params", [ZmqParams, ZmqSamplesParams])
def test_keys_or_the_plain_word_open_it(params, tmp_path):
    assert params(bind="tcp://192.168.1.5:5555", keys=tmp_path)
    assert params(bind="tcp://192.168.1.5:5555", plaintext=True)
    with pytest.raises(ConfigError, match=r"keys and plaintext = true: choose one"):
        validate(params, {"keys": str(tmp_path), "plaintext": True}, where="detector")
    with pytest.raises(ConfigError, match="keys are for tcp://, and bind is ipc://"):
        validate(params, {"bind": "ipc://x", "keys": "keys"}, where="detector")


def test_plaintext_does_not_open_all_addresses():
    with pytest.raises(ConfigError, match="not all of them"):
        validate(
            ZmqParams, {"bind": "tcp://*:5555", "plaintext": True}, where="detector"
        )


def test_samples_of_another_machine_are_not_fetched():
    with pytest.raises(ConfigError, match=r"other machines could reach it.*tunnel"):
        validate(
            ZmqSamplesParams, {"connect": "tcp://10.0.0.7:5556"}, where="channel[0]"
        )
    with pytest.raises(ConfigError, match="keys and plaintext go with bind"):
        validate(
            ZmqSamplesParams,
            {"connect": "tcp://127.0.0.1:5556", "plaintext": True},
            where="channel[0]",
        )


def test_an_open_address_is_said_loudly_and_one_of_this_machine_is_not():
    said = plaintext_note("frames", "tcp://192.168.1.5:5555")
    assert said.startswith("PLAINTEXT: frames at tcp://192.168.1.5:5555 come without")
    assert plaintext_note("frames", "tcp://127.0.0.1:5555") == ""
    check_border("bind", "ipc://x", None, plaintext=False, role="ingest")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            {"bind": "tcp://192.168.1.5:8768"},
            "other machines could reach it; that needs keys = 'FOLDER', which "
            "scopeside keys new NAME --role observe makes",
        ),
        ({"keys": "keys"}, "keys go with bind = 'tcp://ADDRESS:PORT'"),
        ({"bind": "tcp://*:8768", "keys": "keys"}, "not all of them"),
        ({"bind": "tcp://em-pc:8768", "keys": "keys"}, "never a name"),
        ({"bind": "ipc:///tmp/x", "keys": "keys"}, "it is 'tcp://ADDRESS:PORT'"),
        ({"bind": "tcp://1.2.3.4:1", "plaintext": True}, "plaintext"),
    ],
)
def test_results_leave_the_machine_with_keys_only(table, said):
    with pytest.raises(ConfigError) as refused:
        validate(ResultsSettings, table, where="results")
    assert said in str(refused.value)


# -- control -------------------------------------------------------------------------

ELSEWHERE = [*OPEN, *OTHERS, *NAMES]


@pytest.mark.parametrize("endpoint", ["tcp://10.0.0.7:5700", *NAMES])
def test_commands_do_not_leave_the_machine_in_the_clear(endpoint):
    table = {"endpoint": endpoint, "actions": ["blank"]}
    with pytest.raises(ConfigError) as refused:
        validate(ZmqControlParams, table, where="control.adapter")
    assert (
        f"{endpoint} is not of this machine; commands do not travel in the clear: give "
        "server_key and own_keys"
    ) in str(refused.value)


@pytest.mark.parametrize("endpoint", ELSEWHERE)
def test_a_plan_is_on_this_machine(endpoint):
    with pytest.raises(ValueError, match=r"no keys on this link.*ssh -L"):
        checked_endpoint(endpoint)


@pytest.mark.parametrize("endpoint", ELSEWHERE)
def test_the_simulated_microscope_is_commanded_from_this_machine(endpoint):
    with pytest.raises(ConfigError, match="must not be reached from other machines"):
        check_endpoint(endpoint)


@pytest.mark.parametrize("host", ["10.0.0.7", "em-pc", "0.0.0.0"])
def test_a_vendor_s_plain_commands_stay_here(host):
    with pytest.raises(ConfigError, match="temscript speaks in the clear: take 127"):
        validate(TemscriptParams, {"host": host}, where="control.adapter")
