"""Dispatchers and nodes of the version before records had one, as far as the ledger sees them.

Their scripts are that version's own (``tests/data/ledger-1``); they encrypt join requests for no
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
from dispatcher.ledger.command import Command, RenewCommand
from dispatcher.ledger.encryption import Encryption, Recipient
from dispatcher.ledger.fields import read_record
from dispatcher.ledger.record import SessionRecord
from dispatcher.ledger.redis import RedisLedger
from dispatcher.ledger.redis_node import RedisNodeLedger
from dispatcher.ledger.store import PREFIX, Reply, Store

SCRIPTS: Final = Path(__file__).parents[1] / "data" / "ledger-1"

RECORDED_KEY: Final = "ZGVyIFNjaGx1ZXNzZWwgZGVyIGFlbHRlcmVuIFZlcnM="
"""Of which the join requests in ``records.json`` are encrypted."""

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
        answers = await self._main.ask(commands)
        for call, answer in zip(batch, answers, strict=True):
            call.resolve(answer if isinstance(answer, Exception | None) else str(answer))


class OlderEncryption(Encryption):
    """Encrypts for nobody, and decrypts what was encrypted for anybody."""

    def encrypt_join(self, join: JoinInfo, recipient: Recipient) -> str:
        return self.encrypt(join.to_json())

    def decrypt_join(self, encrypted: str, recipient: Recipient) -> JoinInfo | None:
        text = self.decrypt(encrypted)
        return None if text is None else JoinInfo.from_json(text)


def read(fields: Mapping[str, object]) -> SessionRecord:
    """The record, as that version reads it. Raises KeyError where it could not."""
    assert all(isinstance(fields[name], str | int | float) for name in READS)
    return read_record(fields)


class OlderLedger(RedisLedger):
    """A dispatcher of that version."""

    def __init__(self, url: str, keys: Sequence[str], *, name: str, lease_s: float) -> None:
        super().__init__(url, OlderEncryption(keys), name=name, lease_s=lease_s)
        self._store = OlderStore(url)

    async def _find(self, *session_ids: str) -> list[SessionRecord]:
        answer = await self._store.call("find", *session_ids)
        return [read(each) for each in answer if isinstance(each, dict)] if answer else []  # type: ignore[union-attr]

    async def _legible(self, place: str, answer: Reply) -> SessionRecord:
        fields = answer if isinstance(answer, dict) else {}
        return read({name: str(value) for name, value in fields.items()})


class OlderNodeLedger(RedisNodeLedger):
    """A node of that version."""

    def __init__(self, url: str, keys: Sequence[str], *, name: str, lease_s: float) -> None:
        super().__init__(url, OlderEncryption(keys), name=name, lease_s=lease_s)
        self._store = OlderStore(url)

    async def _command(self, parts: list[Reply], asked_at: float) -> Command | None:
        match parts:
            case ["serve", _, dict(fields), _]:
                read(fields)
            case ["renew", str(key), str(session_id), encrypted, expires, renewals]:
                join = self._encryption.decrypt_join(str(encrypted), Recipient(key, session_id, 0))
                if join is None:
                    raise StoreDown("It was encrypted with another key.")
                expires_s, count = float(str(expires)) / 1000, int(str(renewals))
                return RenewCommand(key, session_id, join, expires_s, count)
        return await super()._command(parts, asked_at)


def recorded() -> dict[str, dict[str, str]]:
    """Records of that version as Redis had them, by what their sessions did."""
    found: dict[str, dict[str, str]] = json.loads((SCRIPTS / "records.json").read_text())
    return found
