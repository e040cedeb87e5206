"""The product's own source as the tests of its architecture read it: files, imports, names."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("agent_side", "avatar_runtime", "worker", "dispatcher", "localroom")
"""What is shipped."""
OURS: Final = frozenset({*PACKAGES, "avatar_cli", "benchmarks", "deploy", "tests"})


def sources(folder: str) -> list[Path]:
    """All Python files in a folder of the repository; there is at least one."""
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found, f"no source in {folder}"
    return found


def shipped() -> list[Path]:
    """All Python files of the shipped packages."""
    return [path for package in PACKAGES for path in sources(package)]


@cache
def tree(path: Path) -> ast.Module:
    """The file, parsed."""
    return ast.parse(path.read_bytes(), str(path))


def place(path: Path) -> str:
    """The file's path in the repository."""
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    """What the file is imported as."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def within(name: str, modules: frozenset[str] | set[str]) -> bool:
    """Whether the name is one of these modules or in one of them."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def imports(path: Path, *, for_types: bool = True) -> Iterator[str]:
    """Every module or name that the file imports anywhere, as ``package.module.name``.

    Without what is imported `for_types` only, on request.
    """
    package = path.relative_to(ROOT).parent.parts
    for node in _nodes(tree(path), for_types):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            origin = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def _nodes(node: ast.AST, for_types: bool) -> Iterator[ast.AST]:
    yield node
    children = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.If) and not for_types and "TYPE_CHECKING" in ast.unparse(node.test):
        children = list(node.orelse)
    for child in children:
        yield from _nodes(child, for_types)


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call in the file with the last part of the name that is called."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            match node.func:
                case ast.Attribute(attr=name) | ast.Name(id=name):
                    yield name, node


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of the file, also those within others."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def classes(path: Path) -> Iterator[ast.ClassDef]:
    """The file's classes, without those within others."""
    return (node for node in tree(path).body if isinstance(node, ast.ClassDef))


def names(path: Path) -> Iterator[str]:
    """Every name that the file gives: to itself, classes, functions, parameters, variables."""
    yield path.stem
    for node in ast.walk(tree(path)):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name) | ast.arg(arg=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def length(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """Its lines, decorators aside."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def graph(paths: list[Path]) -> dict[str, set[str]]:
    """Which of these modules imports which other one, when the program runs.

    That a module's package is imported with it does not count.
    """
    modules = {module_name(path) for path in paths}
    edges: dict[str, set[str]] = {}
    for path in paths:
        named = {_module_of(name, modules) for name in imports(path, for_types=False)}
        edges[module_name(path)] = {name for name in named if name} - {module_name(path)}
    return edges


def _module_of(name: str, modules: set[str]) -> str:
    """The module that an imported name is or is in; nothing for a stranger's."""
    if name in modules:
        return name
    above = name.rpartition(".")[0]
    return above if above in modules else ""


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules each of which leads to all others of its group."""
    reached = {name: _reached(name, edges) for name in edges}
    groups = {
        tuple(sorted(other for other in there if name in reached[other]))
        for name, there in reached.items()
        if name in there
    }
    return sorted(list(group) for group in groups)


def _reached(name: str, edges: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = [*edges[name]]
    while todo:
        each = todo.pop()
        if each not in found:
            found.add(each)
            todo += edges[each]
    return found
