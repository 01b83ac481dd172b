"""From a model's outputs to answers in words and units: a class with probabilities, or numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor


def answers_of(form: Mapping[str, Any], outputs: Tensor) -> pd.DataFrame:
    """One row an example. outputs: [n, outputs], of sequences [n, length, outputs].

    form: `kind`, an entry of FORMS, and what that needs.
    """
    return FORMS[form["kind"]](form, outputs)


def columns_of(form: Mapping[str, Any]) -> dict[str, str]:
    """The columns of the answers, each with its type: string or double."""
    length = [int(form["length"])] if "length" in form else []
    empty = answers_of(form, torch.zeros(1, *length, int(form["outputs"])))
    return {str(name): "double" if dtype == np.float64 else "string" for name, dtype in empty.dtypes.items()}


def _of_classes(form: Mapping[str, Any], outputs: Tensor) -> pd.DataFrame:
    """label: the class of the largest output. probability: its softmax, then that of every class."""
    classes = list(form["classes"])
    shares = torch.softmax(outputs.double(), dim=1).numpy()
    best = outputs.argmax(dim=1).numpy()
    named = {f"probability of {name}": shares[:, at] for at, name in enumerate(classes)}
    return pd.DataFrame(
        {
            "label": np.array(classes, object)[best],
            "probability": shares[np.arange(len(best)), best],
            **named,
        }
    )


def _of_numbers(form: Mapping[str, Any], outputs: Tensor) -> pd.DataFrame:
    """A column for each target: names, in the unit of the targets."""
    numbers = outputs.double().numpy()
    return pd.DataFrame({name: numbers[:, at] for at, name in enumerate(form["names"])})


def _of_labels(form: Mapping[str, Any], outputs: Tensor) -> pd.DataFrame:
    """labels: the names of those with a probability above a half, with commas. Then the probability of each label."""
    names = list(form["names"])
    shares = torch.sigmoid(outputs.double()).numpy()
    found = [", ".join(name for name, there in zip(names, row, strict=True) if there) for row in outputs > 0]
    named = {f"probability of {name}": shares[:, at] for at, name in enumerate(names)}
    return pd.DataFrame({"labels": np.array(found, object), **named})


def _of_sequences(form: Mapping[str, Any], outputs: Tensor) -> pd.DataFrame:
    """label 1, label 2, ...: the class of the largest output at each position; then the probability of each."""
    classes = np.array(list(form["classes"]), object)
    shares, best = torch.softmax(outputs.double(), dim=2).max(dim=2)
    places = range(outputs.shape[1])
    return pd.DataFrame(
        {
            **{f"label {at + 1}": classes[best[:, at].numpy()] for at in places},
            **{f"probability {at + 1}": shares[:, at].numpy() for at in places},
        }
    )


FORMS: dict[str, Callable[[Mapping[str, Any], Tensor], pd.DataFrame]] = {
    "classes": _of_classes,
    "numbers": _of_numbers,
    "labels": _of_labels,
    "next": _of_classes,
    "sequences": _of_sequences,
}
"""classes, next: `classes`, their names in the order of the outputs. sequences: these and `length`. numbers, labels:
`names`, of the targets."""
