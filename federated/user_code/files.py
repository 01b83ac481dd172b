"""The files of a user's modules: their location, their content, and their imports.

Nothing is imported, not even a parent package.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

Sources = dict[str, tuple[Path, bytes]]
"""Dotted name of a module -> its file and what is in it."""

ROOMS = ("flows", "tasks", "federated", "data_partitioners")
_PROJECT = Path(__file__).resolve().parents[2]
_LARGEST_SOURCE = 2_000_000
_MOST_FILES = 500


def file_below(root: Path, module: str) -> Path | None:
    """The file of a module whose dotted name starts in this folder, if it is a person's own."""
    path = root.joinpath(*module.split("."))
    for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
        if file.is_file() and not is_foreign(file):
            return file
    return None


def installed_file(module: str) -> Path | None:
    """The file of a module as Python would find it; its package is looked at, not imported."""
    top, _, rest = module.partition(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.has_location and spec.origin else None
    for place in spec.submodule_search_locations or ():
        path = Path(place).joinpath(*rest.split("."))
        for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
            if file.is_file():
                return file
    return None


def is_there(module: str, roots: Iterable[Path]) -> bool:
    """Whether there is a module or package of this name in one of these folders, or where Python finds it.

    Nothing is imported. A package may be a folder without code of its own, a module a compiled one.
    """
    top, _, rest = module.partition(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is not None and not rest:
        return True
    inside = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]
    paths = [place.joinpath(*rest.split(".")) for place in inside]
    paths += [root.joinpath(*module.split(".")) for root in roots]
    return any(path.is_dir() or any(path.parent.glob(f"{path.name}.*")) for path in paths)


def is_beside(root: Path, module: str) -> bool:
    """Whether an `import` in a person's module means a module beside it: one of Python's names never does."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or not top:
        return False
    if file_below(root, top) is not None:
        return True
    return any(not is_foreign(file) for file in (root / top).glob("*.py"))


def is_foreign(file: Path) -> bool:
    """Whether a file is Python's, an installed package's or fedstudy's."""
    path = file.resolve()
    if any(path.is_relative_to(_PROJECT / room) for room in ROOMS):
        return True
    return any(path.is_relative_to(place) for place in _places())


def sources_of(name: str, module: str, root: Path | None, is_allowed: Callable[[str], bool]) -> Sources:
    """The module and all that it imports of a person's own, directly or not, and their packages.

    root: the folder that dotted names start in; None: they are found as Python would, and are the person's own where
    `is_allowed` says so. Raises ValueError.
    """
    found: Sources = {}
    waiting = _packages(module)
    while waiting:
        each = waiting.pop()
        file = (
            file_below(root, each) if root is not None else installed_file(each) if is_allowed(each) else None
        )
        if each in found or file is None:
            continue
        if len(found) >= _MOST_FILES:
            raise ValueError(f"cannot use {name!r}: it imports more than {_MOST_FILES} modules of your own")
        found[each] = (file, bytes_of(file))
        if root is None and is_foreign(file):  # of an installed package its version says what it imports
            continue
        for imported, is_relative in _imports(file, found[each][1], each):
            if is_relative or root is None or is_beside(root, imported):
                waiting += _packages(imported)
    return found


def _imports(file: Path, content: bytes, module: str) -> Iterator[tuple[str, bool]]:
    """Dotted names that an import in the module may mean, wherever it stands, and whether it is a relative one."""
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    try:
        tree = parsed(module, file, content)
    except ValueError:  # which is for the import of it to say, if it comes to that
        tree = None
    for node in () if tree is None else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: max(len(package) - node.level + 1, 0)] if node.level else []
            whole = [*above, *([node.module] if node.module else [])]
            for names in ([], *([alias.name] for alias in node.names if alias.name != "*")):
                if whole or names:
                    yield ".".join([*whole, *names]), node.level > 0


def _packages(module: str) -> list[str]:
    """`a.b.c` -> a, a.b, a.b.c"""
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Of the module itself, those within `if` and `try` too."""
    waiting: list[ast.stmt] = list(reversed(tree.body))
    while waiting:
        statement = waiting.pop()
        yield statement
        if isinstance(statement, ast.If | ast.Try | ast.With):
            handlers = [one for each in getattr(statement, "handlers", ()) for one in each.body]
            inner = [*statement.body, *handlers, *getattr(statement, "orelse", ())]
            waiting += reversed([*inner, *getattr(statement, "finalbody", ())])


def parsed(name: str, file: Path, content: bytes) -> ast.Module | None:
    """None where the file is no source, such as a compiled extension."""
    if file.suffix != ".py":
        return None
    try:
        return ast.parse(importlib.util.decode_source(content), filename=str(file))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        told = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ValueError(f"cannot import {name!r}: {told} ({file.name}{line})") from error


def bytes_of(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST_SOURCE + 1)
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}") from error
    if len(content) > _LARGEST_SOURCE:
        raise ValueError(f"cannot read {file}: it has more than {_LARGEST_SOURCE:,} bytes")
    return content


@cache
def _places() -> list[str]:
    kept = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    kept |= {*site.getsitepackages(), site.getusersitepackages()}
    return [os.path.realpath(place) for place in kept if place]
