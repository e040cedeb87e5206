"""Data messages on their way to one receiver: when they are sent, and when they are lost."""

from typing import Any, cast

from localroom.faults import Chaos
from localroom.media.association import Association
from localroom.media.data import DataConsumer, DataProducer

STREAM: dict[str, Any] = {"streamId": 3, "maxRetransmits": 5}


class FakeAssociation:
    """Notes what is sent on it."""

    established = True

    def __init__(self) -> None:
        self.sent: list[tuple[int, int, bytes, int | None, bool]] = []

    def send(self, *message: Any) -> bool:
        self.sent.append(message)
        return True


def consumer_on(association: FakeAssociation) -> DataConsumer:
    producer = DataProducer("avatar", {"sctpStreamParameters": STREAM}, Chaos())
    consumer = DataConsumer(producer, "agent", cast("Association", association), 7)
    producer.consumers.append(consumer)
    return consumer


def test_a_message_is_sent_before_the_sdk_has_answered_the_offer() -> None:
    association = FakeAssociation()
    consumer = consumer_on(association)
    consumer.producer.forward(51, b"ready")
    assert association.sent == [(7, 51, b"ready", 5, True)]
    assert not consumer.open
    consumer.agreed = True
    assert consumer.open


def test_nothing_is_sent_to_an_sdk_that_has_refused_the_offer() -> None:
    association = FakeAssociation()
    consumer = consumer_on(association)
    consumer.agreed = False
    consumer.producer.forward(51, b"ready")
    assert association.sent == []
    assert (consumer.sent, consumer.lost) == (0, 1)


def test_nothing_is_sent_to_a_receiver_that_has_left() -> None:
    association = FakeAssociation()
    consumer = consumer_on(association)
    consumer.closed = True
    consumer.producer.forward(51, b"ready")
    assert association.sent == []
    assert (consumer.sent, consumer.lost) == (0, 0)
