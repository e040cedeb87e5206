"""What goes wrong on purpose: the dice repeat themselves, and nonsense is refused."""

import json

import pytest

from localroom.faults import Chaos, DatagramFaults, Faults, MessageFaults, PeerFaults


def delays(chaos: Chaos, count: int, sender: str = "a", receiver: str = "b") -> list[list[float]]:
    return [chaos.message_delays(sender, receiver) for _ in range(count)]


def test_nothing_goes_wrong_unasked() -> None:
    chaos = Chaos()
    assert delays(chaos, 3) == [[0.0]] * 3
    assert [chaos.datagram_delay("a", way) for way in ("in", "out")] == [0.0, 0.0]


def test_a_list_says_what_happens_to_the_first_messages() -> None:
    chaos = Chaos(Faults(MessageFaults(drop=(True, False), duplicate=(True,), delay_s=0.5)))
    assert delays(chaos, 3) == [[], [0.5, 0.5], [0.5]]
    assert delays(chaos, 2, receiver="c") == [[], [0.5, 0.5]]


def test_a_message_that_is_held_back_lets_later_ones_pass() -> None:
    faults = Faults(MessageFaults(reorder=(True, False), jitter_s=0.3, delay_s=0.1))
    (held,), (next_one,) = delays(Chaos(faults), 2)
    assert 0.1 < held <= 0.4
    assert next_one == 0.1


def test_the_same_seed_gives_the_same_faults_in_whatever_order_peers_speak() -> None:
    faults = Faults(MessageFaults(drop=0.3, duplicate=0.2, reorder=0.5), seed=7)
    one, other = Chaos(faults), Chaos(faults)
    delays(other, 10, "b", "a")
    assert delays(one, 50) == delays(other, 50)
    assert delays(Chaos(Faults(faults.messages, seed=8)), 50) != delays(Chaos(faults), 50)


def test_losses_come_as_often_as_asked() -> None:
    chaos = Chaos(Faults(datagrams=DatagramFaults(loss=0.2)))
    lost = sum(chaos.datagram_delay("a", "in") is None for _ in range(5000))
    assert 900 <= lost <= 1100


def test_a_peer_may_have_faults_of_its_own() -> None:
    deaf = PeerFaults(datagrams=DatagramFaults(loss=1.0))
    chaos = Chaos(Faults(MessageFaults(drop=1.0), peers={"a": deaf}))
    assert delays(chaos, 1, sender="a") == [[0.0]]
    assert delays(chaos, 1, sender="b") == [[]]
    assert chaos.datagram_delay("a", "out") is None
    assert chaos.datagram_delay("b", "out") == 0.0


def test_new_faults_begin_at_their_beginning() -> None:
    faults = Faults(MessageFaults(drop=(True,)))
    chaos = Chaos(faults)
    assert delays(chaos, 2) == [[], [0.0]]
    chaos.set(faults)
    assert delays(chaos, 2) == [[], [0.0]]


def test_faults_survive_json() -> None:
    faults = Faults(
        MessageFaults(drop=(True, False), reorder=0.3, jitter_s=0.3),
        DatagramFaults(loss=0.05, delay_s=0.1),
        {"agent": PeerFaults(MessageFaults(duplicate=0.1))},
        "401",
        "silent",
        9,
    )
    assert Faults.parse(json.loads(json.dumps(faults.as_json()))) == faults
    assert Faults.parse({}) == Faults()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "JSON object"),
        ({"datagram": {}}, "known here: datagrams"),
        ({"messages": {"drop": 1.5}}, "`drop`"),
        ({"messages": {"drop": True}}, "`drop`"),
        ({"messages": {"delay_s": [True]}}, "`delay_s`"),
        ({"messages": {"delay_s": 1e9}}, "`delay_s`"),
        ({"datagrams": {"loss": float("nan")}}, "`loss`"),
        ({"peers": []}, "`peers`"),
        ({"peers": {"a": {"entry": "ok"}}}, "known here: datagrams, messages"),
        ({"entry": "404"}, "`entry`"),
        ({"eviction": "loud"}, "`eviction`"),
        ({"seed": 1.5}, "`seed`"),
    ],
)
def test_nonsense_is_refused_with_what_would_do(value: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Faults.parse(value)
