"""The SDK's SCTP is mended where it is there, and only then."""

import asyncio
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from agent_side.sctp import RESEND_S, mend

NAME = "vsaiortc.rtcsctptransport"


@pytest.mark.parametrize(("before", "after"), [(1, RESEND_S), (0.1, 0.1)])
def test_only_a_slow_one_is_hastened(
    monkeypatch: pytest.MonkeyPatch, before: float, after: float
) -> None:
    sctp = ModuleType(NAME)
    sctp.SCTP_RTO_MIN = before  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, NAME, sctp)
    mend()
    assert after == sctp.SCTP_RTO_MIN  # type: ignore[attr-defined]


def test_another_version_or_none_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    other = ModuleType(NAME)
    monkeypatch.setitem(sys.modules, NAME, other)
    mend()
    assert not hasattr(other, "SCTP_RTO_MIN")
    monkeypatch.delitem(sys.modules, NAME)
    mend()


def test_the_installed_sdk_takes_its_patience_from_there() -> None:
    from vsaiortc import rtcsctptransport

    mend()
    assert rtcsctptransport.SCTP_RTO_MIN <= RESEND_S
    assert "SCTP_RTO_MIN" in rtcsctptransport.RTCSctpTransport._update_rto.__code__.co_names


class Under:
    """All that an association needs of what is below it."""

    class transport:  # noqa: N801 - what vsaiortc reads
        role = "controlling"

    state = "connected"


def sent_when_all_counts_as_in_flight() -> int:
    """Chunks that leave when nothing is under way, and much is thought to be."""
    from vsaiortc.rtcsctptransport import RTCSctpTransport

    async def send() -> int:
        association: Any = RTCSctpTransport(Under(), 5000)
        chunks: list[object] = []

        async def send_chunk(chunk: object) -> None:
            chunks.append(chunk)

        association._association_state = association.State.ESTABLISHED
        association._send_chunk = send_chunk
        association._flight_size = 10 * association._cwnd
        await association._send(0, 53, b"speech", ordered=False)
        association._t3_cancel()
        return len(chunks)

    return asyncio.run(send())


def test_what_is_not_under_way_keeps_nothing_back() -> None:
    mend()
    mend()
    assert sent_when_all_counts_as_in_flight() == 1


def test_the_sdk_alone_would_be_silent_for_ever() -> None:
    """Or its fault has been mended, and ours can go."""
    program = "import test_sctp; print(test_sctp.sent_when_all_counts_as_in_flight())"
    alone = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        env={"PYTHONPATH": "../..:."},
        capture_output=True,
        text=True,
        check=True,
    )
    assert alone.stdout.strip() == "0"
