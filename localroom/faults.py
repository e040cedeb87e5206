"""Faults that are injected on purpose, and the random decisions when.

`Faults` are plain values that say which; `Chaos` decides what happens to the next message or
datagram. The same seed and the same traffic give the same faults.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from random import Random
from typing import Any, Final, TypeVar

Chance = float | tuple[bool, ...]
"""How often something happens: a probability, or one bool for each of the first events."""

ENTRY: Final = ("ok", "401", "500", "silent")
"""How the request for a configuration is answered."""

EVICTION: Final = ("told", "silent")
"""How a peer is evicted when another one joins under its id."""

MAX_DELAY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class MessageFaults:
    """What happens to data messages on their way from one peer to each of the others.

    They act after the sender's SCTP and before the receivers', so no retransmission repairs them.
    """

    drop: Chance = 0.0
    duplicate: Chance = 0.0
    reorder: Chance = 0.0
    """Which messages are held back for up to `jitter_s` while later ones pass."""
    jitter_s: float = 0.05
    delay_s: float = 0.0
    """Additional delay of every message."""


@dataclass(frozen=True, slots=True)
class DatagramFaults:
    """What happens to a peer's UDP datagrams, both ways: ICE, DTLS, SRTP and SCTP alike."""

    loss: Chance = 0.0
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PeerFaults:
    """The faults of one peer: of the messages that it sends, and of all its datagrams."""

    messages: MessageFaults = MessageFaults()
    datagrams: DatagramFaults = DatagramFaults()


@dataclass(frozen=True, slots=True)
class Faults:
    """All faults; `peers` has the faults of peers that differ from all others."""

    messages: MessageFaults = MessageFaults()
    datagrams: DatagramFaults = DatagramFaults()
    peers: Mapping[str, PeerFaults] = field(default_factory=dict)
    entry: str = "ok"
    eviction: str = "told"
    """``silent``: a peer whose id another one takes has left for all others, is not told so, and
    goes on sending."""
    seed: int = 1

    @classmethod
    def parse(cls, value: object) -> "Faults":
        """From decoded JSON. Raises ValueError that names what cannot be used."""
        known = _known(cls, value)
        entry, seed = str(known.get("entry", "ok")), known.get("seed", 1)
        if entry not in ENTRY:
            raise ValueError(f"`entry` has to be one of {', '.join(ENTRY)}.")
        eviction = str(known.get("eviction", "told"))
        if eviction not in EVICTION:
            raise ValueError(f"`eviction` has to be one of {', '.join(EVICTION)}.")
        if type(seed) is not int:
            raise ValueError("`seed` has to be a whole number.")
        peers = known.get("peers", {})
        if not isinstance(peers, dict):
            raise ValueError("`peers` has to be an object.")
        return cls(
            _leaf(MessageFaults, known.get("messages", {})),
            _leaf(DatagramFaults, known.get("datagrams", {})),
            {name: _peer(faults) for name, faults in peers.items()},
            entry,
            eviction,
            seed,
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Chaos:
    """Decides by `faults`; each pair of peers has a random generator of its own."""

    def __init__(self, faults: Faults | None = None) -> None:
        self._dice: dict[tuple[str, ...], Dice] = {}
        self.faults = faults or Faults()

    def set(self, faults: Faults) -> None:
        """Replace the faults; their lists and generators start anew."""
        self.faults = faults
        self._dice.clear()

    def message_delays(self, sender: str, receiver: str) -> list[float]:
        """When (s from now) each copy of the next message is to arrive; none for a lost one."""
        faults = self._of(sender).messages
        if faults == NO_MESSAGE_FAULTS:
            return [0.0]
        dice = self._dice_of("message", sender, receiver)
        if dice.hit("drop", faults.drop):
            return []
        copies = 2 if dice.hit("duplicate", faults.duplicate) else 1
        held = [
            dice.upto(faults.jitter_s) if dice.hit("reorder", faults.reorder) else 0.0
            for _ in range(copies)
        ]
        return [faults.delay_s + more for more in held]

    def datagram_delay(self, peer: str, direction: str) -> float | None:
        """How late (s) the peer's next datagram is; None for a lost one."""
        faults = self._of(peer).datagrams
        if faults == NO_DATAGRAM_FAULTS:
            return 0.0
        lost = self._dice_of("datagram", peer, direction).hit("loss", faults.loss)
        return None if lost else faults.delay_s

    def _of(self, peer: str) -> PeerFaults:
        common = PeerFaults(self.faults.messages, self.faults.datagrams)
        return self.faults.peers.get(peer, common)

    def _dice_of(self, *path: str) -> "Dice":
        if path not in self._dice:
            self._dice[path] = Dice(f"{self.faults.seed}/{'/'.join(path)}")
        return self._dice[path]


class Dice:
    """Random numbers from a seed, and how far each list of decisions has been used."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)  # noqa: S311 - it has to repeat itself
        self._planned: dict[str, Iterator[bool]] = {}

    def hit(self, name: str, chance: Chance) -> bool:
        if isinstance(chance, tuple):
            return next(self._planned.setdefault(name, iter(chance)), False)
        return chance > 0 and self._random.random() < chance

    def upto(self, most: float) -> float:
        return self._random.uniform(0, most)


NO_MESSAGE_FAULTS: Final = MessageFaults()
NO_DATAGRAM_FAULTS: Final = DatagramFaults()

Leaf = TypeVar("Leaf", MessageFaults, DatagramFaults)


def _known(kind: type, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("Faults have to be a JSON object.")
    names = {each.name for each in fields(kind)}
    if not names.issuperset(value):
        raise ValueError(f"Only these are known here: {', '.join(sorted(names))}.")
    return value


def _peer(value: object) -> PeerFaults:
    known = _known(PeerFaults, value)
    return PeerFaults(
        _leaf(MessageFaults, known.get("messages", {})),
        _leaf(DatagramFaults, known.get("datagrams", {})),
    )


def _leaf(kind: type[Leaf], value: object) -> Leaf:
    known = _known(kind, value)
    return kind(**{name: _amount(name, each) for name, each in known.items()})


def _amount(name: str, value: object) -> Any:
    if isinstance(value, list | tuple) and not name.endswith("_s"):
        if all(isinstance(each, bool) for each in value):
            return tuple(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        most = MAX_DELAY_S if name.endswith("_s") else 1.0
        if 0 <= value <= most:
            return float(value)
    raise ValueError(
        f"`{name}` has to be a probability or a list of true and false, "
        f"or a time of up to {MAX_DELAY_S:g} s."
    )
