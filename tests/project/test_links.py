"""Every link in the README and in docs/ leads to a file and a heading that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))


def anchors(page: Path) -> set[str]:
    """Of the headings, as a browser of repositories makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_each_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text("utf-8")):
        name, _, anchor = target.partition("#")
        place = page.parent / name if name else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target


FILES = re.compile(r"`([a-z_]+/[\w/.-]+\.(?:py|md|html|yaml|wav))`")


@pytest.mark.parametrize("name", ["README.md", "docs/compatibility.md", "docs/figures.md"])
def test_each_file_that_is_named_is_there(name: str) -> None:
    named = set(FILES.findall((ROOT / name).read_text("utf-8")))
    assert {each for each in named if not (ROOT / each).exists()} == set()
