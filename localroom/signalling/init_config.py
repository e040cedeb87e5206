"""The request with which every SDK begins: which servers is the meeting on?"""

import base64
import json
from typing import Any, Final

from Crypto.Cipher import AES
from Crypto.Util.Padding import pad
from videosdk.utils import IV, KEY

from localroom.faults import Chaos
from localroom.http.endpoint import Request, Response

PATH: Final = "/infra/v1/meetings/server-init-config"


class InitConfig:
    """Answers ``POST /infra/v1/meetings/server-init-config``, or fails as the faults say."""

    def __init__(self, chaos: Chaos, base: str, ice_servers: list[dict[str, Any]]) -> None:
        self._chaos = chaos
        self._base = base
        self._ice_servers = ice_servers

    async def answer(self, request: Request) -> Response | None:
        if (request.method, request.path) != ("POST", PATH):
            return Response(404, {"error": f"Only POST {PATH} is known here."})
        match self._chaos.faults.entry:
            case "silent":
                return None
            case "ok":
                return Response(200, {"data": self._configuration()})
            case status:
                return Response(int(status), {"error": "This was asked for."})

    def _configuration(self) -> dict[str, Any]:
        return {
            "baseUrl": self._base,
            "signalingUrl": f"ws://{self._base}",
            "iceServers": _encrypt(self._ice_servers),
            "observability": {"jwt": "", "traces": {}, "logs": {}, "metaData": {}},
        }


def _encrypt(value: object) -> str:
    """As the SDK decrypts it, with the key that it carries. It cannot join without."""
    cipher = AES.new(KEY, AES.MODE_CBC, IV)
    return base64.b64encode(
        cipher.encrypt(pad(json.dumps(value).encode(), AES.block_size))
    ).decode()
