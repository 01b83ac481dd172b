"""The kinds of raw rows, each with the function that turns them into inputs.

Evaluation uses it, and it is logged beside the weights of every model; so the modules of this room import only numpy,
pandas, torch, pillow and, relatively, each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .raw_arrays import example_of_array, example_of_signals, inputs_of_array, inputs_of_signals
from .raw_images import example_of_images, inputs_of_images
from .raw_next import inputs_of_next
from .raw_tables import example_of_table, inputs_of_table, odd_rows_of_table
from .raw_texts import example_of_texts, inputs_of_texts, odd_texts

Values = Mapping[str, Any]
Arrays = Mapping[str, np.ndarray]


class Kind(NamedTuple):
    """inputs: (values, arrays, raw rows) -> inputs [n, ...]; raises ValueError in a sentence that names the field.

    example: two raw rows that are made up of what was learnt, so that no person's row is published with a model.
    odd: (values, raw rows) -> of how many rows something is left out or filled in, what -> count.
    """

    inputs: Callable[[Values, Arrays, Any], np.ndarray]
    example: Callable[[Values, Arrays], Any]
    odd: Callable[[Values, Any], dict[str, int]] = lambda values, rows: {}


KINDS: dict[str, Kind] = {
    "none": Kind(inputs_of_array, example_of_array),
    "table": Kind(inputs_of_table, example_of_table, odd_rows_of_table),
    "signals": Kind(inputs_of_signals, example_of_signals),
    "text": Kind(inputs_of_texts, example_of_texts, odd_texts),
    "next_token": Kind(inputs_of_next, example_of_texts),
    "images": Kind(inputs_of_images, example_of_images),
}


def inputs_of(name: str, values: Values, arrays: Arrays, rows: Any) -> np.ndarray:
    """The inputs [n, ...], float32, uint8 or int64, of raw rows. Raises ValueError."""
    return KINDS[name].inputs(values, arrays, rows)


def example_of(name: str, values: Values, arrays: Arrays) -> Any:
    """Two raw rows as an example of what a model takes."""
    return KINDS[name].example(values, arrays)


def odd_rows(name: str, values: Values, rows: Any) -> dict[str, int]:
    """Of how many raw rows, which `inputs_of` takes, something is left out or filled in: what, in words -> count."""
    return KINDS[name].odd(values, rows)


def model_inputs(batch: Tensor) -> Tensor:
    """Images of bytes become floats in [0, 1]; everything else is ready as it is."""
    return batch.float().div_(255) if batch.dtype == torch.uint8 else batch
