"""Whom the processes of a program talk to: an audit hook in each writes it into a file."""

import os
from pathlib import Path

HOOK = """
import os, sys

def hook(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        said(event, arguments[1])
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        said(event, arguments[0])

def said(event, whom):
    line = f"{event} {whom!r}\\n".encode()
    log = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, line)
    os.close(log)

sys.addaudithook(hook)
"""


class Wiretap:
    """Made in an empty folder; the programs whose PYTHONPATH begins with that are listened to."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "talk.log"
        self._folder = folder
        (folder / "sitecustomize.py").write_text(f"LOG = {str(self._log)!r}\n{HOOK}")

    def path(self, others: str) -> str:
        """PYTHONPATH for those programs."""
        return os.pathsep.join([str(self._folder), others])

    def heard(self) -> list[str]:
        """Each time that one of them has looked up, connected to, or sent to somebody."""
        return self._log.read_text().splitlines() if self._log.exists() else []
