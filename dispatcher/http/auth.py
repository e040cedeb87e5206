"""Who asks: the gate in front of the routes, and what each of its modes takes for an answer.

- ``none``: everybody, distinguished by address. It has to be chosen where others can reach us.
- ``jwt``: a VideoSDK token that the operator's secret has signed. A stock agent sends one in the
  body of its join request, so it needs nothing else.
- ``basic``: a user and a password, as the header that stands for ``http://user:password@host``.
- ``bearer``: a key, in the header ``Authorization: Bearer <key>``.

Of several modes, one that is satisfied is enough. Sessions are seen and ended by whoever has a
password or a key; where there are none, by whoever has a token of the operator's own: one with
``allow_mod`` that is bound to no room and to no participant, as those of a meeting's guests are.
"""

import base64
import ipaddress
import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import jwt
from jwt.types import Options

from agent_side.join import JoinInfo
from dispatcher.errors import Forbidden, SettingsError, Unauthorized
from dispatcher.settings import DispatcherSettings

MAX_HEADER: Final = 8_448
"""The longest Authorization header that is looked at: the longest token, and a word before it."""

ALGORITHM: Final = "HS256"
"""The only one: a token does not choose how it is verified."""

OPTIONS: Final[Options] = {"require": ["exp"], "verify_iat": False}
"""An issuer's clock may be ahead: `iat` is no reason to refuse; `exp` and `nbf` are."""

TO_JOIN: Final = "allow_join"
TO_OPERATE: Final = "allow_mod"

Claims = dict[str, Any]

logger = logging.getLogger("avatar.dispatcher.auth")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: `owner` is one name for all that one key, user or address does."""

    owner: str


class Gate:
    """Lets in callers who satisfy one of the modes of `settings`."""

    def __init__(self, settings: DispatcherSettings) -> None:
        modes = settings.auth or ("none",)
        self._open = "none" in modes
        self._jwt_keys = settings.jwt_keys if "jwt" in modes else ()
        self._basic = _Ring(
            (f"{user}:{password}".encode(), f"basic:{user}")
            for user, password in (settings.basic_keys if "basic" in modes else ())
        )
        self._bearer = _Ring(
            (key.encode(), f"bearer:{_short(key)}")
            for key in (settings.bearer_keys if "bearer" in modes else ())
        )

    @property
    def open(self) -> bool:
        """Whether everybody is let in."""
        return self._open

    @property
    def reads_tokens(self) -> bool:
        """Whether the token in a join request may be what lets it in."""
        return bool(self._jwt_keys)

    @property
    def schemes(self) -> tuple[str, ...]:
        """What an operator may show: ``basic``, ``bearer``; ``jwt`` where there is neither."""
        kinds = [name for name, ring in (("basic", self._basic), ("bearer", self._bearer)) if ring]
        return tuple(kinds) or (("jwt",) if self._jwt_keys else ())

    @property
    def challenge(self) -> str:
        """For the header WWW-Authenticate of a 401."""
        schemes = [
            *(['Bearer realm="avatar"'] if self._bearer or self._jwt_keys else []),
            *(['Basic realm="avatar", charset="UTF-8"'] if self._basic else []),
        ]
        return ", ".join(schemes)

    def by_header(self, authorization: str, peer: str) -> Caller | None:
        """Who the header says it is, or None; what the body says may be enough then."""
        if self._open:
            return Caller(peer)
        scheme, _, content = authorization[:MAX_HEADER].partition(" ")
        match scheme.lower():
            case "basic":
                owner = self._basic.owner(_decoded(content.strip()))
            case "bearer":
                owner = self._bearer.owner(content.strip().encode())
            case _:
                owner = None
        return None if owner is None else Caller(owner)

    def by_token(self, join: JoinInfo) -> Caller:
        """Who has signed the token of a complete join request. Raises Unauthorized, Forbidden."""
        apikey, claims = self._verified(join.token)
        _permit(claims, TO_JOIN)
        for name, asked in (("participantId", join.participant_id), ("roomId", join.room_name)):
            if claims.get(name) not in (None, asked):
                raise Forbidden(f"The token's `{name}` is not that of the join request.")
        return Caller(f"jwt:{_short(apikey)}")

    def operator(self, authorization: str, peer: str) -> Caller:
        """Who may see and end sessions. Raises Unauthorized, Forbidden."""
        caller = self.by_header(authorization, peer)
        if caller is not None:
            return caller
        if self._basic or self._bearer:
            raise Unauthorized("This needs an Authorization header with a key that is known here.")
        scheme, _, token = authorization[:MAX_HEADER].partition(" ")
        apikey, claims = self._verified(token.strip() if scheme.lower() == "bearer" else scheme)
        _permit(claims, TO_OPERATE)
        if claims.get("roomId") is not None or claims.get("participantId") is not None:
            raise Forbidden("The token is for one room or one participant, not for an operator.")
        return Caller(f"jwt:{_short(apikey)}")

    def _verified(self, token: str) -> tuple[str, Claims]:
        """(apikey, claims) of a token that one of our secrets has signed and that is not over.

        All keys are tried, as how long it takes tells nothing then. Raises Unauthorized.
        """
        found: tuple[str, Claims] | None = None
        for apikey, secret in self._jwt_keys:
            claims = _claims(token, secret)
            if claims is not None and _is(claims.get("apikey"), apikey):
                found = apikey, claims
        if found is None:
            raise Unauthorized(
                "The token is none that is known here: its signature, its `apikey` or its `exp` "
                "is missing, wrong or over."
            )
        return found


class _Ring:
    """Secrets, each with its owner's name; all of them are compared with each that comes."""

    def __init__(self, keys: Iterable[tuple[bytes, str]]) -> None:
        self._keys = tuple((sha256(secret).digest(), owner) for secret, owner in keys)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def owner(self, given: bytes) -> str | None:
        """Whose secret it is. What takes as long for each guess tells nothing."""
        digest = sha256(given).digest()
        found: str | None = None
        for known, owner in self._keys:
            if secrets.compare_digest(known, digest):
                found = owner
        return found


