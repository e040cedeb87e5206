"""Accounts: which samples of which turn the acks of version 1 prove heard.

An ack of version 1 says how many samples were played, and not of which turn. Stock workers swallow
some acks, and count in the next one what they have swallowed; speech that arrives late is counted
late. So a turn is credited with the part of an ack that no other turn can account for.

Example: the worker was sent 1 s of turn 1 and 2 s of turn 2, and has acked nothing. An ack of
2.5 s proves 1.5 s of turn 2, because at most 1 s of the ack can be of turn 1; and it proves 0.5 s
of turn 1, because at most 2 s of it can be of turn 2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agent_side.turn_buffer import Turn

STRAY_S: Final = 5.0
"""Late speech of version 1 may be counted so much later, in an ack for another turn: it may travel
for a second, a worker of ours waits two seconds for more of it, and the ack may travel for a
second."""

ENDED: Final = 0
"""The key under which what is left of all ended turns is kept, as one account."""


@dataclass(slots=True)
class Account:
    """The samples of a turn that were sent and that no ack has counted.

    Until an ack has arrived for this turn or a later one (`acked`), any ack may count them.
    After it, only samples that were late are left, which an ack may count for `STRAY_S`.
    """

    first_sent_at: float
    last_sent_at: float
    samples: int = 0
    acked: bool = False

    def may_be_in_ack_for(self, other: "Account") -> bool:
        """An ack for `other` may count samples of this account."""
        return not self.acked or other.first_sent_at <= self.last_sent_at + STRAY_S

    def merge(self, other: "Account") -> None:
        """Add what is left of `other`."""
        self.first_sent_at = min(self.first_sent_at, other.first_sent_at)
        self.last_sent_at = max(self.last_sent_at, other.last_sent_at)
        self.samples += other.samples
        self.acked = self.acked and other.acked


class Accounts:
    """One account for each turn of which the worker was sent speech, and one for ended turns."""

    def __init__(self) -> None:
        self._accounts: dict[int, Account] = {}

    def clear(self) -> None:
        """No ack of this worker will be counted."""
        self._accounts.clear()

    def add(self, turn: Turn, samples: int, now: float) -> None:
        """So many samples of the turn were sent."""
        account = self._accounts.setdefault(turn.number, Account(now, now))
        account.samples += samples
        account.last_sent_at = now

    def count(self, acked: Sequence[Turn], played: int, live: Mapping[int, Turn]) -> list[Turn]:
        """An ack for the turns `acked` counts `played` samples: credit what it proves.

        Returns those of `acked` of which the ack counts everything that was played: no other
        turn has samples that it may count.
        """
        others = {number: self._samples_of_others(number) for number in self._accounts}
        for number, samples in others.items():
            account, turn = self._accounts[number], live.get(number)
            proven = max(0, min(account.samples, played - samples))
            if turn is not None:
                turn.heard = min(turn.sent, turn.heard + proven)
                account.samples -= proven
        self._mark_acked(acked)
        return [turn for turn in acked if not others.get(turn.number, turn.furthest)]

    def _samples_of_others(self, number: int) -> int:
        """Samples of other turns that an ack for this turn may count."""
        account = self._accounts[number]
        return sum(
            other.samples
            for each, other in self._accounts.items()
            if each != number and other.may_be_in_ack_for(account)
        )

    def _mark_acked(self, acked: Sequence[Turn]) -> None:
        counted = [self._accounts[t.number] for t in acked if t.number in self._accounts]
        newest = max((account.first_sent_at for account in counted), default=0.0)
        for account in self._accounts.values():
            account.acked = account.acked or account.first_sent_at <= newest

    def merge_ended(self, live: Mapping[int, Turn], heard_by: float) -> None:
        """Merge the accounts of ended turns into one, and drop what no later ack may count.

        `heard_by` is when the worker will have played all that it was sent.
        """
        first = [a.first_sent_at for number, a in self._accounts.items() if number in live]
        oldest_ack = min([*first, heard_by])
        rest: Account | None = None
        for number in [number for number in self._accounts if number not in live]:
            account = self._accounts.pop(number)
            if account.acked and account.last_sent_at + STRAY_S < oldest_ack:
                continue
            if rest is None:
                rest = Account(account.first_sent_at, account.last_sent_at, 0, acked=True)
            rest.merge(account)
        if rest is not None:
            self._accounts[ENDED] = rest
