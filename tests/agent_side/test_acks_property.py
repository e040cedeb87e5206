"""No turn is reported as heard further than it was: whatever is lost, late, or dies.

Random conversations, in which messages are lost and late, workers of both versions follow each
other, and both sides crash. What is told is compared with the samples that left the sound track.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from ack_line import GRAIN, RATE, LossyLink, Network
from hypothesis import given
from hypothesis import strategies as st
from thorough import thorough

from agent_side import handshake, speaker
from agent_side.senders.accounts import STRAY_S
from worker.turns.version1 import IDLE_S

RUNS = 2000
TAIL_S = 12.0
"""How long after the script the last turns may take; those that take longer are not told of."""

MAX_LATE_S = 1.0
assert 2 * MAX_LATE_S + IDLE_S < STRAY_S


@dataclass(frozen=True)
class Say:
    grains: int
    end: bool


@dataclass(frozen=True)
class WorkerDies:
    """And another one comes, of the same version or not; `silently`: nobody saw the first leave."""

    after_s: float
    heard_pieces: int
    away_s: float
    silently: bool
    next_version: int


Action = Say | WorkerDies | float | str


@dataclass(frozen=True)
class Conversation:
    network: Network
    seed: int
    version: int
    launched: int | None
    worker_after_s: float
    script: list[Action]

    @property
    def versions(self) -> set[int]:
        """Of all the workers that there are."""
        dead = [action for action in self.script if isinstance(action, WorkerDies)]
        return {self.version, *(each.next_version for each in dead)}


def conversations(versions: tuple[int, ...]) -> st.SearchStrategy[Conversation]:
    """With one side or both of all that can die, and workers of these versions."""
    says = st.builds(Say, st.sampled_from([0, 1, 40, 333, 700, 1100]), st.booleans())
    dies = st.builds(
        WorkerDies,
        st.sampled_from([0.0, 0.3, 0.6]),
        st.integers(0, 2),
        st.sampled_from([0.0, 0.5, 2.0]),
        st.booleans(),
        st.sampled_from(versions),
    )
    others = st.sampled_from(
        [0.1, 0.4, 0.7, 1.0, 2.5, "end", "interrupt", "interrupt", "agent dies", "agent rejoins"]
    )
    return st.builds(
        Conversation,
        st.builds(
            Network,
            st.sampled_from([0.0, 0.0, 0.1, 0.4]),
            st.sampled_from([(0.0,), (0.0, 0.05), (0.05, 0.3), (0.0, MAX_LATE_S)]),
            st.sampled_from([0.0, 0.2]),
        ),
        st.integers(0, 2**16),
        st.sampled_from(versions),
        st.sampled_from([None, 1, 2]),
        st.sampled_from([0.0, 0.0, 0.0, 4.0]),
        st.lists(st.one_of(says, says, others, others, dies), min_size=2, max_size=10),
    )


@pytest.fixture(autouse=True, scope="module")
def short_timeouts() -> Iterator[None]:
    """So that all of it ends within a short conversation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handshake, "HELLO_TIMEOUT_S", 3.0)
        patch.setattr(speaker, "WORKER_TIMEOUT_S", 6.0)
        yield


def play(conversation: Conversation) -> LossyLink:
    network, launched = conversation.network, conversation.launched
    if 1 in conversation.versions:
        # The platform's transport loses and delays, and doubles nothing: version 1 counts on it.
        network = replace(network, doubled=0.0)
        launched = None if launched == 2 else launched
    line = LossyLink(network, conversation.seed, launched)
    version = conversation.version
    if not conversation.worker_after_s:
        line.start_worker(version)
    starts_at = line.now + conversation.worker_after_s
    for action in conversation.script:
        match action:
            case Say(grains, end):
                line.say(grains * GRAIN)
                if end:
                    line.end()
            case WorkerDies(after_s, pieces, away_s, silently, next_version):
                line.wait(after_s)
                silently = silently and next_version == version and line.worker is not None
                line.kill_worker(pieces, silently=silently)
                line.wait(0.0 if silently else away_s)
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


@thorough(RUNS)
@given(conversations(versions=(1, 2)))
def test_no_position_is_beyond_what_was_heard(conversation: Conversation) -> None:
    line = play(conversation)
    for turn, _, over, heard in line.reports:
        assert over.position * RATE <= heard + 1e-3, (turn, over)
    turns = [turn for turn, _, _, _ in line.reports]
    assert turns == sorted(set(turns))


@thorough(RUNS // 4)
@given(conversations(versions=(2,)))
def test_what_version_2_confirms_is_exact(conversation: Conversation) -> None:
    line = play(conversation)
    for turn, size, over, heard in line.reports:
        if over.outcome == "heard":
            assert over.position * RATE == pytest.approx(size), (turn, over)
        if over.outcome != "unconfirmed":
            assert over.position * RATE == pytest.approx(heard, abs=2 * GRAIN), (turn, over)


@pytest.mark.parametrize("ticks", range(12))
@pytest.mark.parametrize("pieces", [0, 1, 2])
def test_what_a_worker_takes_with_it_when_it_dies_is_said_again(ticks: int, pieces: int) -> None:
    """It reports what it has handed to its track, of which the last 40 ms may never leave it."""
    line = LossyLink(Network(), seed=0, launched=None)
    line.start_worker(2)
    line.say(2 * RATE)
    line.end()
    line.wait(0.4 + 0.04 * ticks)
    line.kill_worker(pieces, silently=False)
    line.start_worker(2)
    line.wait(4.0)
    [(_, size, over, heard)] = line.reports
    assert (over.position * RATE, heard, over.outcome) == (size, size, "heard")
