"""`./fedstudy list`: every name that a study file may use, from the registries and their docstrings."""

import inspect
from typing import Any

from rich.table import Table

from federated.choices.choice import Kind
from federated.extension_points.kinds import KINDS
from federated.foundation.errors import BadInput
from federated.foundation.texts import meant
from flows.reference.arguments import arguments_of, call_of
from flows.terminal.screen import Screen


def show_catalogue(what: str | None, screen: Screen) -> None:
    """All names by kind, those of one kind, or the whole docstring of one name. Raises BadInput for any other word."""
    kinds = [
        kind for kind in KINDS if what in (None, kind.name, f"{kind.name}s", kind.name.partition(" ")[0])
    ]
    for kind in kinds:
        _show_kind(kind, screen)
    named = [(kind, what) for kind in KINDS if what in kind.factories]
    for kind, name in named:
        _show_name(kind, str(name), screen)
    if not kinds and not named:
        words = ", ".join(kind.name for kind in KINDS)
        near = meant(str(what), [word for kind in KINDS for word in (kind.name, *kind.factories)])
        raise BadInput(
            f"{what!r} is neither a kind ({words}) nor a registered name; {near}`list` alone shows them all"
        )


def _show_kind(kind: Kind[Any], screen: Screen) -> None:
    screen.print(kind.name, style="bold")
    for name in kind.factories:
        first_line = (inspect.getdoc(kind.factories[name]) or "").partition("\n")[0]
        screen.print(f"  {call_of(kind, name)}", style="cyan", soft_wrap=True)
        screen.print(f"      {first_line}", soft_wrap=True)
    if kind.given is None:
        screen.print(f"  package.module:factory\n      your own {kind.name}\n", style="dim")
    else:
        call = f"package.module:function({', '.join([*kind.given, '...'])})"
        screen.print(f"  {call}\n      your own {kind.name}; ... from the study file\n", style="dim")


def _show_name(kind: Kind[Any], name: str, screen: Screen) -> None:
    screen.print(kind.name, style="bold")
    screen.print(f"  {call_of(kind, name)}\n", style="cyan", soft_wrap=True)
    if arguments := arguments_of(kind, name):
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        for argument, words, default in arguments:
            unless = {None: "must be stated", "null": "may be left out"}.get(
                default, f"unless stated {default}"
            )
            table.add_row(f"  {argument}", words.replace("`", ""), unless)
        screen.print(table)
        screen.print()
    for line in (inspect.getdoc(kind.factories[name]) or "").splitlines():
        screen.print(f"  {line}".rstrip(), soft_wrap=True)
    screen.print()
