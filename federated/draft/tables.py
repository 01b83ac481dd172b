"""A look at a table file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from federated.datasets.table import table
from federated.draft.columns import Columns
from federated.draft.guess import Guess
from federated.draft.looked_at import LookedAt
from federated.draft.table_file import TableFile
from federated.examples.examples import Examples
from federated.foundation.errors import BadInput
from federated.foundation.texts import listed

_GIVES_AWAY = 0.9
"""A correlation with the target beyond which a column may be the target in other words."""


def look_at_table(path: Path, file: TableFile, columns: Columns) -> LookedAt:
    """Look at a CSV or Parquet file with these columns. Raises BadInput."""
    arguments: dict[str, Any] = {"target": columns.target}
    if columns.client is not None:
        arguments["client"] = columns.client
    if columns.dropped:
        arguments["drop"] = list(columns.dropped)
    arguments |= file.options
    examples = examples_of(lambda: table(path=path, **_as_taken(arguments)))
    found = looked_at({"name": "table", "path": path, **arguments}, file, columns, examples)
    return replace(
        found,
        dates=columns.date,
        comments=_comments(columns),
        warnings=(*found.warnings, *_given_away(examples, columns.target)),
    )


def examples_of(made: Callable[[], Callable[[], Examples]]) -> Examples:
    """The examples of a file. Raises BadInput where the data set or its file is refused."""
    try:
        return made()()
    except ValueError as error:
        raise error if isinstance(error, BadInput) else BadInput(str(error)) from error


def looked_at(
    dataset: dict[str, Any], file: TableFile, columns: Columns, examples: Examples, *first: Guess
) -> LookedAt:
    """What is seen of a file of rows, whatever their columns hold. first: guesses that come before the columns'."""
    return LookedAt(
        kind=dataset["name"],
        dataset=dataset,
        of=f"{len(file.frame):,} rows and {len(file.frame.columns):,} columns",
        target=columns.target,
        examples=len(examples.targets),
        classes=None if examples.classes is None else len(examples.classes),
        rarest=rarest_share(examples),
        clients=None if examples.client_ids is None else len(np.unique(examples.client_ids)),
        comments={**{guess.about: f"{guess.certainty}: {guess.why}" for guess in first}, **columns.said()},
        guesses=(*first, *columns.guesses, task_guess(examples)),
        warnings=examples.reading.warnings,
    )


def rarest_share(examples: Examples) -> float:
    """The share of the rarest class; 0 for a regression."""
    return (
        0.0
        if examples.classes is None
        else float(np.bincount(examples.targets).min() / len(examples.targets))
    )


def _as_taken(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()}


def _comments(columns: Columns) -> dict[str, str]:
    said = columns.said()
    if columns.dropped:
        said["drop"] = "; ".join(f"{name} {why}" for name, why in columns.dropped.items())
    return said


def task_guess(examples: Examples) -> Guess:
    """What is learnt from the targets."""
    if examples.classes is None:
        low, high = examples.targets.min(), examples.targets.max()
        return Guess("task", "regression", "likely", f"numbers from {low:g} to {high:g}")
    named = f"{len(examples.classes)} classes: {listed(examples.classes)}"
    shares = np.bincount(examples.targets) / len(examples.targets)
    return Guess(
        "task", "classification", "likely", f"{named}; {shares.min():.1%} to {shares.max():.1%} of the rows"
    )


def _given_away(examples: Examples, target: str) -> list[str]:
    """Warnings about columns of numbers that go with the target so closely that they may be the same thing."""
    frame = examples.properties
    assert frame is not None
    values = examples.targets.astype(np.float64)
    if examples.classes is not None and len(examples.classes) > 2:
        return []
    features = {column.name for column in examples.reading.columns if column.role == "numeric"}
    found = []
    for name in frame.columns:
        if name not in features:
            continue
        numbers = np.asarray(frame[name], np.float64)
        both = np.isfinite(numbers)
        if both.sum() < 3 or numbers[both].std() == 0 or values[both].std() == 0:
            continue
        correlation = float(np.corrcoef(numbers[both], values[both])[0, 1])
        if abs(correlation) >= _GIVES_AWAY:
            found.append(
                f"{name!r} goes with the target {target!r} almost exactly (correlation {correlation:.2f}): put it in "
                "`drop` if it is not known when the target is to be predicted"
            )
    return found
