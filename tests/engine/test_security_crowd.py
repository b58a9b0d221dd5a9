"""How many links are let in, and of whom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside.security import crowd
from scopeside.security.crowd import (
    MOST_LINKS,
    MOST_NEW_PER_S,
    MOST_OF_ONE,
    Crowd,
    share_of,
)


def test_one_address_has_its_share_and_keeps_nobody_else_out():
    found = Crowd()
    entered = [found.enter(n, "10.0.0.9", n / 10) for n in range(2 * MOST_OF_ONE)]
    assert entered == [True] * MOST_OF_ONE + [False] * MOST_OF_ONE
    assert found.enter(1000, "10.0.0.7", 0.0)


def test_a_flood_of_one_address_is_kept_out_until_it_ends():
    found = Crowd()
    entered = []
    for n in range(2 * MOST_NEW_PER_S):
        entered.append(found.enter(n, "10.0.0.9", n / 1e3))
        found.leave(n)
    assert entered == [True] * MOST_NEW_PER_S + [False] * MOST_NEW_PER_S
    assert found.enter(0, "10.0.0.7", 0.1)
    assert found.enter(1, "10.0.0.9", 1.0)


def test_there_is_room_for_so_many_of_all():
    found = Crowd()
    for n in range(MOST_LINKS):
        assert found.enter(n, f"10.0.{n // 8}.1", 0.0)
    assert not found.enter(MOST_LINKS, "10.1.0.1", 0.0)
    found.leave(MOST_LINKS)
    found.leave(0)
    assert found.enter(0, "10.1.0.1", 0.0)


def test_a_number_that_comes_again_is_one_link():
    found = Crowd()
    for _ in range(3):
        found.enter(7, "10.0.0.1", 0.0)
    assert found.links == {7: "10.0.0.1"}
    found.leave(7)
    found.leave(7)
    assert not found.links


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(crowd, "_REMEMBERED", 3)
    found = Crowd()
    for n in range(9):
        found.enter(1, f"10.0.0.{n}", 0.0)
    assert len(found._new) == 3


@pytest.mark.parametrize(
    ("address", "share"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fd00:1:2:3:4:5:6:7", "fd00:1:2:3::/64"),
        ("", ""),
    ],
)
def test_a_machine_is_one_address_or_one_network_of_ipv6(address, share):
    assert share_of(address) == share


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 3))))
def test_the_shares_are_those_of_the_links(steps):
    found = Crowd()
    for enters, link, host in steps:
        if enters:
            found.enter(link, f"10.0.0.{host}", 0.0)
        else:
            found.leave(link)
    assert sum(found._of.values()) == len(found.links)
    assert all(found._of.values())
