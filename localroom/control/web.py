"""What a browser on this machine may ask: to watch, and what the control answers.

Every page on the web can make the browser that shows it send requests to 127.0.0.1. So those
are answered that come from pages of this machine, and from programs that are no browsers.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from localroom.control.api import Control
from localroom.http.endpoint import Request, Response
from localroom.signalling.room import Room
from localroom.watching import pages, whep
from localroom.watching.audience import Audience

HERE: Final = ("127.0.0.1", "localhost", "::1")


class Web:
    """Everything on the control's port."""

    def __init__(
        self,
        control: Control,
        audience: Audience,
        rooms: Mapping[str, Room],
        ice_servers: list[dict[str, Any]],
    ) -> None:
        self._links = whep.relays(ice_servers)
        self._control = control
        self._audience = audience
        self._rooms = rooms

    async def answer(self, request: Request) -> Response:
        """Raises ValueError, which becomes a 400."""
        if not _from_here(request):
            return Response(403, {"error": "Only pages of this machine may ask that."})
        parts = [unquote(part) for part in urlsplit(request.path).path.strip("/").split("/")]
        match parts:
            case ["whep", *rest]:
                response = await whep.answer(request, rest, self._audience, self._links)
                return whep.shared(response, request.headers.get("origin"))
            case [""] | ["watch"]:
                return pages.index(self._rooms)
            case ["watch", _, _]:
                return pages.watch()
        return await self._control.answer(request, parts)


def _from_here(request: Request) -> bool:
    """A page's address is in ``Origin``; ``Host`` is what a name was that leads here."""
    origin = request.headers.get("origin")
    host = request.headers.get("host", HERE[0])
    return _name(f"//{host}") in HERE and (origin is None or _name(origin) in HERE)


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
