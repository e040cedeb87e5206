"""What a worker has to know is sent, the newest of each kind, until the worker acknowledges it."""

import json
import random

import pytest

from dispatcher.workers.outbox import AGAIN_S, Outbox, Permission, Renewal
from worker.process import control_channel as control_channel

REQUEST = json.dumps({"room_name": "room", "token": "token"})


def test_a_newer_request_replaces_one_that_is_not_acknowledged() -> None:
    outbox = Outbox()
    outbox.renew("1")
    assert outbox.due(0.0) == [Renewal(1, "1")]
    outbox.renew("2")
    outbox.renew("3")
    assert outbox.due(0.1) == [], "one is on its way"
    outbox.acknowledge(1, -1)
    assert outbox.due(0.2) == [Renewal(3, "3")]
    outbox.acknowledge(3, -1)
    assert not outbox.pending
    assert outbox.due(100.0) == []


def test_what_is_not_acknowledged_is_sent_again_for_ever() -> None:
    outbox = Outbox()
    outbox.permit(1)
    moments = [number * AGAIN_S / 4 for number in range(41)]
    sent = [moment for moment in moments if outbox.due(moment)]
    assert sent == [number * AGAIN_S for number in range(11)]


def test_who_may_join_anew_has_the_newest_request_before() -> None:
    """However many are on their way."""
    outbox = Outbox()
    outbox.renew("1")
    outbox.due(0.0)
    outbox.renew("2")
    outbox.permit(1)
    assert outbox.due(0.1) == [Renewal(2, "2"), Permission(1)]


def test_an_old_acknowledgement_takes_nothing_back() -> None:
    outbox = Outbox()
    outbox.permit(2)
    outbox.due(0.0)
    outbox.acknowledge(-1, 2)
    outbox.acknowledge(-1, 1)
    assert not outbox.pending


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_lost_on_the_way_the_newest_arrives(seed: int) -> None:
    """Commands and acknowledgements are lost as the dice say; then no more is."""
    dice, outbox = random.Random(seed), Outbox()
    heard = {"renewal": -1, "permission": -1}
    requests = permissions = 0
    for tick in range(400):
        lossy = tick < 300
        if lossy and dice.random() < 0.1:
            requests += 1
            outbox.renew(str(requests))
        if lossy and dice.random() < 0.05:
            permissions += 1
            outbox.permit(permissions)
        for command in outbox.due(tick * AGAIN_S / 8):
            if not (lossy and dice.random() < 0.7):
                kind = "renewal" if isinstance(command, Renewal) else "permission"
                heard[kind] = max(heard[kind], command.serial)
        if not (lossy and dice.random() < 0.7):
            outbox.acknowledge(heard["renewal"], heard["permission"])
    assert heard == {"renewal": requests or -1, "permission": permissions or -1}
    assert not outbox.pending


def test_the_worker_reads_what_the_dispatcher_writes() -> None:
    renewal, permission = Renewal(3, REQUEST).encode(), Permission(2).encode()
    read = control_channel.parse(renewal.rstrip(b"\n"))
    assert isinstance(read, control_channel.Renewal)
    assert read.serial == 3
    assert json.loads(read.line) == {**json.loads(REQUEST), "renewal": 3}
    assert control_channel.parse(permission.rstrip(b"\n")) == control_channel.Permission(2)


@pytest.mark.parametrize("line", [
    b"", b"nonsense", b"[]", b"5", b'"permission"', b"{}", b'{"permission": null}',
    b'{"permission": [1]}', b'{"renewal": "x"}', b"\xff", b"[" * 100_000, b'{"renewal": 1e999}',
])  # fmt: skip
def test_what_is_no_command_is_refused_with_one_error(line: bytes) -> None:
    with pytest.raises(ValueError, match="a command cannot be read"):
        control_channel.parse(line)
