"""The signature of a logged model: raw rows in, answers out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import AnyType

from federated.preprocessing.answers import columns_of


def signature_of(example: Any, form: Mapping[str, Any]) -> ModelSignature:
    """example: raw rows. form: of the answers.

    Columns may be absent or empty, and are of any type, as whether pandas reads whole numbers as integers or as floats,
    and categories as texts or as numbers, depends on the other rows: MLflow's own types would refuse an integer for a
    float. The model itself says what is wrong with a value.
    """
    outputs: list[Any] = [ColSpec(DataType[kind], name) for name, kind in columns_of(form).items()]
    return ModelSignature(_inputs(example), Schema(outputs))


def _inputs(example: Any) -> Schema:
    if isinstance(example, pd.DataFrame):
        return Schema([ColSpec(_type(example[name]), str(name), required=False) for name in example.columns])
    array = np.asarray(example)
    return Schema([TensorSpec(array.dtype, (-1, *array.shape[1:]))])


def _type(column: pd.Series[Any]) -> Any:
    """Contents of files are binary, which MLflow's server takes as base64; all else is of any type."""
    if isinstance(column.iloc[0], bytes):
        return DataType.binary
    return AnyType()  # type: ignore[no-untyped-call]
