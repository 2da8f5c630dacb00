"""The style sheet: a disposition has one colour, and texts have enough contrast."""

import re

import pytest

from waitlist.judge.rules import Disposition
from waitlist.paths import PROJECT

CSS = (PROJECT / "plugins/waitlist_airflow/web/static/style.css").read_text(encoding="utf-8")
ROOTS = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
LIGHT = dict(re.findall(r"--([a-z_-]+): (#[0-9a-f]{6});", ROOTS[0]))
THEMES = {"light": LIGHT, "dark": LIGHT | dict(re.findall(r"--([a-z_-]+): (#[0-9a-f]{6});", ROOTS[1]))}
TEXTS = [
    ("ink", "page"), ("ink", "surface"), ("quiet", "page"), ("quiet", "surface"), ("accent", "surface"),
    ("accent", "page"), ("accent-ink", "accent"), ("bad", "bad-surface"), ("warn", "warn-surface"),
    ("good", "good-surface"), ("ink", "note-surface"), ("ink", "raised"),
]  # fmt: skip


def luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_every_rule_is_closed() -> None:
    assert CSS.count("{") == CSS.count("}")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("disposition", Disposition)
def test_a_disposition_has_enough_contrast_in_both_themes(theme: str, disposition: str) -> None:
    colours = THEMES[theme]
    for ground in ("surface", "page"):
        assert contrast(colours[disposition], colours[ground]) >= 3.0


@pytest.mark.parametrize("theme", THEMES)
def test_no_two_dispositions_share_a_colour(theme: str) -> None:
    assert len({THEMES[theme][disposition] for disposition in Disposition}) == len(Disposition)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("text", "ground"), TEXTS)
def test_texts_can_be_read(theme: str, text: str, ground: str) -> None:
    assert contrast(THEMES[theme][text], THEMES[theme][ground]) >= 4.5


def test_every_disposition_has_a_pattern_so_that_colour_is_not_all() -> None:
    macros = (PROJECT / "plugins/waitlist_airflow/web/templates/macros.html").read_text(encoding="utf-8")
    drawn = dict(re.findall(r'<pattern id="p-([a-z_]+)".*?>(<rect.*?)</pattern>', macros))
    assert set(drawn) == set(Disposition)
    marks = [re.sub(r'class="d-[a-z_]+"', "", mark) for mark in drawn.values()]
    assert len(set(marks)) == len(marks)
