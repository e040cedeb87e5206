"""Version1Sender: turns for a stock worker, which names no turn and reports only their ends.

How far a turn was heard follows from the acks (`agent_side.senders.accounts`), and what the
worker is playing now from the time at which it was sent.
"""

import math
from functools import partial
from typing import Final

from agent_side.senders.accounts import Accounts
from agent_side.senders.port import WINDOW_S, Outgoing, piece_samples
from agent_side.turn_buffer import Turn, TurnBuffer
from agent_side.wire import Interrupt, Pcm, SegmentEnd, StreamEnded

ACK_TIMEOUT_S: Final = 3.0
"""A turn whose ack is so late ends unconfirmed: stock workers swallow some."""

NEXT_TURN_S: Final = 0.5
"""A turn waits so long for the ack of the one before: an ack does not name its turn."""

SLOWNESS: Final = 0.1
"""Stock workers play slower than real time, by a twentieth: acks are awaited longer by this."""

DEAF_S: Final = 0.35
"""A stock worker drops what arrives within 0.3 s after an interrupt, also the next turn."""

KEPT_S: Final = 30.0
"""Speech that was sent in version 1 is kept so long, in case the worker speaks version 2."""


class Version1Sender:
    """Sends the turns of `turns` in version 1. `reset` begins with another worker."""

    def __init__(self, turns: TurnBuffer) -> None:
        self.has_acked = False
        """This worker has acked in version 1."""
        self._turns = turns
        self._piece = piece_samples(turns.rate)
        self._accounts = Accounts()
        self._finishes = False
        self._interrupt_is_due = False
        self._heard_by = 0.0
        """When the worker will have played all that it was sent."""
        self._deaf_until = 0.0

    @property
    def takes_turns(self) -> bool:
        """The worker has not announced version 2."""
        return not self._finishes

    @property
    def is_heard(self) -> bool:
        """The worker plays what it is sent in version 1, and is within a turn."""
        return self.has_acked and any(turn.begun for turn in self._turns.all)

    def finish(self) -> None:
        """The worker has announced version 2: finish the present turn, and begin no other."""
        self._finishes = True

    def give_up(self) -> None:
        """All turns have ended: no ack counts for them."""
        self._accounts.clear()

    def reset(self) -> None:
        """This worker is gone, or speaks version 2."""
        self.has_acked = self._finishes = self._interrupt_is_due = False
        self._accounts.clear()

    def lost(self, now: float) -> None:
        """This worker is gone; it plays nothing more."""
        self.reset()
        self._heard_by = now

    # Sending --------------------------------------------------------------------------------

    def next_control(self) -> Outgoing | None:
        """An interrupt that has not been sent."""
        return Outgoing(Interrupt(), self._interrupt_sent) if self._interrupt_is_due else None

    def next_speech(self, now: float) -> Outgoing | None:
        """The next piece or end of a turn; None while nothing may be sent."""
        if now < self._deaf_until or (self._finishes and not self.has_acked):
            return None
        for turn in self._turns.alive:
            if turn.end_sent:
                continue
            if not turn.begun and (self._finishes or self._awaits_ack(now)):
                return None
            if turn.sent < turn.written:
                return self._next_piece(turn, now)
            if not turn.closed:
                return None
            return Outgoing(SegmentEnd(), partial(self._end_sent, turn))
        return None

    def _next_piece(self, turn: Turn, now: float) -> Outgoing | None:
        if self._heard_by - now > WINDOW_S:
            return None
        end = min(turn.written, turn.sent + self._piece)
        return Outgoing(Pcm(turn.piece(turn.sent, end)), partial(self._speech_sent, turn, end))

    def _awaits_ack(self, now: float) -> bool:
        """An ack is due that is certain to be that turn's while the next has not begun."""
        return any(
            turn.end_sent and now < turn.due + NEXT_TURN_S + self._slack_s(turn)
            for turn in self._turns.alive
        )

    def _slack_s(self, turn: Turn) -> float:
        return SLOWNESS * (turn.sent - turn.place) / self._turns.rate

    def _interrupt_sent(self, now: float) -> None:
        self._interrupt_is_due = False
        self._deaf_until = now + DEAF_S

    def _speech_sent(self, turn: Turn, end: int, now: float) -> None:
        samples = end - turn.sent
        self._heard_by = max(now, self._heard_by) + samples / self._turns.rate
        self._accounts.merge_ended(self._live, self._heard_by)
        self._accounts.add(turn, samples, now)
        turn.due = self._heard_by
        turn.sent_to(end)
        turn.forget_before(end - int(KEPT_S * self._turns.rate))

    def _end_sent(self, turn: Turn, now: float) -> None:
        turn.end_sent = True
        turn.due = max(now, self._heard_by)

    def interrupt(self, dead: list[Turn], now: float) -> bool:
        """The worker has to drop these turns. False where it was sent none of them."""
        if not any(turn.begun for turn in dead):
            return False
        for turn in dead:
            turn.due = now
        self._interrupt_is_due = True
        self._heard_by = now
        return True

    # Acks -----------------------------------------------------------------------------------

    @property
    def _live(self) -> dict[int, Turn]:
        return {turn.number: turn for turn in self._turns.all}

    def receive(self, message: StreamEnded) -> None:
        """An ack. It does not name its turn, and stock workers swallow some."""
        self.has_acked = True
        played = math.floor(message.position * self._turns.rate + 1e-6)
        if message.interrupted:
            self._interrupt_acked(played)
        elif played:
            self._end_acked(played)

    def _interrupt_acked(self, played: int) -> None:
        """All turns that were interrupted have ended."""
        dead = [turn for turn in self._turns.all if turn.killed]
        exact = self._accounts.count(dead, played, self._live)
        for turn in dead:
            if turn in exact and not turn.unproven:
                self._turns.over(turn, turn.proven / self._turns.rate, interrupted=True)
            else:
                self._turns.over_as_known(turn)

    def _end_acked(self, played: int) -> None:
        """The first turn whose end was sent has ended; those before it were interrupted.

        Where no end was sent, the worker has stopped waiting for the rest of the turn that is
        being sent, and this is how far it was heard.
        """
        turns = self._turns.all
        ended = next((turn for turn in turns if turn.end_sent), None)
        acked = ended or next((turn for turn in turns if turn.begun and not turn.killed), None)
        if acked is None:
            return
        before = acked.heard
        self._accounts.count([acked], played, self._live)
        if ended is None:
            return
        for turn in turns[: turns.index(ended)]:
            self._turns.over_as_known(turn)
        if ended.heard > before and not ended.unproven:
            self._turns.over(ended, ended.proven / self._turns.rate, interrupted=False)
        else:
            self._turns.over_as_known(ended)

    def expire(self, now: float) -> None:
        """End the turns that are known to be heard, and those whose ack is too late."""
        for turn in self._turns.all:
            empty = turn.closed and not turn.written
            known = turn.end_sent and turn.proven == turn.written
            late = now > turn.due + ACK_TIMEOUT_S + self._slack_s(turn)
            if not (empty or known or (late and (turn.end_sent or turn.killed))):
                break
            self._turns.over_as_known(turn)

    def reached(self, now: float) -> dict[int, int]:
        """The worker does not report what it has played: all but what is still ahead."""
        ahead = int(max(0.0, self._heard_by - now) * self._turns.rate)
        reached = {}
        for turn in reversed(self._turns.alive):
            reached[turn.number] = max(turn.heard, turn.sent - ahead)
            ahead = max(0, ahead - (turn.sent - turn.place))
        return reached
