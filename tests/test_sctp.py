"""The SDK's SCTP is hastened where it is there, and only then."""

import sys
from types import ModuleType

import pytest

from agent_side.sctp import RESEND_S, hasten

NAME = "vsaiortc.rtcsctptransport"


@pytest.mark.parametrize(("before", "after"), [(1, RESEND_S), (0.1, 0.1)])
def test_only_a_slow_one_is_hastened(
    monkeypatch: pytest.MonkeyPatch, before: float, after: float
) -> None:
    sctp = ModuleType(NAME)
    sctp.SCTP_RTO_MIN = before  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, NAME, sctp)
    hasten()
    assert after == sctp.SCTP_RTO_MIN  # type: ignore[attr-defined]


def test_another_version_or_none_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    other = ModuleType(NAME)
    monkeypatch.setitem(sys.modules, NAME, other)
    hasten()
    assert not hasattr(other, "SCTP_RTO_MIN")
    monkeypatch.delitem(sys.modules, NAME)
    hasten()


def test_the_installed_sdk_takes_it_from_there() -> None:
    from vsaiortc import rtcsctptransport

    hasten()
    assert rtcsctptransport.SCTP_RTO_MIN <= RESEND_S
    assert "SCTP_RTO_MIN" in rtcsctptransport.RTCSctpTransport._update_rto.__code__.co_names
