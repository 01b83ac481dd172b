"""What `list` and the reference say of choices is for people: arguments in words, nothing of the source code."""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import Any

import pytest

from federated.extension_points.kinds import KINDS
from federated.metrics.dictionary import OF_A_RUN, OF_A_STUDY
from flows.reference.arguments import arguments_of, call_of

METRICS = {
    each.rpartition("/")[2] for row in (*OF_A_RUN, *OF_A_STUDY) for names in row.names for each in names.names
}
OF = {kind.name: kind for kind in KINDS}
EVERY = [(kind, name) for kind in KINDS for name in kind.factories]


@pytest.mark.parametrize(
    ("kind", "name", "argument", "words", "default"),
    [
        ("dataset", "table", "path", "path", None),
        ("dataset", "table", "target", "text, or list of: text", None),
        (
            "dataset",
            "table",
            "task",
            "`classification`, `regression`, `multilabel`, `sequence`, or `null`",
            "null",
        ),
        ("dataset", "table", "drop", "list of: text", "[]"),
        ("dataset", "table", "missing", "`impute`, `error`", "impute"),
        ("dataset", "table", "separator", "text", "','"),
        ("partitioner", "dirichlet", "alpha", "number, or list of: number", None),
        ("partitioner", "dirichlet", "balance", "`true` or `false`", "false"),
        ("partitioner", "compose", "parts", "list of: partitioner", None),
        ("partitioner", "partly_iid", "rest", "partitioner", None),
        ("partitioner", "by_cluster", "encoder", "encoder, or `null`", "null"),
        ("compressor", "chain", "second", "compressor, or `null`", "null"),
        ("network", "link", "compute", "number, or `measured`", "measured"),
        ("model", "mlp", "hidden", "list of: whole number", "[200, 200]"),
    ],
)
def test_an_argument_in_words(kind: str, name: str, argument: str, words: str, default: str | None) -> None:
    found = {each.name: each for each in arguments_of(OF[kind], name)}[argument]
    assert (found.words, found.default) == (words, default)


def test_a_call_in_words() -> None:
    assert call_of(OF["partitioner"], "dirichlet") == (
        "dirichlet(alpha, min_size=0, balance=false, like=fedstudy, bins=10)"
    )


@cache
def known_names() -> set[str]:
    """Every name of a choice, of an argument and of its values, and of a metric."""
    arguments = [each for kind, made in EVERY for each in arguments_of(kind, made)]
    values = {value for each in arguments for value in re.findall("`([a-z_]+)`", each.words)}
    choices = {name for _, name in EVERY}
    return (
        choices | values | {each.name for each in arguments} | METRICS | {"data_digest"}
    )  # of `preview --save`


@pytest.mark.parametrize(("kind", "name"), EVERY, ids=[f"{kind.name}-{name}" for kind, name in EVERY])
def test_nothing_of_the_source_code_is_named(kind: Any, name: str) -> None:
    """What stands in backticks is something that a study file may hold."""
    for _, words, default in arguments_of(kind, name):
        assert not re.search(r"None|Literal|tuple|Callable|<class", f"{words} {default or ''}")
    text = inspect.getdoc(kind.factories[name]) or ""
    assert not re.search(r"\w\.py\b", text)
    known = known_names()
    for quoted in re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)`", text):
        assert quoted in known, quoted
