"""The packages keep to docs/design.md: who imports whom, one name for one thing, sizes."""

import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest
from source_tree import (
    OURS,
    PACKAGES,
    ROOT,
    circles,
    classes,
    functions,
    graph,
    imports,
    length,
    module_name,
    names,
    place,
    shipped,
    sources,
    within,
)

MAY_IMPORT: Final = {
    "agent_side": {"agent_side"},
    "avatar_runtime": {"avatar_runtime", "agent_side.join"},
    "worker": {
        "worker",
        "avatar_runtime",
        "agent_side.wire",
        "agent_side.join",
        "agent_side.protocol",
        "agent_side.sctp",
        "agent_side.pending_sends",
    },
    "dispatcher": {"dispatcher", "avatar_runtime", "agent_side.join"},
    "localroom": {"localroom"},
}
"""What each package may import of ours; a name allows all that it contains."""

LOADED_LATER: Final = {"avatar_runtime.logs", "avatar_runtime.messages", "avatar_runtime.tracing"}
"""What programs load once they run."""

CHOICES: Final = ("worker/renderers", "worker/meetings")
"""Folders in which each file is a choice of its own."""

MOST_CLASS_LINES: Final = 300
MOST_MODULE_LINES: Final = 450
MOST_MODULES: Final = 14
"""Directly in one folder, its `__init__` aside."""
MEDIAN_LINES, P90_LINES = 6, 20
"""Of functions."""
MOST_LINES_TO_READ: Final = 1000
"""In all that the README has a newcomer read."""

DATA_TABLES: Final[frozenset[str]] = frozenset()
"""Modules that are long because they list things."""

RETIRED: Final = re.compile(
    "leash|crew|hire|seat|owe[sd]?|mend(s|ed)?|bury|buries|buried|parking|settle[sd]?|impatient"
    "|patience|told|hears?|dress(ed)?|troupe|chores?"
)
"""Words that no name has, each as one word of a name; docs/glossary.md has what is said instead."""

RETIRED_CLASSES: Final = frozenset(
    {"Serving", "Hold", "Held", "_Live", "Letter", "Inside", "Front", "Guard", "Quota", "Seal"}
    | {"Ground", "Outlet", "Entry", "Speech", "Hand", "Ear", "Both", "House"}
)
"""Words that mean something else elsewhere and are no longer names of classes."""

PUBLIC: Final = {"agent_side/gestures.py: hear"}
"""Names that agents call."""


def holds(rule: str, broken: Iterable[str]) -> None:
    """Nothing breaks the rule."""
    assert set(broken) == set(), rule


# Imports ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_meet_only_where_they_may(package: str) -> None:
    strangers = [
        f"{place(path)} imports {name}"
        for path in sources(package)
        for name in imports(path)
        if within(name, OURS) and not within(name, MAY_IMPORT[package])
    ]
    assert strangers == []


def test_the_agents_side_needs_nothing_but_httpx() -> None:
    allowed = {*sys.stdlib_module_names, "httpx", "agent_side"}
    strangers = [
        f"{place(path)} imports {name}"
        for path in sources("agent_side")
        for name in imports(path)
        if not within(name, allowed)
    ]
    assert strangers == []


def test_the_command_and_what_starts_programs_need_the_standard_library_alone() -> None:
    """Only what programs load once they run needs more: logs, traces and messages."""
    files = [ROOT / "avatar_cli.py", *sources("avatar_runtime")]
    early = [path for path in files if not within(module_name(path), LOADED_LATER)]
    found = [(place(path), name) for path in early for name in imports(path)]
    allowed = {*sys.stdlib_module_names, "avatar_runtime"}
    assert [each for each in found if not within(each[1], allowed)] == []
    assert [each for each in found if within(each[1], LOADED_LATER)] == []


def test_what_starts_our_programs_imports_nothing_of_ours() -> None:
    """It is run before it is certain whose packages are found."""
    start = ROOT / "avatar_runtime/__main__.py"
    assert [name for name in imports(start) if within(name, OURS)] == []


