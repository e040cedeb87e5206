"""No test asserts speed: an upper bound on real time is one that a much slower machine meets.

`bounds.within` is such a bound; how fast something is belongs into `make bench`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from bounds import within

TESTS: Final = Path(__file__).parents[1]
REAL: Final = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}
VIRTUAL: Final = re.compile(r"^(import|from) virtual_time\b|\bmark\.virtual_time\b", re.MULTILINE)
CPU: Final = {"process_time", "process_time_ns", "thread_time", "thread_time_ns"}

ALLOWED: Final = {
    "localroom/test_association.py::test_what_is_lost_comes_again_long_before_a_second_has_passed":
        "two timers of 1.5 s together, where the fault is one of 6 s",
    "localroom/test_whep.py::"
    "test_one_of_whom_nothing_is_heard_is_not_kept_nor_one_whose_participant_stays_away":
        "the time is a number that the test hands over",
    "support/bounds.py::within": "the one place where real time is measured",
}  # fmt: skip
"""Functions that may, and why a machine four times slower meets their bound."""


def is_clock(node: ast.AST, virtual: bool) -> bool:
    """A call that reads a clock of real time; an event loop's, unless its time is virtual."""
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    if name in REAL | CPU:
        return True
    return name == "time" and isinstance(called, ast.Attribute) and not virtual


class Measured:
    """What of one function is a span of real time: by the names that hold clock readings."""

    def __init__(self, function: ast.AST, virtual: bool) -> None:
        self._virtual = virtual
        self._readings: set[str] = set()
        self._spans: set[str] = set()
        for _ in range(3):
            for node in ast.walk(function):
                self._learn(node)

    def is_span(self, expression: ast.AST) -> bool:
        """Whether the value is, or is made from, a difference of two readings."""
        return any(self._measures(node) for node in ast.walk(expression))

    def _measures(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self._spans
        return (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Sub)
            and self._is_reading(node.left)
        )

    def _is_reading(self, expression: ast.AST) -> bool:
        return any(
            is_clock(node, self._virtual)
            or (isinstance(node, ast.Name) and node.id in self._readings)
            for node in ast.walk(expression)
        )

    def _learn(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and node.value:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {each.id for target in targets for each in ast.walk(target)
                     if isinstance(each, ast.Name)}  # fmt: skip
            self._note(names, node.value)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("append", "extend")
            and isinstance(node.func.value, ast.Name)
        ):
            for argument in node.args:
                self._note({node.func.value.id}, argument)

    def _note(self, names: set[str], value: ast.AST) -> None:
        if self.is_span(value):
            self._spans |= names
        elif self._is_reading(value):
            self._readings |= names


def bounds_above(test: ast.expr, measured: Measured) -> bool:
    """Whether an assertion has an upper bound for a span; lower bounds hold on any machine."""
    for compare in (node for node in ast.walk(test) if isinstance(node, ast.Compare)):
        sides = [compare.left, *compare.comparators]
        for left, operator, right in zip(sides, compare.ops, sides[1:], strict=False):
            smaller = right if isinstance(operator, ast.Gt | ast.GtE) else left
            either = not isinstance(operator, ast.Gt | ast.GtE | ast.Lt | ast.LtE)
            if measured.is_span(smaller) or (either and measured.is_span(right)):
                return True
    return False


def asserting_speed(source: str) -> Iterator[str]:
    """The functions of a module that assert speed, or read the CPU's time for anything."""
    tree = ast.parse(source)
    virtual = VIRTUAL.search(source) is not None
    for function in tree.body:
        nodes = list(ast.walk(function))
        if any(costs(node) for node in nodes) or (
            any(is_clock(node, virtual) for node in nodes) and bounds_any(function, nodes, virtual)
        ):
            yield getattr(function, "name", "")


def costs(node: ast.AST) -> bool:
    """Whether the CPU's time is read here, or by a program that is written out here."""
    program = node.value if isinstance(node, ast.Constant) else ""
    if isinstance(program, str) and any(f"{name}(" in program for name in CPU):
        return True
    return getattr(node, "attr", getattr(node, "id", "")) in CPU


def bounds_any(function: ast.AST, nodes: list[ast.AST], virtual: bool) -> bool:
    """Whether one of the assertions has an upper bound for a span."""
    measured = Measured(function, virtual)
    return any(isinstance(node, ast.Assert) and bounds_above(node.test, measured) for node in nodes)


def test_no_test_asserts_how_long_something_took() -> None:
    found = {
        f"{path.relative_to(TESTS)}::{name}"
        for path in TESTS.rglob("*.py")
        if path != Path(__file__)
        for name in asserting_speed(path.read_text("utf-8"))
    }
    assert found - set(ALLOWED) == set(), "`bounds.within`, virtual time, or `make bench`"
    assert set(ALLOWED) - found == set(), "allowed, and not there any more"


@pytest.mark.parametrize("body", [
    "began = time.monotonic(); work(); assert time.monotonic() - began < 1",
    "began = time.perf_counter(); took = time.perf_counter() - began; assert took <= 1",
    "began = time.monotonic(); took.append(time.monotonic() - began); assert min(took) < 5",
    "began = loop.time(); work(); assert 0.1 < loop.time() - began < 0.6",
    "began = monotonic(); took = monotonic() - began; assert 2 > took",
    "assert subprocess.run(['python', '-c', 'print(time.process_time())']) < 1",
    "cost = time.process_time()",
    "began = time.monotonic(); assert time.monotonic() - began == pytest.approx(1.0)",
])  # fmt: skip
def test_speed_is_seen(body: str) -> None:
    assert list(asserting_speed(f"def test():\n    {body}")) == ["test"]


@pytest.mark.parametrize("body", [
    "began = time.monotonic(); work(); assert time.monotonic() - began >= 1",
    "deadline = time.monotonic() + 30; assert time.monotonic() < deadline",
    "began = time.monotonic(); assert 1 < time.monotonic() - began",
    "took = monotonic() - began; assert heard == [1, 2]",
])  # fmt: skip
def test_lower_bounds_and_patience_may_stay(body: str) -> None:
    assert list(asserting_speed(f"def test():\n    {body}")) == []


def test_the_clock_of_virtual_time_may_be_held_to_anything() -> None:
    body = "def test():\n    began = loop.time(); assert loop.time() - began < 1"
    assert list(asserting_speed(f"import virtual_time\n{body}")) == []
    assert list(asserting_speed(body)) == ["test"]


def test_a_bound_that_only_a_fast_machine_meets_is_refused() -> None:
    with pytest.raises(ValueError, match="too short a bound"), within(1):
        pass
