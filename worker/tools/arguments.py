"""Parser: command-line arguments, and one line about those that cannot be used."""

import argparse
from typing import Final, NoReturn

REFUSED: Final = 2
"""The exit status after an input that cannot be used."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line; it takes no abbreviated options."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Say on stderr what is wrong, and exit."""
        text = " ".join(message.split())
        self.exit(REFUSED, f"{self.prog}: {text}; see `{self.prog} --help`.\n")
