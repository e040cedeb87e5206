"""No turn is reported as heard further than it was: whatever is lost, late, or dies.

Random conversations, in which messages are lost and late, workers of both versions follow each
other, and both sides crash. What is told is compared with the samples that left the sound track.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from ack_line import GRAIN, RATE, Line, Network
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_side import speaker

RUNS = 2000
TAIL_S = 12.0
"""How long after the script the last turns may take; those that take longer are not told of."""

MAX_LATE_S = 1.0
assert 2 * MAX_LATE_S <= speaker.STRAY_S


@dataclass(frozen=True)
class Say:
    grains: int
    end: bool


@dataclass(frozen=True)
class WorkerDies:
    """And another one comes, of the same version or not; `silently`: nobody saw the first leave."""

    heard_pieces: int
    away_s: float
    silently: bool
    next_version: int


Action = Say | WorkerDies | float | str


@dataclass(frozen=True)
class Conversation:
    network: Network
    seed: int
    versions: tuple[int, ...]
    launched: int | None
    worker_after_s: float
    script: tuple[Action, ...]


@st.composite
def conversations(draw: st.DrawFn, versions: tuple[int, ...] = (1, 2)) -> Conversation:
    version = st.sampled_from(versions)
    says = st.builds(Say, st.integers(0, 900), st.booleans())
    pauses = st.sampled_from([0.05, 0.1, 0.4, 1.0, 2.5])
    dies = st.builds(
        WorkerDies, st.integers(0, 2), st.sampled_from([0.0, 0.5, 2.0]), st.booleans(), version
    )
    others = st.sampled_from(["end", "interrupt", "interrupt", "agent dies", "agent rejoins"])
    script = draw(
        st.lists(st.one_of(says, says, pauses, pauses, others, dies), min_size=1, max_size=9)
    )
    first = draw(version)
    every = {first, *(each.next_version for each in script if isinstance(each, WorkerDies))}
    network = Network(
        loss=draw(st.sampled_from([0.0, 0.0, 0.1, 0.4])),
        delays_s=draw(st.sampled_from([(0.0,), (0.0, 0.05), (0.05, 0.3), (0.0, MAX_LATE_S)])),
        # The platform's transport loses and delays, and doubles nothing: version 1 counts on it.
        doubled=draw(st.sampled_from([0.0, 0.2])) if every == {2} else 0.0,
    )
    evidence = [None, 1] if 1 in every else [None, 1, 2]
    return Conversation(
        network,
        draw(st.integers(0, 2**16)),
        (first,),
        draw(st.sampled_from(evidence)),
        draw(st.sampled_from([0.0, 0.0, 1.0, 5.0])),
        tuple(script),
    )


@pytest.fixture(autouse=True, scope="module")
def little_patience() -> Iterator[None]:
    """So that all of it ends within a short conversation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speaker, "HELLO_PATIENCE_S", 3.0)
        patch.setattr(speaker, "WORKER_PATIENCE_S", 6.0)
        yield


def play(conversation: Conversation) -> Line:
    line = Line(conversation.network, conversation.seed, conversation.launched)
    version = conversation.versions[0]
    if not conversation.worker_after_s:
        line.start_worker(version)
    starts_at = line.now + conversation.worker_after_s
    for action in conversation.script:
        match action:
            case Say(grains, end):
                line.say(grains * GRAIN)
                if end:
                    line.end()
            case WorkerDies(pieces, away_s, silently, next_version):
                silently = silently and next_version == version and line.worker is not None
                line.kill_worker(pieces, silently=silently)
                line.wait(away_s)
                version = next_version
                line.start_worker(version)
            case "end":
                line.end()
            case "interrupt":
                line.interrupt()
            case "agent dies":
                line.start_agent()
            case "agent rejoins":
                line.rejoin()
            case float():
                line.wait(action)
        if line.worker is None and line.now >= starts_at:
            line.start_worker(version)
    if line.worker is None:
        line.wait(starts_at - line.now)
        line.start_worker(version)
    line.end()
    until = line.now + TAIL_S
    while line.speaker.live and line.now < until:
        line.step()
    return line


@settings(max_examples=RUNS, deadline=None, suppress_health_check=list(HealthCheck))
@given(conversations())
def test_no_position_is_beyond_what_was_heard(conversation: Conversation) -> None:
    line = play(conversation)
    for turn, _, over, heard in line.reports:
        assert over.position * RATE <= heard + 1e-3, (turn, over)
    turns = [turn for turn, _, _, _ in line.reports]
    assert turns == sorted(set(turns))


@settings(max_examples=RUNS // 4, deadline=None, suppress_health_check=list(HealthCheck))
@given(conversations(versions=(2,)))
def test_what_version_2_confirms_is_exact(conversation: Conversation) -> None:
    line = play(conversation)
    for turn, size, over, heard in line.reports:
        if over.outcome == "heard":
            assert over.position * RATE == pytest.approx(size), (turn, over)
        if over.outcome != "unconfirmed":
            assert over.position * RATE == pytest.approx(heard, abs=2 * GRAIN), (turn, over)
