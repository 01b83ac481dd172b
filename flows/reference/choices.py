"""The page of choices: every registered name with its arguments and docstring."""

import inspect
import re
from collections.abc import Mapping
from typing import Any

from federated.choices.choice import Kind
from federated.extension_points.kinds import KINDS
from flows.reference.arguments import Argument, arguments_of, call_of
from flows.reference.docstrings import split_arguments
from flows.reference.types import in_a_cell

_INTRODUCTION = """# Choices

Everything that a study file can name, generated from the code by `make docs`. A choice is written as a name (`iid`), a
call (`dirichlet(alpha=0.1)`, or `dirichlet(0.1)`) or a mapping (`{name: dirichlet, alpha: 0.1}`). An argument without a
default must be stated. Each can also be a function of your own, `module:function`: see
[your data and your model](../own-data-and-model.md).
"""


def choices_page() -> str:
    """The page as Markdown."""
    contents = "\n".join(f"- [{kind.name}](#{kind.name.replace(' ', '-')}): {_names(kind)}" for kind in KINDS)
    return "\n".join([_INTRODUCTION, contents + "\n", *(_kind(kind) for kind in KINDS)])


def _names(kind: Kind[Any]) -> str:
    return ", ".join(f"`{name}`" for name in kind.factories)


def _kind(kind: Kind[Any]) -> str:
    return "\n".join([f"## {kind.name}\n", _own(kind), *(_choice(kind, name) for name in kind.factories)])


def _own(kind: Kind[Any]) -> str:
    """The notation for a user's own function."""
    if kind.given is None:
        return (
            f"{article(kind.name)} {kind.name} of your own: `module:function`, a factory like those below.\n"
        )
    given = f"`({', '.join(kind.given)})`, then " if kind.given else ""
    return (
        f"{article(kind.name)} {kind.name} of your own: `module:function`, called with {given}its arguments in the "
        "study file.\n"
    )


def _choice(kind: Kind[Any], name: str) -> str:
    arguments = arguments_of(kind, name)
    names = {argument.name for argument in arguments}
    text, meanings = split_arguments(inspect.getdoc(kind.factories[name]) or "", names)
    lines = [f"### {name}", "", f"`{call_of(kind, name)}`", "", _escaped(text), ""]
    if arguments:
        lines += ["| argument | takes | default | meaning |", "|---|---|---|---|"]
        lines += [_argument(argument, meanings) for argument in arguments] + [""]
    return "\n".join(lines)


def _argument(argument: Argument, meanings: Mapping[str, str]) -> str:
    default = "must be stated" if argument.default is None else f"`{argument.default}`"
    meaning = _escaped(meanings.get(argument.name, ""))
    return "| " + " | ".join(map(in_a_cell, (f"`{argument.name}`", argument.words, default, meaning))) + " |"


def _escaped(text: str) -> str:
    """Text of a docstring, in which Markdown would otherwise see emphasis and HTML; code in backticks stays."""
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [part.replace("<", "&lt;").replace("*", "\\*") for part in parts[::2]]
    return "".join(parts)


def article(noun: str) -> str:
    """The indefinite article that a sentence begins with."""
    return "An" if noun[0] in "aeiou" else "A"
