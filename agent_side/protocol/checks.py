"""The checks of a message's fields.

Each takes what a peer wrote and returns the field's value, or raises `RefusedError`. `Annotated`
binds a check to the type of a field: ``Seconds = Annotated[float, seconds]``.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any


class RefusedError(Exception):
    """A field has the wrong type or an impossible value."""


Check = Callable[[object], Any]


def whole(most: int) -> Check:
    """A whole number from 0 to `most`."""
    return within(range(most + 1))


def within(numbers: range) -> Check:
    """One of `numbers`."""

    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value not in numbers:
            raise RefusedError
        return value

    return check


def seconds(value: object) -> float:
    """A time or a share: a finite number that is not negative."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise RefusedError
    try:
        number = float(value)
    except OverflowError as error:
        raise RefusedError from error
    if not math.isfinite(number) or number < 0:
        raise RefusedError
    return number


def share(value: object) -> float:
    """A number from 0 to 1."""
    number = seconds(value)
    if number > 1:
        raise RefusedError
    return number


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise RefusedError
    return value


def text(longest: int, valid: Callable[[str], bool] = lambda _: True) -> Check:
    """A text of 1 to `longest` characters that is `valid`."""

    def check(value: object) -> str:
        if not isinstance(value, str) or not 0 < len(value) <= longest or not valid(value):
            raise RefusedError
        return value

    return check


def is_visible(value: str) -> bool:
    """ASCII without spaces and control characters."""
    return all("!" <= letter <= "~" for letter in value)


def digits(length: int) -> Check:
    """So many lower-case hexadecimal digits."""
    return text(
        length, lambda value: len(value) == length and all(d in "0123456789abcdef" for d in value)
    )


def one_of(choices: tuple[str, ...]) -> Check:
    """One of these texts."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise RefusedError
        return value

    return check


def optional(check: Check) -> Check:
    """Null, or what `check` takes."""
    return lambda value: None if value is None else check(value)


def row(check: Check, most: int, least: int = 0) -> Check:
    """A list of `least` to `most` values that `check` takes, as a tuple."""

    def check_row(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise RefusedError
        return tuple(check(item) for item in value)

    return check_row


def pair(check: Check) -> Check:
    """A list of two values that `check` takes, as a tuple."""
    return row(check, most=2, least=2)


def each(value: object, *parts: Check) -> Iterator[Any]:
    """The values of a list that has one for each of `parts`."""
    if not isinstance(value, list) or len(value) != len(parts):
        raise RefusedError
    return (check(part) for check, part in zip(parts, value, strict=True))
