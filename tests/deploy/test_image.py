"""The Dockerfile: what can be held without an engine. Its steps were run by hand, see the docs."""

import re

import pytest
from deployed import DEPLOY, ROOT, ran, tool

DOCKERFILE = DEPLOY / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Each instruction and what follows it, with continued lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    pairs = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return [(name, " ".join(rest.split())) for name, rest in pairs]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage; ARGs before the first are left out."""
    found: list[list[tuple[str, str]]] = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest))
    return found


def copied() -> list[str]:
    """What is copied out of the repository."""
    return [
        source
        for name, rest in instructions()
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]


def test_the_linter_has_nothing_to_say() -> None:
    assert ran(tool("hadolint"), DOCKERFILE) == ""


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_is_there_and_not_ignored(source: str) -> None:
    assert (ROOT / source).exists()
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert f"!{source}" in lines


def test_nothing_else_gets_into_the_image() -> None:
    kept = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    assert kept == set(copied())


def test_every_package_of_the_wheel_is_copied() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    (only,) = re.findall(r"^only-include = \[(.+)\]$", project, re.MULTILINE)
    assert set(re.findall(r'"([^"]+)"', only)) <= set(copied())


def test_it_runs_as_a_user_with_a_number() -> None:
    (user,) = [rest for name, rest in stages()[-1] if name == "USER"]
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", user)


def test_the_last_stage_installs_and_compiles_nothing() -> None:
    names = [name for name, _ in stages()[-1]]
    assert "RUN" not in names
    assert [rest for name, rest in stages()[-1] if name == "COPY"] == [
        "--from=build /opt/avatar /opt/avatar"
    ]


def test_both_stages_stand_on_one_base_that_can_be_pinned() -> None:
    assert instructions()[0][0] == "ARG"
    name, _, base = instructions()[0][1].partition("=")
    assert name == "PYTHON"
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", base)
    assert [stage[0][1].split()[0] for stage in stages()] == ["${PYTHON}", "${PYTHON}"]


def test_all_that_is_installed_has_a_hash_and_is_a_wheel() -> None:
    steps = [rest for name, rest in instructions() if name == "RUN"]
    installs = [each for step in steps for each in step.split("&&") if " install " in each]
    assert len(installs) == 3
    for each in installs:
        locked = "--require-hashes" in each and "--only-binary :all:" in each
        ours = "--no-deps dist/*.whl" in each
        assert locked or ours, each


@pytest.mark.parametrize("lock", ["requirements.lock", "deploy/build.lock"])
def test_each_requirement_of_a_lock_has_its_hashes(lock: str) -> None:
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    lines = [
        line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")
    ]
    assert lines
    for line in lines:
        assert re.match(r"[a-z0-9.-]+(\[[a-z,]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line


def test_nothing_is_fetched_by_add_and_no_tag_moves() -> None:
    assert "ADD" not in [name for name, _ in instructions()]
    assert ":latest" not in DOCKERFILE.read_text()


def test_who_asks_how_it_is_is_kubernetes_or_compose() -> None:
    assert ("HEALTHCHECK", "NONE") in stages()[-1]


def test_the_image_is_both_programs() -> None:
    last = dict(stages()[-1])
    assert last["ENTRYPOINT"] == '["avatar"]'
    assert last["CMD"] == '["serve"]'
    assert last["EXPOSE"] == "8089 8090 8091"
