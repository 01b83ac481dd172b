"""The import of a user's modules, those of each study under separate names.

Two folders may have a `nets.py` each, and one may have a `random.py`: neither becomes what others import. A module
beside a study is executed from what was read with the study, so all of its processes run the same code, whatever
happens to the file meanwhile. Nothing joins `sys.path`.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from federated.foundation.errors import OwnCodeFailed
from federated.machine.torch_settings import torch_kept
from federated.user_code.containment import contained
from federated.user_code.files import Sources, file_below, is_beside
from federated.user_code.permission import PRIVATE, without_private
from federated.user_code.source import OwnCode, is_allowed, is_ours


def loaded(own: OwnCode) -> Callable[..., Any]:
    """The function or class.

    Raises OwnCodeFailed where its module fails, and ValueError where what it has there is not its own.
    """
    name = own.module if own.root is None else _private(own)
    try:
        with torch_kept(f"the module of {own.name}"), contained(f"cannot import {own.name!r}"):
            module = importlib.import_module(name)
            found = getattr(module, own.attribute)
    except OwnCodeFailed:
        sys.modules.pop(name, None)  # so that it fails the next time too
        raise
    if not callable(found):
        raise ValueError(
            f"{own.name!r} is a {type(found).__name__}, not a function or class that can be called"
        )
    inner = found
    while own.decorated and isinstance(inner, partial):  # made by a decorator
        inner = inner.func
    defined = str(getattr(inner, "__module__", None) or type(inner).__module__)
    if not _is_from(own, defined, module.__name__):
        raise ValueError(
            f"cannot use {own.name!r}: it comes from {without_private(defined)}, not from {own.module}"
        )
    return found  # type: ignore[no-any-return]


def _is_from(own: OwnCode, defined: str, module: str) -> bool:
    """Whether what a module has under the code's name is the person's: defined in it, or made of that by a decorator,
    which is the person's too or an installed package's."""
    if defined == module or (own.root is None and is_allowed(defined)):
        return True
    if not own.decorated:
        return False
    return package_of(defined) is package_of(module) is not None or not is_ours(defined)


def package_of(module: str) -> ModuleType | None:
    """The package of a study's own modules that this one is in; None where it is in none."""
    top = module.partition(".")[0]
    return sys.modules.get(top) if top.startswith(PRIVATE) else None


def _private(own: OwnCode) -> str:
    """The name of the module under which this very code is imported."""
    where = hashlib.sha256(f"{own.root}\0{own.digest}".encode()).hexdigest()[:12]
    package = f"{PRIVATE}{where}"
    if package not in _FINDER.packages:
        assert own.root is not None
        _FINDER.packages[package] = (own.root, own.sources)
        if _FINDER not in sys.meta_path:
            sys.meta_path.insert(0, _FINDER)  # before the one that would find the file by its folder
    return f"{package}.{own.module}"


class _Finder(MetaPathFinder):
    """Finds `fedstudy_own_<digest>.<module>`."""

    def __init__(self) -> None:
        self.packages: dict[str, tuple[Path, Sources]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, module = fullname.partition(".")
        if package not in self.packages:
            return None
        root, sources = self.packages[package]
        if not module:
            return _folder(fullname, root)
        if module in sources:
            return _spec(fullname, *sources[module], package, root)
        if (file := file_below(root, module)) is not None:
            return _spec(fullname, file, file.read_bytes(), package, root)
        folder = root.joinpath(*module.split("."))
        return _folder(fullname, folder) if folder.is_dir() else None


_FINDER = _Finder()


def _folder(name: str, folder: Path) -> ModuleSpec:
    """A package without code."""
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    return spec


def _spec(name: str, file: Path, source: bytes, package: str, root: Path) -> ModuleSpec | None:
    inside = [str(file.parent)] if file.name == "__init__.py" else None
    loader = _Loader(file, source, package, root)
    return importlib.util.spec_from_file_location(
        name, file, loader=loader, submodule_search_locations=inside
    )


class _Loader(Loader):
    """Executes source that is at hand; an `import` in it finds what lies beside it first."""

    def __init__(self, file: Path, source: bytes, package: str, root: Path) -> None:
        self._file, self._source, self._package, self._root = file, source, package, root

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """Pickled with a module that a model refers to, it is None: where that is loaded, this class is not."""
        return type(None), ()

    def create_module(self, spec: ModuleSpec) -> None:
        """As Python does."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module."""
        own_import = _import_within(self._package, self._root)
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": own_import}
        exec(compile(self._source, str(self._file), "exec", dont_inherit=True), module.__dict__)


def _import_within(package: str, root: Path) -> Callable[..., ModuleType]:
    """`import` as the modules of one study mean it."""

    def import_(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level or not is_beside(root, name):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        private = f"{package}.{name}"
        if fromlist:
            return builtins.__import__(private, globals, locals, fromlist, 0)
        importlib.import_module(private)
        return sys.modules[f"{package}.{name.partition('.')[0]}"]

    return import_
