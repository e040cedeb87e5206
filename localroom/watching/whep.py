"""WHEP (draft-ietf-wish-whep): an SDP offer by POST, and whoever sent it watches a participant.

OPTIONS /whep/{room}/{participant}         what a browser asks before it sends the others
POST    /whep/{room}/{participant}         the offer; 201 with the answer and a Location
PATCH   /whep/{room}/{participant}/{id}    candidates of the watcher, which are not needed: 204
DELETE  /whep/{room}/{participant}/{id}    the end
GET     /whep                              who watches, and what flows; not part of WHEP

One may watch who is in the room and publishes nothing yet: pictures and sound come when there
are some. They go on when the participant leaves and returns within half a minute.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from localroom.http.endpoint import Request, Response
from localroom.media import sdp
from localroom.watching.audience import AbsentError, Audience, FullError
from localroom.watching.watcher import Watcher

SDP: Final = "application/sdp"
METHODS: Final = "OPTIONS, POST, PATCH, DELETE"


async def answer(
    request: Request, parts: list[str], audience: Audience, links: Mapping[str, str]
) -> Response:
    """`parts` are those of the path after ``whep``; `links` come from `relays`."""
    match request.method, parts:
        case "GET", []:
            return Response(200, [each.state() for each in audience.watchers.values()])
        case "OPTIONS", [_, _, *_]:
            return Response(204, headers={"Accept-Post": SDP, **links})
        case "POST", [room_id, participant]:
            return await _begin(request, room_id, participant, audience, links)
        case "PATCH" | "DELETE", [room_id, participant, watcher_id]:
            watcher = audience.watchers.get(watcher_id)
            if watcher is None or (watcher.room_id, watcher.participant) != (room_id, participant):
                return Response(404, {"error": "Nobody watches here any more."})
            if request.method == "PATCH":
                return _trickle(request)
            await audience.dismiss(watcher)
            return Response(200)
        case _, [_, _] | [_, _, _]:
            error = {"error": f"{request.method} is not known here."}
            return Response(405, error, headers={"Allow": METHODS})
    return Response(404, {"error": "The path is /whep/ROOM/PARTICIPANT."})


def relays(ice_servers: list[dict[str, Any]]) -> dict[str, str]:
    """The header that tells of them: one who has nothing but ``lo`` may have no other way."""
    each = [
        f'<{server["urls"]}>; rel="ice-server"; username="{server["username"]}"; '
        f'credential="{server["credential"]}"; credential-type="password"'
        for server in ice_servers
    ]
    return {"Link": ", ".join(each)} if each else {}


def shared(response: Response, origin: str | None) -> Response:
    """With what a page needs that was not served from here; `origin` may ask."""
    if origin is None:
        return response
    more = {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
        "Access-Control-Expose-Headers": "Link, Location",
        "Vary": "Origin",
    }
    return replace(response, headers={**response.headers, **more})


async def _begin(
    request: Request,
    room_id: str,
    participant: str,
    audience: Audience,
    links: Mapping[str, str],
) -> Response:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != SDP:
        error = {"error": f"The offer has to come as Content-Type: {SDP}."}
        return Response(415, error, headers={"Accept-Post": SDP})
    try:
        offer = sdp.read(request.body.decode(errors="replace"))
        watcher, text = await audience.admit(room_id, participant, offer)
    except sdp.NothingInCommonError as error:
        return Response(406, {"error": str(error)})
    except AbsentError as error:
        return Response(404, {"error": str(error)})
    except FullError as error:
        return Response(503, {"error": str(error)}, headers={"Retry-After": "5"})
    return Response(201, text, SDP, {"Location": _place(watcher), **links})


def _trickle(request: Request) -> Response:
    """Whoever asks for an ICE restart, as RFC 9725 has it, names no resource's version but any."""
    if request.headers.get("if-match") == "*":
        return Response(422, {"error": "ICE is not restarted here; begin anew with a POST."})
    return Response(204)


def _place(watcher: Watcher) -> str:
    parts = (watcher.room_id, watcher.participant, watcher.id)
    return "/whep/" + "/".join(quote(part, "") for part in parts)
