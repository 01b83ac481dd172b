"""Texts of which the next unit is predicted: a character, or a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .raw_texts import texts_of, units_of

PADDED, START, OTHER = range(3)
"""Inputs: what fills short texts up, what stands before a text, and a unit that is not in the vocabulary."""
CLASS_SHIFT = OTHER
"""The class of a unit is its input less this: class 0 is a unit that is not in the vocabulary."""


def inputs_of_next(values: Mapping[str, Any], arrays: Mapping[str, np.ndarray], rows: Any) -> np.ndarray:
    """Int64 [n, length]: the mark of a start and the units of each text; of a longer one the last units.

    A space at the end counts, as the character after it is another than without. Before a text none does.

    values: columns, unit, lowercase, length, vocabulary (the units in the order of their numbers).
    """
    known = {unit: at for at, unit in enumerate(values["vocabulary"], OTHER + 1)}
    texts, length = texts_of(values["columns"], rows), int(values["length"])
    inputs = np.full((len(texts), length), PADDED, np.int64)
    for row, text in zip(inputs, texts, strict=True):
        units = units_of(text, {**values, "ngrams": 1})
        if units and values["unit"] == "character" and text[-1].isspace():
            units.append(" ")
        numbers = [START, *(known.get(unit, OTHER) for unit in units)][-length:]
        row[: len(numbers)] = numbers
    return inputs


def at_last(inputs: Tensor, outputs: Tensor) -> Tensor:
    """The outputs [n, classes] at the last unit of each text, of [n, length, classes]."""
    return outputs[torch.arange(len(inputs)), (inputs != PADDED).sum(dim=1) - 1]
