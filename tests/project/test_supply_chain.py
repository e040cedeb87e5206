"""The lock file: all that the programs need at run time, and nothing that was not looked at."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
IN_THE_IMAGE = ("worker", "dispatcher", "localroom", "tracing")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


class Locked(NamedTuple):
    requirement: Requirement
    version: Version
    hashes: int


def locked() -> list[Locked]:
    """The entries of the lock file, each a requirement and its hashes."""
    entries = []
    for line in LOCK.read_text().replace("\\\n", "").splitlines():
        if line.startswith("#"):
            continue
        requirement = Requirement(HASH.sub("", line).strip())
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        entries.append(Locked(requirement, Version(pin.version), len(HASH.findall(line))))
    return entries


def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def wanted() -> list[Requirement]:
    """What the image has: the base and its extras."""
    described = project()
    extras = described["optional-dependencies"]
    texts = [text for extra in IN_THE_IMAGE for text in extras[extra]]
    return [Requirement(text) for text in [*described["dependencies"], *texts]]


def needed_here() -> Iterator[str]:
    """The names of all that is needed on this machine, as what is installed says."""
    waiting = [(each.name, frozenset(each.extras)) for each in wanted()]
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        yield canonicalize_name(name)
        for text in requires(name) or ():
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": each}) for each in extras or {""}):
                waiting.append((requirement.name, frozenset(requirement.extras)))


def test_every_direct_dependency_is_locked_at_a_version_that_it_allows() -> None:
    entries = locked()
    for requirement in wanted():
        versions = [
            entry.version
            for entry in entries
            if canonicalize_name(entry.requirement.name) == canonicalize_name(requirement.name)
        ]
        assert versions, f"{requirement.name} is not locked; run `make lock`"
        for version in versions:
            assert version in requirement.specifier, f"{requirement}; run `make lock`"


def test_what_those_need_is_locked_too() -> None:
    names = {canonicalize_name(entry.requirement.name) for entry in locked()}
    try:
        missing = set(needed_here()) - names
    except PackageNotFoundError as error:
        pytest.fail(f"{error.name} is not installed; install avatar-face[all]")
    assert missing == set()


def test_every_entry_has_hashes() -> None:
    entries = locked()
    assert len(entries) > 40
    assert [entry.requirement.name for entry in entries if not entry.hashes] == []


def test_it_names_packages_and_no_place_to_get_them_from() -> None:
    text = LOCK.read_text()
    assert "://" not in text
    assert not re.search(r"--(index|extra|find|trusted)|@ |^-e ", text, re.MULTILINE)
    for line in text.splitlines():
        assert re.fullmatch(
            r"# .*|[a-z0-9-]+==[\w.+]+( ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line
        ), line
