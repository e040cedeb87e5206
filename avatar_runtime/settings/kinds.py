"""What a setting is, and what its value may be."""

from dataclasses import dataclass
from typing import Any, Final, Protocol

PREFIX: Final = "AVATAR_"

NODE: Final = "node"
"""The program `avatar node`, which has defaults of its own."""


class SettingError(ValueError):
    """A variable has a value that cannot be used; the text names it and says what it has to be."""


class ValueKind(Protocol):
    """What a value has to be."""

    @property
    def rule(self) -> str:
        """Goes on a sentence: "it has to be"."""

    def value(self, text: str) -> Any:
        """What `text` means. Raises ValueError."""


class Text:
    """Any text, also one that its program has its own rules for."""

    rule = "a text"

    def value(self, text: str) -> str:
        return text


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number."""

    least: int
    most: int

    @property
    def rule(self) -> str:
        return f"a whole number from {self.least} to {self.most}"

    def value(self, text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 12:
            raise ValueError
        if not self.least <= int(text) <= self.most:
            raise ValueError
        return int(text)


@dataclass(frozen=True, slots=True)
class NumberRange:
    """A number; `above` the least where that itself is too small."""

    least: float
    most: float
    of: str
    above: bool = False

    @property
    def rule(self) -> str:
        if self.above:
            return f"{self.of}, above {self.least:g} and up to {self.most:.7g}"
        return f"{self.of} from {self.least:g} to {self.most:g}"

    def value(self, text: str) -> float:
        number = float(text)
        if not self.least <= number <= self.most or (self.above and number == self.least):
            raise ValueError
        return number


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    @property
    def rule(self) -> str:
        return f"{', '.join(self.words[:-1])} or {self.words[-1]}"

    def value(self, text: str) -> str:
        if text not in self.words:
            raise ValueError
        return text


@dataclass(frozen=True, slots=True)
class Switch:
    """On or off."""

    @property
    def rule(self) -> str:
        return "on or off"

    def value(self, text: str) -> bool:
        return {"on": True, "off": False}[text]


TEXT: Final = Text()


@dataclass(frozen=True, slots=True)
class Setting:
    """A variable: its name without the prefix, the text that counts where it is not set, what it
    means, and who reads it.

    `shown` is the default in words, where the text says too little; `node_default` is a node's. A
    `secret` can be in a file, whose path is in the variable with ``_FILE`` at its end.
    """

    name: str
    default: str
    about: str
    readers: tuple[str, ...]
    kind: ValueKind = TEXT
    shown: str = ""
    node_default: str = ""
    secret: bool = False

    @property
    def variable(self) -> str:
        return PREFIX + self.name

    def default_of(self, reader: str) -> str:
        return self.node_default if reader == NODE and self.node_default else self.default
