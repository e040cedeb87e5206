"""The table of settings: its page in the docs, the help of each program, and what it refuses."""

from pathlib import Path

import pytest

from avatar_runtime.settings.kinds import (
    NODE,
    Choice,
    NumberRange,
    Setting,
    SettingError,
    Switch,
    Whole,
)
from avatar_runtime.settings.pages import help_of, page
from avatar_runtime.settings.reading import read
from avatar_runtime.settings.table import PROGRAMS, SERVE, SETTINGS, WORKER

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_in_the_docs_is_made_of_the_table() -> None:
    made = "".join(f"{line}\n" for line in page())
    assert PAGE.read_text() == made, (
        "run: python -m avatar_runtime.settings.pages > docs/settings.md"
    )


def test_no_name_is_there_twice() -> None:
    assert len({each.name for each in SETTINGS}) == len(SETTINGS)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda each: each.name)
def test_each_default_can_be_used(setting: Setting) -> None:
    for reader in setting.readers:
        if default := setting.default_of(reader):
            setting.kind.value(default)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_help_of_a_program_has_what_it_reads(program: str) -> None:
    text = help_of(program)
    for setting in SETTINGS:
        assert (f"  {setting.variable} " in text) == (program in setting.readers)
    assert max(map(len, text.splitlines())) <= 100


def test_a_program_reads_its_own_settings_and_has_its_own_defaults() -> None:
    assert read({}, (WORKER,), WORKER)["size"] == "512x512"
    assert "host" not in read({}, (WORKER,), WORKER)
    assert [read({}, (SERVE,), each)["drain_s"] for each in (SERVE, NODE)] == [15, 3600]
    assert read({"AVATAR_DRAIN_S": "5"}, (NODE,), NODE)["drain_s"] == 5


@pytest.mark.parametrize(
    ("kind", "good", "bad", "rule"),
    [
        (Whole(1, 20), {"1": 1, "020": 20}, ("", "0", "21", "-1", "1.0", "\u0663", "9" * 13), "20"),
        (
            NumberRange(0.5, 300, "seconds"),
            {"0.5": 0.5, "3e2": 300},
            ("", "nan", "0", "301"),
            "0.5",
        ),
        (NumberRange(0, 9, "seconds", above=True), {"9": 9}, ("0", "inf", "soon"), "above 0"),
        (Choice(("a", "b", "c")), {"b": "b"}, ("", "A", "d"), "a, b or c"),
        (Switch(), {"on": True, "off": False}, ("", "ON", "yes"), "on or off"),
    ],
    ids=str,
)
def test_a_kind_says_what_it_takes(
    kind: Whole | NumberRange | Choice | Switch,
    good: dict[str, object],
    bad: tuple[str, ...],
    rule: str,
) -> None:
    assert rule in kind.rule
    for text, value in good.items():
        assert kind.value(text) == value
    for text in bad:
        with pytest.raises((ValueError, KeyError)):
            kind.value(text)


def test_a_bad_value_is_one_sentence_that_names_the_variable() -> None:
    with pytest.raises(SettingError) as caught:
        read({"AVATAR_LOG_LEVEL": "loud"}, (WORKER,), WORKER)
    sentence = "AVATAR_LOG_LEVEL is 'loud'; it has to be DEBUG, INFO, WARNING or ERROR."
    assert str(caught.value) == sentence
