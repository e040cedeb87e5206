"""What a worker has to know is sent, the newest of each kind, until the worker acknowledges it."""

import random

import pytest

from agent_side.join import JoinInfo
from avatar_runtime.messages.commands import JoinCommand, Permission, Renewal
from avatar_runtime.messages.reports import Serials
from dispatcher.workers.outbox import AGAIN_S, CommandOutbox


def command(token: str) -> JoinCommand:
    return JoinCommand(JoinInfo("room", token))


def test_a_newer_request_replaces_one_that_is_not_acknowledged() -> None:
    outbox = CommandOutbox()
    outbox.renew(command("1"))
    assert outbox.due(0.0) == [Renewal(1, command("1"))]
    outbox.renew(command("2"))
    outbox.renew(command("3"))
    assert outbox.due(0.1) == [], "one is on its way"
    outbox.acknowledge(Serials(renewal=1))
    assert outbox.due(0.2) == [Renewal(3, command("3"))]
    outbox.acknowledge(Serials(renewal=3))
    assert not outbox.pending
    assert outbox.due(100.0) == []


def test_what_is_not_acknowledged_is_sent_again_for_ever() -> None:
    outbox = CommandOutbox()
    outbox.permit(1)
    moments = [number * AGAIN_S / 4 for number in range(41)]
    sent = [moment for moment in moments if outbox.due(moment)]
    assert sent == [number * AGAIN_S for number in range(11)]


def test_who_may_join_anew_has_the_newest_request_before() -> None:
    """However many are on their way."""
    outbox = CommandOutbox()
    outbox.renew(command("1"))
    outbox.due(0.0)
    outbox.renew(command("2"))
    outbox.permit(1)
    assert outbox.due(0.1) == [Renewal(2, command("2")), Permission(1)]


def test_an_old_acknowledgement_takes_nothing_back() -> None:
    outbox = CommandOutbox()
    outbox.permit(2)
    outbox.due(0.0)
    outbox.acknowledge(Serials(permission=2))
    outbox.acknowledge(Serials(permission=1))
    assert not outbox.pending


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_lost_on_the_way_the_newest_arrives(seed: int) -> None:
    """Commands and acknowledgements are lost as the dice say; then no more is."""
    dice, outbox = random.Random(seed), CommandOutbox()
    received = {"renewal": -1, "permission": -1}
    requests = permissions = 0
    for tick in range(400):
        lossy = tick < 300
        if lossy and dice.random() < 0.1:
            requests += 1
            outbox.renew(command(str(requests)))
        if lossy and dice.random() < 0.05:
            permissions += 1
            outbox.permit(permissions)
        for each in outbox.due(tick * AGAIN_S / 8):
            if not (lossy and dice.random() < 0.7):
                kind = "renewal" if isinstance(each, Renewal) else "permission"
                received[kind] = max(received[kind], each.serial)
        if not (lossy and dice.random() < 0.7):
            outbox.acknowledge(Serials(**received))
    assert received == {"renewal": requests or -1, "permission": permissions or -1}
    assert not outbox.pending
