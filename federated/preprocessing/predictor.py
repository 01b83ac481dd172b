"""A model in a folder, from raw rows to answers; loaded from JSON, safetensors and torch.export's format alone.

The folder: `model.json` (kind of raw rows and what it learnt, form of the answers), `learnt.safetensors` (its arrays),
`program.pt2` (the model's computation, without weights), `padding.json` (where texts may be of any length: the number
that fills them up), `trained.safetensors` and, where a model has frozen parts, `frozen.safetensors`. A module that
cannot be exported is in `module.pkl` instead, a pickle, which runs code.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file
from torch import Tensor

from .answers import answers_of
from .raw_next import at_last
from .raw_rows import inputs_of, model_inputs
from .readout import predictions_of

_ROWS_AT_A_TIME = 512
_TEXTS_AT_A_TIME = 64


class Predictor:
    """Predictions of the model in a folder."""

    def __init__(self, folder: Path, frozen: Path | None = None, allow_pickle: bool = False) -> None:
        """frozen: the file of the frozen parts, where it is not in the folder. Raises ValueError for a pickle that is
        not allowed."""
        self._stated: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        self._arrays = load_arrays(folder / "learnt.safetensors")
        self._forward = _forward(folder, frozen or folder / "frozen.safetensors", allow_pickle)

    def outputs(self, rows: Any) -> Tensor:
        """The predictions [n, outputs] for raw rows, of classes their scores, as evaluation has them.

        Of sequences [n, length, outputs]. Raises ValueError in a sentence that names the field.
        """
        return self._of(self._inputs(rows))

    def predict(self, rows: Any) -> pd.DataFrame:
        """Answers for raw rows, one row each. Raises ValueError in a sentence that names the field."""
        inputs, form = self._inputs(rows), self._stated["answers"]
        outputs = self._of(inputs)
        return answers_of(form, at_last(inputs, outputs) if form["kind"] == "next" else outputs)

    def _inputs(self, rows: Any) -> Tensor:
        stated = self._stated["rows"]
        return torch.from_numpy(inputs_of(stated["name"], stated["values"], self._arrays, rows))

    def _of(self, inputs: Tensor) -> Tensor:
        try:
            with torch.inference_mode():
                blocks = [
                    self._forward(model_inputs(block)) for block in torch.split(inputs, _ROWS_AT_A_TIME)
                ]
        except IndexError as error:
            raise ValueError(f"the rows hold a number for which the model has no entry: {error}") from error
        return predictions_of(self._stated["readout"], torch.cat(blocks))


def _forward(folder: Path, frozen: Path, allow_pickle: bool) -> Callable[[Tensor], Tensor]:
    """The computation of outputs from inputs."""
    if (pickled := folder / "module.pkl").exists():
        if not allow_pickle:
            raise ValueError(
                "this model is a pickle, because its module could not be exported; loading it runs the code in it: set "
                "MLFLOW_ALLOW_PICKLE_DESERIALIZATION=true if you trust where it is from"
            )
        module = pickle.loads(pickled.read_bytes())
        return lambda inputs: module(inputs)
    weights = load_file(folder / "trained.safetensors")
    if frozen.exists():
        weights |= load_file(frozen)
    program = torch.export.load(str(folder / "program.pt2")).module()
    names = json.loads((folder / "weights.json").read_text(encoding="utf-8"))
    given = {name: weights[stored] for name, stored in names.items()}
    if not (padding := folder / "padding.json").exists():
        return lambda inputs: program(given, inputs)
    fills = int(json.loads(padding.read_text(encoding="utf-8")))
    return lambda inputs: _by_length(lambda tokens: program(given, tokens), inputs, fills)


def _by_length(program: Callable[[Tensor], Tensor], tokens: Tensor, padding: int) -> Tensor:
    """The outputs of texts, those of about one length together and cut to the longest of them."""
    is_text = tokens != padding
    order = is_text.sum(1).argsort(stable=True)
    blocks = []
    for rows in torch.split(order, _TEXTS_AT_A_TIME):
        places = is_text[rows].any(0).nonzero()
        blocks.append(program(tokens[rows, : int(places.max()) + 1 if len(places) else 1]))
    return torch.cat(blocks)[order.argsort()]