@pytest.mark.parametrize("folder", CHOICES)
def test_choices_do_not_know_each_other(folder: str) -> None:
    package = folder.replace("/", ".")
    siblings = {module_name(path) for path in sources(folder)} - {package}
    acquainted = [
        f"{place(path)} imports {name}"
        for path in sources(folder)
        for name in imports(path)
        if within(name, siblings - {module_name(path)})
    ]
    assert acquainted == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    holds("circle of modules", (" ".join(group) for group in circles(graph(shipped()))))


def test_no_packages_import_each_other_in_a_circle() -> None:
    edges: dict[str, set[str]] = {package: set() for package in PACKAGES}
    for module, others in graph(shipped()).items():
        package = module.partition(".")[0]
        edges[package] |= {other.partition(".")[0] for other in others} - {package}
    assert circles(edges) == []


def test_imports_of_every_kind_and_circles_are_seen() -> None:
    """The rules would hold nothing if their reader were blind."""
    assert "agent_side.wire.decode" in set(imports(ROOT / "worker/meetings/memory.py"))
    assert "httpx" in set(imports(ROOT / "agent_side/launch.py"))
    assert "agent_side.wire" in graph(shipped())["worker.meetings.memory"]
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [["b", "c"]]


# Names -----------------------------------------------------------------------------------------


def test_no_class_name_has_two_owners() -> None:
    owners: dict[str, list[str]] = defaultdict(list)
    for folder in (*PACKAGES, "tests/support", "benchmarks"):
        for path in sources(folder):
            for each in classes(path):
                owners[each.name].append(place(path))
    holds(
        "class name with two owners",
        (f"{name}: {' '.join(paths)}" for name, paths in owners.items() if len(paths) > 1),
    )


def test_retired_words_are_in_no_name() -> None:
    files = [*shipped(), *sources("tests/support")]
    found = {f"{place(path)}: {name}" for path in files for name in retired(path)}
    holds("retired word", found - PUBLIC)


def retired(path: Path) -> set[str]:
    """The names in the file that have a retired word."""
    found = {name for name in names(path) if any(map(RETIRED.fullmatch, words(name)))}
    return found | ({each.name for each in classes(path)} & RETIRED_CLASSES)


def words(name: str) -> list[str]:
    """The words of a name in either spelling, in small letters."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


@pytest.mark.parametrize(
    ("name", "seen"),
    [("Leash", True), ("_HIRE_S", True), ("CrewSize", True), ("heard", False)],
)
def test_a_retired_word_is_seen_in_either_spelling(name: str, seen: bool) -> None:
    assert any(map(RETIRED.fullmatch, words(name))) is seen


# Sizes -----------------------------------------------------------------------------------------


def test_no_class_is_too_long() -> None:
    holds(
        "long class",
        (
            f"{place(path)}: {each.name}"
            for path in shipped()
            for each in classes(path)
            if length(each) > MOST_CLASS_LINES
        ),
    )


def test_no_module_is_too_long() -> None:
    holds(
        "long module",
        (
            place(path)
            for path in shipped()
            if lines(path) > MOST_MODULE_LINES and place(path) not in DATA_TABLES
        ),
    )


def test_no_folder_has_too_many_modules() -> None:
    folders: dict[str, int] = defaultdict(int)
    for path in shipped():
        folders[place(path.parent)] += path.name != "__init__.py"
    holds("full folder", (name for name, count in folders.items() if count > MOST_MODULES))


def test_functions_are_short() -> None:
    lengths = sorted(length(each) for path in shipped() for each in functions(path))
    assert statistics.median(lengths) <= MEDIAN_LINES
    assert lengths[len(lengths) * 9 // 10] <= P90_LINES


def test_what_a_newcomer_reads_is_short() -> None:
    """The files in the paragraph of the README that says in which order to read them."""
    paragraphs = (ROOT / "README.md").read_text("utf-8").split("\n\n")
    (path,) = (each for each in paragraphs if "in that order" in " ".join(each.split()))
    files = re.findall(r"`([\w/]+\.py)`", path)
    assert len(files) > 3
    total = sum(lines(ROOT / file) for file in files)
    holds("newcomer's path", [] if total < MOST_LINES_TO_READ else ["too long"])


def lines(path: Path) -> int:
    """How many lines the file has."""
    return len(path.read_text("utf-8").splitlines())
