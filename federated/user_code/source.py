"""A user's functions and classes, `package.module:function`: found and read without running any of it.

Whose code may run is said in docs/security.md: what is defined in a module beside the study file or in the working
folder, and in modules that the person allowed by name. Nothing here imports a module, not even a parent package.
"""

from __future__ import annotations

import ast
import hashlib
import keyword
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from federated.foundation.errors import BadInput
from federated.foundation.texts import listed
from federated.user_code.files import (
    ROOMS,
    Sources,
    bytes_of,
    file_below,
    installed_file,
    is_foreign,
    is_there,
    parsed,
    sources_of,
    statements,
)
from federated.user_code.signatures import UNKNOWN, Signature, written_signature

VARIABLE = "FEDSTUDY_OWN_CODE"
"""Of the environment: modules and packages, by name, whose functions and classes any study may use."""

Roots = tuple[Path, ...]
"""Folders in which a study's own modules are looked for: the study file's, then the working one."""


@dataclass(frozen=True, eq=False)
class OwnCode:
    """One function or class of a person's own, as it was when the study was read.

    root: the folder that its module's dotted name starts in; None: the module is allowed by name and imported as any.
    sources: file and content of the module and of all modules beside it that it imports, by dotted name.
    digest: of these sources: what the code is, wherever it lies. decorated: what a decorator makes of it may say of
    itself that it comes from the decorator's module.
    """

    name: str
    root: Path | None
    sources: Sources
    signature: Signature
    decorated: bool = False

    @property
    def module(self) -> str:
        """Its module's dotted name."""
        return self.name.partition(":")[0]

    @property
    def attribute(self) -> str:
        """Its own name."""
        return self.name.partition(":")[2]

    @property
    def digest(self) -> str:
        whole = hashlib.sha256(self.name.encode())
        for module, (_, source) in sorted(self.sources.items()):
            whole.update(f"\0{module}\0{len(source)}\0".encode() + source)
        return whole.hexdigest()[:16]


def roots_of(context: object) -> Roots:
    """The validation context of a study that was read from a file; empty for one that arrived filled in."""
    return context if isinstance(context, tuple) else ()


def find(
    name: str, kind: str, given: Sequence[str], products: Mapping[str, Any], roots: Roots
) -> OwnCode | None:
    """The code of this name, with the signature that its source shows.

    given: what the kind passes first, by position. None where it is nowhere and `roots` are none: a study that
    arrived filled in may be looked at where its code is not. Raises ValueError, in a line, for everything that is not
    a function or class of the person's own, or not one for this kind.
    """
    module, _ = _split(name)
    for root in roots:
        if (file := file_below(root, module)) is not None:
            return _read(name, file, kind, given, products, root)
    if is_allowed(module):
        if (file := installed_file(module)) is not None:
            return _read(name, file, kind, given, products, None)
    elif roots or _whose(module) is not None:
        refuse(name, roots)
    if roots:
        refuse(name, roots)
    return None


def allow(stated: Sequence[str], beside: Path) -> None:
    """Allow code by the names of its modules, in this process and in those that it starts.

    stated: names, or several separated by commas. beside: the study's folder. Raises BadInput where one is no name of a
    module that is there, in this folder, the working one or where Python finds it.
    """
    try:
        names = [name for each in stated for name in _names(each or "''")]
        for name in names:
            if not is_there(name, (beside, Path())):
                raise ValueError(f"{name!r}: there is no such module or package")
        _names(os.environ.get(VARIABLE, ""))
    except ValueError as error:
        raise BadInput(f"--allow-code {error}") from error
    os.environ[VARIABLE] = ",".join(filter(None, [os.environ.get(VARIABLE, ""), *names]))


def is_ours(module: str) -> bool:
    """Whether a module is Python's or fedstudy's own."""
    return module.partition(".")[0] in {*sys.stdlib_module_names, *ROOMS}