def peer_of(host: str | None) -> str:
    """The name of an address as an owner; of IPv6, the network that one customer has."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return "peer:unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return f"peer:{ipaddress.ip_network((address.packed, 64), strict=False)}"
        address = address.ipv4_mapped
    return f"peer:{address}"


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches the (resolved) address."""
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def may_listen(settings: DispatcherSettings, address: str) -> None:
    """Raises SettingsError where others can reach `address` and no mode is chosen.

    `address` is resolved, as a socket has it.
    """
    if not settings.auth and not is_loopback(address):
        raise SettingsError(
            f"{address} can be reached from other machines, and whoever reaches it could launch "
            "and end sessions; set AVATAR_AUTH to jwt, basic or bearer, or say --auth none."
        )
    if "none" in settings.auth and not is_loopback(address):
        logger.warning(
            "%s can be reached from other machines, and whoever reaches it may launch and end "
            "sessions: no authentication is required",
            address,
        )


def _permit(claims: Claims, permission: str) -> None:
    permissions = claims.get("permissions")
    if not isinstance(permissions, list) or permission not in permissions:
        raise Forbidden(f"The token lacks the permission `{permission}`.")


def _claims(token: str, secret: str) -> Claims | None:
    """What the token claims, if that secret has signed it and it is not over."""
    try:
        return jwt.decode(token, secret, algorithms=[ALGORITHM], options=OPTIONS)
    except (jwt.PyJWTError, RecursionError, OverflowError, TypeError, ValueError):
        # The last four are PyJWT's own where a token nests too deep or has an absurd number.
        return None


def _is(given: object, known: str) -> bool:
    """Bytes, as `compare_digest` takes no other letters than ASCII's."""
    if not isinstance(given, str):
        return False
    return secrets.compare_digest(given.encode("utf-8", "surrogatepass"), known.encode())


def _decoded(content: str) -> bytes:
    """``user:password`` as a Basic header has it; nothing where it is none."""
    try:
        return base64.b64decode(content, validate=True)
    except ValueError:
        return b""


def _short(secret: str) -> str:
    """A name for a key that does not reveal it."""
    return sha256(b"avatar owner\0" + secret.encode()).hexdigest()[:12]
