"""The page can be read: contrast of its colours, in the dark and in the light."""

import re
from itertools import product

import pytest

from scopeside.dashboard.rules import STATIC

CSS = {path: path.read_text() for path in sorted(STATIC.rglob("*.css"))}
BASE = (STATIC / "css/base.css").read_text()
TEXT, ON = ("text", "dim", "accent", "ok", "warn", "bad"), ("bg", "panel")
PAIRS = [*product(TEXT, ON), ("on-accent", "accent")]
LEAST = 4.5
"""WCAG 2.2, 1.4.3."""


def theme(name):
    """Return the colours of a theme; what it does not say is as in the dark."""
    dark, light = re.findall(r':root(?:\[data-theme="light"\])? \{(.*?)\}', BASE, re.S)[
        :2
    ]
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})\b", dark))
    if name == "light":
        found |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})\b", light))
    return found


def luminance(colour):
    """Return the relative luminance of ``#rrggbb``, WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts
    ]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_black_on_white_has_the_contrast_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("name", ["dark", "light"])
def test_words_can_be_read_on_what_they_stand_on(name):
    colours = theme(name)
    poor = {
        pair: round(contrast(colours[pair[0]], colours[pair[1]]), 2)
        for pair in PAIRS
        if contrast(colours[pair[0]], colours[pair[1]]) < LEAST
    }
    assert poor == {}


def test_both_themes_have_the_same_colours():
    names = [
        set(re.findall(r"--([\w-]+): #", block))
        for block in re.findall(
            r":root(?:\[data-theme=\"light\"\])? \{(.*?)\}", BASE, re.S
        )[:2]
    ]
    assert names[0] == names[1]


def test_every_colour_that_is_used_is_there():
    for path, text in CSS.items():
        used = set(re.findall(r"var\(--([\w-]+)\)", text))
        here = set(re.findall(r"--([\w-]+):", text + BASE))
        assert used <= here, path.name


def test_nothing_is_loaded_from_elsewhere():
    for path in STATIC.rglob("*.*"):
        text = path.read_text(encoding="utf-8")
        hosts = set(re.findall(r"\b(?:https?|wss?):?//([\w$.{}-]+)", text))
        assert hosts <= {"www.w3.org", "${location.host}"}, path.name
