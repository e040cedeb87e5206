"""State and faults of the room over HTTP, on loopback only.

GET  /state                                 rooms, peers, and what flows
GET  /process                               files, threads and tasks of the room's process
GET  /faults, PUT /faults                   a `Faults` as JSON; PUT replaces all of it
POST /rooms/{room}/peers/{peer}/{action}    drop, cut, freeze or thaw a peer's signalling
"""

import asyncio
import threading
from pathlib import Path
from typing import Any, Final

from localroom.faults import Chaos, Faults
from localroom.http.endpoint import Request, Response
from localroom.signalling.peer import Peer
from localroom.signalling.room import Room, is_connected

HOST: Final = "127.0.0.1"


class Control:
    """Handles the requests above."""

    def __init__(self, chaos: Chaos, rooms: dict[str, Room]) -> None:
        self._chaos = chaos
        self._rooms = rooms

    async def answer(self, request: Request, parts: list[str]) -> Response:
        """`parts` are the path's. Raises ValueError, which becomes a 400."""
        match request.method, parts:
            case "GET", ["state"]:
                return Response(200, {name: _room(room) for name, room in self._rooms.items()})
            case "GET", ["process"]:
                return Response(200, _process())
            case "GET", ["faults"]:
                return Response(200, self._chaos.faults.as_json())
            case "PUT", ["faults"]:
                self._chaos.set(Faults.parse(request.json()))
                return Response(200, self._chaos.faults.as_json())
            case "POST", ["rooms", room_id, "peers", peer_id, action]:
                room = self._rooms.get(room_id)
                peer = room.peers.get(peer_id) if room else None
                if peer is None:
                    return Response(404, {"error": "There is no such peer."})
                _act(peer, action)
                return Response(200, {})
        return Response(404, {"error": "See localroom/control/api.py for what is known here."})


def _act(peer: Peer, action: str) -> None:
    match action:
        case "drop":
            peer.channel.close()
        case "cut":
            peer.channel.abort()
        case "freeze":
            peer.channel.freeze()
        case "thaw":
            peer.channel.thaw()
        case "dismiss":
            peer.tell_to_leave()
        case _:
            raise ValueError("An action is drop, cut, freeze, thaw or dismiss.")


def _process() -> dict[str, int]:
    return {
        "files": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "threads": threading.active_count(),
        "tasks": len(asyncio.all_tasks()),
    }


def _room(room: Room) -> dict[str, Any]:
    return {
        "session_id": room.session_id,
        "settled": is_connected(room),
        "peers": {peer.id: _peer(peer) for peer in room.peers.values()},
    }


def _peer(peer: Peer) -> dict[str, Any]:
    transports = {"send": peer.sending, "recv": peer.receiving}
    return {
        "name": peer.name,
        "kind": peer.kind,
        "joined": peer.joined,
        "transports": {name: each.state for name, each in transports.items() if each},
        "traffic": peer.statistics(),
        "produces": sorted(each.kind for each in peer.producers.values()),
        "producers": [
            {
                "kind": each.kind,
                "ssrc": each.ssrc,
                "packets": each.packets,
                "bytes": each.bytes,
                "retransmissions": each.retransmissions,
                "key_frames": each.key_frames,
                "nacks": each.nacks,
                "plis": each.plis,
            }
            for each in peer.producers.values()
        ],
        "consumes": [
            {
                "from": each.producer.peer_id,
                "kind": each.producer.kind,
                "resumed": each.resumed,
                "flowing": each.flowing,
                "packets": each.packets,
                "bytes": each.bytes,
                "retransmissions": each.retransmissions,
                "nacks": each.nacks,
                "plis": each.plis,
            }
            for each in peer.consumers.values()
        ],
        "data": [
            {
                "from": each.producer.peer_id,
                "label": each.producer.label,
                "open": each.open,
                "sent": each.sent,
                "lost": each.lost,
            }
            for each in peer.data_consumers.values()
        ],
    }