def is_allowed(module: str) -> bool:
    """Whether the user or the deployment allowed this module, or a package that contains it, by name.

    Raises ValueError where what the environment states is not names.
    """
    return any(f"{module}.".startswith(f"{name}.") for name in _names(os.environ.get(VARIABLE, "")))


def _names(stated: str) -> list[str]:
    """The dotted names of modules in a text that separates them by commas."""
    names = [name.strip() for name in stated.split(",") if name.strip()]
    for name in names:
        if not all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split(".")):
            meant = (
                name.partition(":")[0].removesuffix(".py").removesuffix(".*").strip("./").replace("/", ".")
            )
            hint = f", perhaps {meant}" if all(map(str.isidentifier, meant.split("."))) else ""
            raise ValueError(
                f"{name!r} (or in {VARIABLE}): write the dotted name of a module or package{hint}; several are "
                "separated by commas"
            )
    return names


def _split(name: str) -> tuple[str, str]:
    module, _, attribute = name.partition(":")
    parts = [*module.split("."), attribute]
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
        raise ValueError(
            f"cannot import {name!r}: write package.module:function, the function or class by its own name alone"
        )
    return module, attribute


def refuse(name: str, roots: Roots) -> NoReturn:
    """Raise ValueError for code that is not there, or may not be run; it says where it was looked for."""
    module = _split(name)[0]
    top = module.partition(".")[0]
    allow = f"--allow-code {top} or {VARIABLE}={top}"
    if (whose := _whose(module)) is not None and not is_allowed(module):
        raise ValueError(
            f"cannot use {name!r}: {top} is {whose}; a study may use functions and classes of its own, defined in "
            f"modules beside the study file or in the working folder, and others only with {allow}"
        )
    file = f"{module.replace('.', '/')}.py"
    if not roots:
        raise ValueError(
            f"cannot use {name!r}: a study that was not read from a file brings no code of its own; allow it with "
            f"{VARIABLE}={top} where it runs, and let Python find it there"
        )
    places = " and ".join(str(root) for root in dict.fromkeys(roots))
    raise ValueError(
        f"cannot import {name!r}: No module named {module!r} (looked for {file} beside the study file and in the "
        f"working folder: {places}); one that lies elsewhere on PYTHONPATH needs {allow}"
    )


def _read(
    name: str, file: Path, kind: str, given: Sequence[str], products: Mapping[str, Any], root: Path | None
) -> OwnCode:
    module, attribute = _split(name)
    tree = parsed(name, file, bytes_of(file))
    if tree is None:
        return OwnCode(name, root, {}, UNKNOWN)
    definitions = {
        one.name: one for one in statements(tree) if isinstance(one, ast.FunctionDef | ast.ClassDef)
    }
    sources = sources_of(name, module, root, is_allowed)
    if attribute not in definitions or attribute.startswith("__"):
        if root is None and not attribute.startswith("__"):  # a package may pass on what is defined within it
            return OwnCode(name, root, sources, UNKNOWN)
        known = listed(each for each in definitions if not each.startswith("_")) or "none"
        raise ValueError(
            f"cannot use {name!r}: {file} has no attribute {attribute!r} that is a function or class defined in "
            f"it with def or class (imported ones and other values are not taken); it defines: {known}"
        )
    classes = {key: one for key, one in definitions.items() if isinstance(one, ast.ClassDef)}
    try:
        signature = written_signature(definitions[attribute], classes, given, products)
    except ValueError as error:
        raise ValueError(f"{name} cannot be a {kind}: {error}") from error
    return OwnCode(name, root, sources, signature, bool(definitions[attribute].decorator_list))


def _whose(module: str) -> str | None:
    """The owner of a module that is not the user's; None where it is unknown."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return "Python's own"
    if top in ROOMS:
        return "fedstudy's own"
    found = installed_file(top)
    return "an installed package" if found is not None and is_foreign(found) else None
