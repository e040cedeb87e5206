"""The command that starts a program of ours, and never a file of that name elsewhere."""

import sys
from pathlib import Path
from typing import Final

START: Final = str(Path(__file__).with_name("__main__.py"))


def command(module: str, *arguments: str, program: str = "") -> list[str]:
    """What to execute for our `module`, such as ``worker.process.zygote``, with `arguments`.

    With a `program`, such as "avatar speak", it runs in the console under that name.
    """
    named = ["--as", program] if program else []
    return [sys.executable, "-P", START, *named, module, *arguments]
