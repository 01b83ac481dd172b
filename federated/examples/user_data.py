"""Conversion of the result of a user's data set function to Examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from federated.examples.client_ids import as_client_ids
from federated.examples.conversion import as_weights, examples_of_arrays, read_targets, target_warnings
from federated.examples.examples import Examples, bad_data
from federated.examples.plain_arrays import plain_array
from federated.examples.reading import Reading, said
from federated.examples.tables.feature_columns import feature_columns
from federated.examples.tables.features import fit_of
from federated.examples.tables.frame import tidy
from federated.examples.tables.roles import Roles
from federated.examples.tables.summary import columns_read, feature_suspicions
from federated.examples.user_fit import own_fit, raw_inputs
from federated.foundation.errors import BadInput

_REQUIRED = ("inputs", "targets")
_OPTIONAL = ("client_ids", "test", "classes", "weights", "padding", "properties", "fit")
_ALLOWED = (
    "an Examples, a tuple (inputs, targets) or (inputs, targets, client_ids), or a mapping with the keys "
    "inputs, targets and, where there are such, client_ids, test, classes, weights, padding, properties, fit"
)


def as_examples(result: Any, name: str) -> Examples:
    """Examples of whatever the data set function `name` returned. Raises BadInput.

    An Examples passes as it is. Arrays of a tuple or a mapping may be numpy, torch, lists or pandas; their
    dtypes mean what `conversion.py` says. Inputs that are a DataFrame are preprocessed as a `table` is, unless there is
    a `fit` of their own, as `user_fit.own_fit` takes it.
    """
    if isinstance(result, Examples):
        return result
    fields = _fields(result, name)
    properties, fit = fields.pop("properties", None), fields.pop("fit", None)
    if fit is not None:
        raw = raw_inputs(name, fields.pop("inputs"))
        examples = examples_of_arrays(name, raw, **fields, source=name, fit=own_fit(name, fit, raw))
    elif isinstance(fields["inputs"], pd.DataFrame):
        examples = _examples_of_features(name, **fields)
    else:
        examples = examples_of_arrays(name, **fields, source=name)
    return (
        examples if properties is None else replace(examples, properties=_table(name, properties, examples))
    )


def _table(name: str, properties: Any, examples: Examples) -> pd.DataFrame:
    """What is known of the examples, a row each, such as a time or a patient, which no model sees."""
    try:
        table = pd.DataFrame(properties).reset_index(drop=True)
    except ValueError as error:
        raise bad_data(name, f"properties must be a table, or a mapping of columns: {error}") from error
    if len(table) != len(examples.targets):
        raise bad_data(name, f"properties has {len(table):,} rows, inputs has {len(examples.targets):,}")
    return table.set_axis([str(column) for column in table.columns], axis="columns")


def _fields(result: Any, name: str) -> dict[str, Any]:
    if isinstance(result, tuple) and len(result) in (2, 3):
        return dict(zip((*_REQUIRED, "client_ids"), result, strict=False))
    if isinstance(result, Mapping):
        if set(_REQUIRED) <= set(result) <= {*_REQUIRED, *_OPTIONAL}:
            return dict(result)
        found = f"a mapping with the keys {', '.join(map(str, result)) or 'none'}"
    elif isinstance(result, tuple):
        found = f"a tuple of {len(result)}"
    else:
        found = f"a {type(result).__name__}"
    raise BadInput(f"dataset: {name} returned {found}; it must return {_ALLOWED}")


def _examples_of_features(
    name: str,
    inputs: pd.DataFrame,
    targets: Any,
    client_ids: Any = None,
    test: Any = None,
    classes: Any = None,
    weights: Any = None,
    padding: int | str | None = None,
) -> Examples:
    """Examples of a table of features alone, the targets beside it."""
    bad = partial(bad_data, name)
    frame = tidy(inputs, Roles(None), bad, "inputs")
    kinds, cleaned = feature_columns(frame, Roles(None), bad)
    numbers, names, position_classes = read_targets(targets, bad, classes, None, padding)
    ids, suspicions = (None, []) if client_ids is None else as_client_ids(client_ids, bad)
    suspicions += feature_suspicions(cleaned, (), kinds)
    return Examples(
        name,
        cleaned,
        numbers,
        names,
        client_ids=ids,
        test=None if test is None else plain_array("test", test, bad),
        fit=fit_of(cleaned, kinds),
        source=name,
        weights=None if weights is None else as_weights(weights, bad),
        reading=Reading(
            columns_read(frame, cleaned, kinds),
            (*(target_warnings(numbers, names) if position_classes is None else ()), *said(suspicions)),
        ),
        position_classes=position_classes,
    )
