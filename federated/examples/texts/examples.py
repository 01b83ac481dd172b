"""Texts with their labels as examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from federated.examples.examples import Examples, bad_data
from federated.examples.labelled import LabelColumns, label_columns_read, labels_of
from federated.examples.reading import ColumnRead, Reading, Suspicion, counted, named, said
from federated.metrics.tasks import Targets
from federated.preprocessing.number_marks import Marks
from federated.preprocessing.preprocessing import Fitted

_FEWEST_TEXTS = 20


class Lengths(NamedTuple):
    """units: how many each text has, the marks of a tokeniser not counted, int64 [N]. most: how many are kept of one,
    marks included. cut: how many texts have more."""

    units: np.ndarray
    most: int = 0
    cut: int = 0


def examples_of_texts(
    texts: pd.DataFrame,
    others: pd.DataFrame,
    written: pd.DataFrame | None,
    columns: LabelColumns,
    task: Targets | None,
    fit: Callable[[np.ndarray], Fitted],
    lengths: Lengths,
    source: str,
    notes: Sequence[str] = (),
    marks: Marks | None = None,
) -> Examples:
    """Examples of texts [N, columns], with everything else that is known of them. Raises BadInput.

    written, marks: as of `labels_of`. notes: on how the file was read.
    """
    bad = partial(bad_data, "text")
    labels = labels_of(others, written, columns, task, bad, marks)
    read = [ColumnRead(str(name), "text", _in_words(lengths.units), 0.0, 0) for name in texts.columns]
    suspicions = [*labels.suspicions, *_suspicions(texts, lengths)]
    return Examples(
        "text",
        texts,
        labels.target.values,
        labels.target.classes,
        labels.client_ids,
        labels.test,
        fit=fit,
        source=source,
        weights=labels.weights,
        properties=others,
        reading=Reading((*label_columns_read(others, columns, labels), *read), (*notes, *said(suspicions))),
    )


def _in_words(units: np.ndarray) -> str:
    return f"{len(units):,} texts of {units.mean():,.0f} units on average, the longest {units.max():,}"


def _suspicions(texts: pd.DataFrame, lengths: Lengths) -> Iterator[Suspicion]:
    """Warnings about texts of nothing, texts that are cut, and a column that holds categories."""
    name, count = str(texts.columns[0]), len(texts)
    if empty := np.flatnonzero(lengths.units <= 0).tolist():
        yield Suspicion(
            "text: empty",
            name,
            f"{named(name, 'text ')}: {counted(len(empty), 'text')} of {count:,} hold no unit, the first is row "
            f"{empty[0] + 1}; their inputs say nothing",
        )
    if lengths.cut:
        yield Suspicion(
            "text: cut",
            name,
            f"{named(name, 'text ')}: {counted(lengths.cut, 'text')} of {count:,} are longer than length: "
            f"{lengths.most}, and the rest of each is left out",
        )
    distinct = len(texts.drop_duplicates()) if len(texts) >= _FEWEST_TEXTS else len(texts)
    if distinct < _FEWEST_TEXTS <= len(texts):
        yield Suspicion(
            "text: few different ones",
            name,
            f"{named(name, 'text ')} has only {counted(distinct, 'different text')}; is it the right column?",
        )
