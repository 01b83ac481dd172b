"""The parameters of a factory, read from the function or, before it may run, from its source."""

from __future__ import annotations

import ast
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache, reduce
from pathlib import Path
from typing import Any, Literal, Union

from federated.user_code.permission import hints_of


class Default(Enum):
    """A default that is there and not known before the code runs."""

    COMPUTED = "computed"


@dataclass(frozen=True, eq=False)
class Signature:
    """The arguments that a study file may state.

    hints: the type of every parameter; Any where the signature says nothing. takes_any: any other argument may be
    stated too, as with `**kwargs` or where the source does not show what is taken.
    """

    parameters: tuple[inspect.Parameter, ...] = ()
    hints: Mapping[str, Any] = field(default_factory=dict)
    takes_any: bool = False


UNKNOWN = Signature(takes_any=True)

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_HARMLESS = {"lru_cache", "cache", "wraps", "no_grad", "dataclass", "override", "final"}
"""Decorators that leave the signature as it is written."""


def signature_of(function: Callable[..., Any]) -> Signature:
    """Of a function that is at hand."""
    parameters = inspect.signature(function).parameters.values()
    hints = hints_of(function)
    stated = tuple(p for p in parameters if p.kind not in _VARIABLE)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return Signature(stated, {p.name: hints.get(p.name, Any) for p in stated}, takes_any)


@cache
def registered_signature(function: Callable[..., Any]) -> Signature:
    """Of a registered factory, which does not change while the process lives; the same types every time."""
    return signature_of(function)


def written_signature(
    definition: ast.FunctionDef | ast.ClassDef,
    classes: Mapping[str, ast.ClassDef],
    given: Sequence[str],
    products: Mapping[str, Any],
) -> Signature:
    """As the source of a function or class shows it, without the parameters that are `given` by position.

    classes: those of the same file, which it may inherit from. products: types by name that a hint may be. Raises
    ValueError where it cannot take what is given.
    """
    if _is_changed(definition):
        return UNKNOWN
    if isinstance(definition, ast.ClassDef):
        arguments = _constructor(definition, classes)
        if arguments is None:
            return UNKNOWN
    else:
        arguments = definition.args
    every = _parameters(arguments)
    positional = [p for p in every if p.kind in _POSITIONAL]
    if len(positional) < len(given) and arguments.vararg is None:
        takes = ", ".join(p.name for p in every) or "nothing"
        raise ValueError(
            f"it takes {takes}, and is called with {', '.join(given)} and what the study file states"
        )
    left = [p for p in every if p not in positional[: len(given)]]
    hints = {p.name: _with_none(_hint(p.annotation, products), p.default) for p in left}
    plain = tuple(p.replace(annotation=inspect.Parameter.empty) for p in left)
    return Signature(plain, hints, arguments.kwarg is not None)


def _is_changed(definition: ast.FunctionDef | ast.ClassDef) -> bool:
    """Whether a decorator may have given it another signature."""
    names = [ast.unparse(one).partition("(")[0].rpartition(".")[2] for one in definition.decorator_list]
    return not _HARMLESS.issuperset(names)


def _constructor(
    definition: ast.ClassDef, classes: Mapping[str, ast.ClassDef], depth: int = 20
) -> ast.arguments | None:
    """The parameters of the constructor; None where the file does not show it."""
    found = [one for one in definition.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
    if found:
        return None if found[-1].decorator_list else _without_self(found[-1].args)
    if not definition.bases and not definition.keywords and not definition.decorator_list:
        return ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    first = definition.bases[0] if len(definition.bases) == 1 else None
    if isinstance(first, ast.Name) and first.id in classes and depth and not definition.decorator_list:
        return _constructor(classes[first.id], classes, depth - 1)
    return None


def _without_self(arguments: ast.arguments) -> ast.arguments:
    first, others = (arguments.posonlyargs, arguments.args)
    return ast.arguments(
        posonlyargs=first[1:],
        args=others if first else others[1:],
        vararg=arguments.vararg,
        kwonlyargs=arguments.kwonlyargs,
        kw_defaults=arguments.kw_defaults,
        kwarg=arguments.kwarg,
        defaults=arguments.defaults,
    )


def _parameters(arguments: ast.arguments) -> list[inspect.Parameter]:
    """Those with a name, `*args` and `**kwargs` left out."""
    positional = [*arguments.posonlyargs, *arguments.args]
    without = [inspect.Parameter.empty] * (len(positional) - len(arguments.defaults))
    defaults = [*without, *map(_default, arguments.defaults)]
    made = []
    for at, (argument, default) in enumerate(zip(positional, defaults, strict=False)):
        kind = _POSITIONAL[at >= len(arguments.posonlyargs)]
        made.append(inspect.Parameter(argument.arg, kind, default=default, annotation=argument.annotation))
    for argument, node in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        value = inspect.Parameter.empty if node is None else _default(node)
        made.append(
            inspect.Parameter(
                argument.arg, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=argument.annotation
            )
        )
    return made


def _default(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return Default.COMPUTED


_GENERIC = {
    "list": list,
    "List": list,
    "tuple": tuple,
    "Tuple": tuple,
    "dict": dict,
    "Dict": dict,
    "set": set,
}
_TYPES: dict[str, Any] = {
    **{one.__name__: one for one in (int, float, str, bool, bytes)},
    **_GENERIC,
    "Sequence": Sequence,
    "Mapping": Mapping,
    "Path": Path,
    "Any": Any,
}


class _NotKnownError(Exception):
    """A hint that only the running code knows."""


def _hint(node: ast.expr | None, products: Mapping[str, Any]) -> Any:
    if node is None:
        return Any
    try:
        return _resolved(node, {**_TYPES, **products})
    except (_NotKnownError, TypeError, SyntaxError, RecursionError):
        return Any


def _with_none(hint: Any, default: Any) -> Any:
    """Of `width: int = None`, as many write it, `int | None`."""
    return hint if default is not None or hint is Any else _either([hint, None])


def _resolved(node: ast.expr, known: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return _resolved(ast.parse(node.value, mode="eval").body, known)
        if node.value is None or node.value is ...:
            return node.value
    if isinstance(node, ast.Name | ast.Attribute):
        name = node.id if isinstance(node, ast.Name) else node.attr
        if name in known:
            return known[name]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _either([_resolved(node.left, known), _resolved(node.right, known)])
    if isinstance(node, ast.Subscript):
        return _subscribed(node, known)
    raise _NotKnownError


def _subscribed(node: ast.Subscript, known: Mapping[str, Any]) -> Any:
    base = ast.unparse(node.value).rpartition(".")[2]
    inside = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if base == "Literal":
        if not all(isinstance(each, ast.Constant) for each in inside):
            raise _NotKnownError
        return Literal.__getitem__(tuple(each.value for each in inside if isinstance(each, ast.Constant)))
    made = [_resolved(each, known) for each in inside]
    if base in ("Optional", "Union"):
        return _either([*made, None] if base == "Optional" else made)
    if base not in known:
        raise _NotKnownError
    return known[base][tuple(made) if len(made) > 1 else made[0]]


def _either(hints: Sequence[Any]) -> Any:
    try:
        return reduce(operator.or_, hints)
    except TypeError:
        return Union[tuple(hints)]  # noqa: UP007 - of hints that know no `|`
