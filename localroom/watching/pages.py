"""The pages for people: one lists who is there, one shows a participant."""

from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Final
from urllib.parse import quote

from localroom.http.endpoint import Response
from localroom.signalling.room import Room

HTML: Final = "text/html; charset=utf-8"
POLICY: Final = {
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline'; media-src 'self' blob:",
    "Cache-Control": "no-store",
}


def watch() -> Response:
    """One participant; the page takes from its own address which."""
    return _page("watch.html", "")


def index(rooms: Mapping[str, Room]) -> Response:
    """Who is there, with links."""
    items = [
        _item(room.id, peer.id, peer.name, [each.kind for each in peer.producers.values()])
        for room in rooms.values()
        for peer in room.members()
    ]
    empty = "<p>Nobody is in a room. This page looks again every two seconds.</p>"
    return _page("index.html", f"<ul>{''.join(items)}</ul>" if items else empty)


def _item(room_id: str, peer_id: str, name: str, kinds: list[str]) -> str:
    place = f"/watch/{quote(room_id, '')}/{quote(peer_id, '')}"
    publishes = " and ".join(sorted(set(kinds))) or "nothing"
    return (
        f'<li><a href="{escape(place)}">{escape(name)}</a> in {escape(room_id)}'
        f"<span>publishes {publishes}</span></li>"
    )


def _page(name: str, content: str) -> Response:
    text = (files(__package__) / name).read_text("utf-8")
    return Response(200, text.replace("<!-- content -->", content), HTML, POLICY)
