"""The tables of docs/reliability.md name tests; each of them is there."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCUMENT = TESTS.parent / "docs" / "reliability.md"
NAME = re.compile(r"`(\w+/test_\w+\.py)(?:::(test_\w+))?`")
HEADER = "| kind | the rule | held by |"


def rows() -> list[list[str]]:
    """The cells of each kind."""
    lines = DOCUMENT.read_text().splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("| ") and line != HEADER
    ]


def test_the_tables_are_read() -> None:
    assert len(rows()) > 50


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:50])
def test_each_kind_has_a_rule_and_tests_that_are_there(row: list[str]) -> None:
    kind, rule, held_by = row
    assert kind
    assert rule
    named = NAME.findall(held_by)
    assert named or held_by == "the same", "a row without a test"
    assert len(named) == held_by.count("/test_"), "a name that cannot be read"
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (TESTS / file).is_file()
        or (name and f"def {name}(" not in (TESTS / file).read_text())
    ]
    assert missing == []
