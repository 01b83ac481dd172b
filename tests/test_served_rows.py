"""What a request may have a served model do, and that a model answers any number of rows."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow.models.utils import _enforce_schema
from mlflow.pyfunc.scoring_server import parse_csv_input
from PIL import Image
from torch import Tensor, nn

from federated.examples.user_data import as_examples
from federated.losses import Readout
from federated.models.flat_model import FlatModel
from federated.preprocessing.predictor import Predictor
from federated.preprocessing.raw_rows import example_of, inputs_of
from tasks.tracking.models.folder import write_model
from tasks.tracking.models.program import program_of, weights_of
from tasks.tracking.models.signature import signature_of

IMAGES = {"height": 8, "width": 8, "colour": "grey", "resize": "crop"}
CLASSES = {"kind": "classes", "classes": ["a", "b"], "outputs": 2}


def test_a_request_in_csv_has_no_image_of_the_machine_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("L", (8, 8), 9).save(secret)
    schema = signature_of(example_of("images", IMAGES, {}), CLASSES).inputs
    sent = _enforce_schema(parse_csv_input(io.StringIO(f"image\n{secret}\n"), schema), schema)
    assert sent["image"].tolist() == [str(secret)]
    with pytest.raises(ValueError, match=r"the image of row 1: an image is needed .*got a str"):
        inputs_of("images", IMAGES, {}, sent)
    assert (inputs_of("images", IMAGES, {}, [secret]) == 9).all()


class ByBatch(nn.Module):
    """A module that does with a batch what `change` says."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.body, self.change = nn.Linear(3, 2), change

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.body(self.change(inputs))
        return found


def _fixed(inputs: Tensor) -> Tensor:
    return torch.zeros(int(inputs.shape[0]), 3) + inputs


def _looped(inputs: Tensor) -> Tensor:
    return torch.stack([inputs[row] for row in range(inputs.shape[0])])


def _centred(inputs: Tensor) -> Tensor:
    return inputs - inputs.mean(0) if inputs.shape[0] > 1 else inputs


@pytest.mark.parametrize("change", [_fixed, _looped, _centred])
def test_a_program_that_fits_two_rows_alone_is_not_taken_for_the_module(
    change: Callable[[Tensor], Tensor],
) -> None:
    assert not _is_taken(change)


def test_a_program_for_any_number_of_rows_is() -> None:
    assert _is_taken(torch.tanh)


def _is_taken(change: Callable[[Tensor], Tensor]) -> bool:
    torch.manual_seed(0)
    model = FlatModel(ByBatch(change))
    module, sample = model.independent_module(), torch.tensor(np.eye(2, 3, dtype=np.float32))
    try:
        return program_of(module, sample).gives(module, weights_of(module, model), sample)
    except (RuntimeError, AssertionError):  # the program refuses another number of rows, or none was made
        return False


class Signals(nn.Module):
    """Convolutions along rows, whose attribute `padding` is theirs and says nothing about texts."""

    def __init__(self) -> None:
        super().__init__()
        self.padding = 0
        self.body = nn.Sequential(nn.Conv1d(1, 4, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(4, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.head(self.body(inputs[:, None].float()).mean(-1))
        return found


@pytest.mark.parametrize("kind", [np.float32, np.int64])
def test_rows_of_signals_are_not_cut_where_they_end_in_what_a_model_calls_its_padding(
    kind: type[np.generic], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    rows = np.ones((6, 8), dtype=kind)
    rows[:, 4:] = 0
    examples, model = as_examples((rows, list("abcabc")), "mine"), FlatModel(Signals())
    saved = write_model(tmp_path / "model", (Signals, kind), model, model.vector, examples, Readout())
    found = Predictor(tmp_path / "model" / "artifacts" / "model").outputs(rows)
    with torch.inference_mode():
        expected = model.module(torch.from_numpy(rows))
    torch.testing.assert_close(found, expected)
    assert saved.how == "pt2"
