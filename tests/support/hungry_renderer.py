"""A renderer for tests, one of whose characters takes memory without end when it is used."""

from plain_renderer import PlainRenderer

from worker.media import Picture
from worker.settings import Settings

BITE = 8 * 2**20


class HungryRenderer(PlainRenderer):
    def __init__(self, width: int, height: int) -> None:
        super().__init__(width, height)
        self._eaten: list[bytes] = []

    def idle(self) -> Picture:
        self._eaten.append(b"x" * BITE)
        return super().idle()


def create(settings: Settings) -> PlainRenderer:
    kind = HungryRenderer if settings.character == "hungry" else PlainRenderer
    return kind(settings.width, settings.height)
