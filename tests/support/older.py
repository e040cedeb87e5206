"""Dispatchers and nodes of the version before records had one, as far as the ledger sees them.

Their scripts are that version's own (``tests/data/ledger-1``); they seal join requests for no
session, and read what they are told as that version did.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from agent_side.join import JoinInfo
from dispatcher.errors import StoreDown
from dispatcher.ledger import store
from dispatcher.ledger.encryption import Holder, Seal
from dispatcher.ledger.record import Record, read_record
from dispatcher.ledger.redis import Ledger, Letter, NodeLedger, Renew
from dispatcher.ledger.store import PREFIX, Reply, Store

SCRIPTS: Final = Path(__file__).parents[1] / "data" / "ledger-1"

RECORDED_KEY: Final = "ZGVyIFNjaGx1ZXNzZWwgZGVyIGFlbHRlcmVuIFZlcnM="
"""Of which the join requests in ``records.json`` are sealed."""

READS: Final = (
    *("key", "id", "room", "participant", "owner", "state", "since", "reason", "epoch", "slot"),
    *("waiting", "acked", "attempts", "exp", "renewals", "trace", "counters", "life"),
)
"""The fields without which that version could read no record."""


@cache
def script(name: str) -> str:
    """The whole text of one script of that version."""
    return (SCRIPTS / "common.lua").read_text() + (SCRIPTS / f"{name}.lua").read_text()


class OlderStore(Store):
    """Runs that version's scripts."""

    async def _run(self, batch: list[Any]) -> None:
        commands = [
            ("EVAL", store.CLOCK + script(call.name), 1, f"{PREFIX}leases", *call.arguments)
            for call in batch
        ]
        answers = await self._line.ask(commands)
        for call, answer in zip(batch, answers, strict=True):
            call.settle(answer if isinstance(answer, Exception | None) else str(answer))


class OlderSeal(Seal):
    """Seals for nobody, and opens what was sealed for anybody."""

    def close_join(self, join: JoinInfo, holder: Holder) -> str:
        return self.close(join.to_json())

    def open_join(self, sealed: str, holder: Holder) -> JoinInfo | None:
        text = self.open(sealed)
        return None if text is None else JoinInfo.from_json(text)


def read(fields: Mapping[str, object]) -> Record:
    """The record, as that version reads it. Raises KeyError where it could not."""
    assert all(isinstance(fields[name], str | int | float) for name in READS)
    return read_record(fields)


class OlderLedger(Ledger):
    """A dispatcher of that version."""

    def __init__(self, url: str, keys: Sequence[str], *, name: str, lease_s: float) -> None:
        super().__init__(url, OlderSeal(keys), name=name, lease_s=lease_s)
        self._store = OlderStore(url)

    async def _find(self, *session_ids: str) -> list[Record]:
        answer = await self._store.call("find", *session_ids)
        return [read(each) for each in answer if isinstance(each, dict)] if answer else []  # type: ignore[union-attr]

    async def _legible(self, place: str, answer: Reply) -> Record:
        fields = answer if isinstance(answer, dict) else {}
        return read({name: str(value) for name, value in fields.items()})


class OlderNodeLedger(NodeLedger):
    """A node of that version."""

    def __init__(self, url: str, keys: Sequence[str], *, name: str, lease_s: float) -> None:
        super().__init__(url, OlderSeal(keys), name=name, lease_s=lease_s)
        self._store = OlderStore(url)

    async def _letter(self, parts: list[Reply], asked_at: float) -> Letter | None:
        match parts:
            case ["serve", _, dict(fields), _]:
                read(fields)
            case ["renew", str(key), str(session_id), sealed, expires, renewals]:
                join = self._seal.open_join(str(sealed), Holder(key, session_id, 0))
                if join is None:
                    raise StoreDown("It was sealed with another key.")
                expires_s, count = float(str(expires)) / 1000, int(str(renewals))
                return Renew(key, session_id, join, expires_s, count)
        return await super()._letter(parts, asked_at)


def recorded() -> dict[str, dict[str, str]]:
    """Records of that version as Redis had them, by what their sessions did."""
    found: dict[str, dict[str, str]] = json.loads((SCRIPTS / "records.json").read_text())
    return found
