"""Raw rows, from a file that is scored or from a request, become the inputs that training made of the same cells."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from federated.datasets import DATASETS
from federated.examples.user_data import as_examples
from federated.federation.client_transforms import ready_examples
from federated.losses import Readout
from federated.models.flat_model import FlatModel
from federated.preprocessing.predictor import Predictor
from federated.preprocessing.preprocessing import Preprocessing, as_they_are
from federated.preprocessing.raw_rows import inputs_of
from tasks.tracking.models.folder import write_model
from tasks.tracking.models.rows_to_score import Trained, rows_of
from tasks.tracking.models.scoring import score_file


def applied(preprocessing: Preprocessing, rows: Any) -> np.ndarray:
    return inputs_of(preprocessing.name, preprocessing.values, preprocessing.arrays, rows)


def learnt(folder: Path, cells: list[str], **options: Any) -> Preprocessing:
    """Of a CSV file with the features a = 0, 1, ... and c, these cells."""
    lines = [f"{at},{cell},{'yn'[at % 2]}" for at, cell in enumerate(cells)]
    (folder / "t.csv").write_text("\n".join(["a,c,y", *lines]) + "\n")
    examples = DATASETS["table"](folder / "t.csv", "y", **options)()
    return examples.fitted(np.arange(len(cells))).preprocessing


def scored(preprocessing: Preprocessing, file: Path, **dataset: Any) -> np.ndarray:
    trained = Trained({"name": preprocessing.name, "values": preprocessing.values}, dataset)
    return np.concatenate([applied(preprocessing, block) for block in rows_of(file, trained).blocks])


STATED = {"numeric": ("a",), "categorical": ("c",)}


@pytest.mark.parametrize(
    ("training", "options", "new", "expected"),
    [
        (["true", "false"], STATED, ["false", "true"], [[1, 0], [0, 1]]),
        (["true", "false"], {}, ["true", "TRUE"], [[0, 1], [0, 1]]),
        (["A", "NA", "B"], STATED, ["NA", "B"], [[0, 0, 1], [0, 1, 0]]),
        (["true", "false", "maybe"], {}, ["true", "false"], [[0, 0, 1], [1, 0, 0]]),
        (["01", "02", "A"], {}, ["02", "01"], [[0, 1, 0], [1, 0, 0]]),
        (["1", "2"], STATED, ["01", "2"], [[0, 0], [0, 1]]),
    ],
)
def test_categories_of_a_file_are_spelt_as_in_training_whatever_its_other_rows(
    tmp_path: Path, training: list[str], options: dict[str, Any], new: list[str], expected: list[list[int]]
) -> None:
    preprocessing = learnt(tmp_path, training * 4, **options)
    file = tmp_path / "new.csv"
    file.write_text("\n".join(["a,c", *(f"0,{cell}" for cell in new)]) + "\n")
    found = scored(preprocessing, file, name="table", path="t.csv")
    assert found[:, 1:].tolist() == expected


def test_lines_of_json_are_read_as_they_are(tmp_path: Path) -> None:
    lines = [
        {"created_at": 1_700_000_000 + at, "c": "0123"[at % 4] + "7", "y": "yn"[at % 2]} for at in range(8)
    ]
    pd.DataFrame(lines).to_csv(tmp_path / "t.csv", index=False)
    options = {"numeric": ("created_at",), "categorical": ("c",)}
    inputs, preprocessing = DATASETS["table"](tmp_path / "t.csv", "y", **options)().fitted(np.arange(8))
    (tmp_path / "new.jsonl").write_text("\n".join(map(json.dumps, lines)))
    np.testing.assert_array_equal(scored(preprocessing, tmp_path / "new.jsonl"), inputs)
    dates = pd.DataFrame({"created_at": pd.to_datetime(["2024-01-01"]), "c": ["07"]})
    with pytest.raises(ValueError, match="'created_at' must be numeric, but holds datetime64"):
        applied(preprocessing, dates)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_texts_are_words_as_in_training(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path / "home"))
    frame = pd.DataFrame({"t": ["good film", "None", "007", "NA"] * 10, "y": list("yn") * 20})
    file = tmp_path / f"t.{ending}"
    if ending == "csv":
        frame.to_csv(file, index=False)
    else:
        frame.to_json(file, orient="records", lines=True)
    inputs, preprocessing = DATASETS["text"](file, "t", "y")().fitted(np.arange(40))
    assert preprocessing.values["vocabulary"] == ["007", "film", "good", "na", "none"]
    np.testing.assert_array_equal(scored(preprocessing, file, name="text"), inputs)


def test_a_folder_of_parquet_files_is_scored_as_one_table(tmp_path: Path) -> None:
    preprocessing = learnt(tmp_path, ["u", "v", "u"])
    rows = pd.DataFrame({"a": [5.0, 7.0], "c": ["v", "u"]})
    (tmp_path / "folder").mkdir()
    for at in range(2):
        rows[at : at + 1].to_parquet(tmp_path / "folder" / f"part-{at}.parquet")
    assert scored(preprocessing, tmp_path / "folder").tolist() == applied(preprocessing, rows).tolist()
    with pytest.raises(ValueError, match="it is a folder, and texts are read from one file"):
        rows_of(tmp_path / "folder", Trained({"name": "text"}, {}))


def test_of_a_folder_the_files_are_scored_that_training_would_read_some_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.tracking.models.rows_to_score._IMAGES_AT_A_TIME", 2)
    (tmp_path / "__MACOSX").mkdir()
    for name in ("Thumbs.db", "__MACOSX/y.png"):
        (tmp_path / name).write_bytes(b"no image")
    for at in range(3):
        Image.new("L", (4, 4), at).save(tmp_path / f"{at}.png")
    found = rows_of(tmp_path, Trained({}, {"name": "images"}))
    assert found.files == ["0.png", "1.png", "2.png"]
    assert [len(block) for block in found.blocks] == [2, 1]


def test_missing_values_of_the_file_are_missing_in_raw_rows(tmp_path: Path) -> None:
    cells = ["?", "A", "B", "A"] * 3
    preprocessing = learnt(tmp_path, cells, missing_values=("?", -999))
    rows = [{"a": -999, "c": "?"}, {"a": "-999", "c": "A"}, {"a": -999.0, "c": "?"}]
    gaps = [{"a": None, "c": None}, {"a": None, "c": "A"}, {"a": None, "c": None}]
    for given in (rows, pd.DataFrame(rows)):
        found = applied(preprocessing, given)
        assert found[:, 1:].tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1]]
        np.testing.assert_array_equal(found, applied(preprocessing, gaps))


def test_spaces_before_names_and_texts_are_left_out_as_from_a_file(tmp_path: Path) -> None:
    preprocessing = learnt(tmp_path, ["A", "B", ""] * 4)
    found = applied(preprocessing, pd.DataFrame({" a": [11, 11, 11], " c": [" A", "B", " "]}))
    expected = applied(preprocessing, pd.DataFrame({"a": [11, 11, 11], "c": ["A", "B", None]}))
    np.testing.assert_array_equal(found, expected)
    assert found[:, 1:].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_groups_of_thousands_in_texts_come_before_decimal_points(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("a;y\n1.100,5;y\n2.200;n\n3,5;y\n4;n\n")
    options = {"separator": ";", "decimal": ",", "thousands": "."}
    preprocessing = DATASETS["table"](file, "y", **options)().fitted(np.arange(4)).preprocessing
    texts = applied(preprocessing, [{"a": "1.100"}, {"a": "1.100,0"}, {"a": "3,5"}])
    np.testing.assert_array_equal(texts, applied(preprocessing, [{"a": 1100}, {"a": 1100.0}, {"a": 3.5}]))
    point = applied(preprocessing, [{"a": "0.25"}])  # no number by these marks
    np.testing.assert_array_equal(point, applied(preprocessing, [{"a": 0.25}]))


def test_a_misspelt_column_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    preprocessing = learnt(tmp_path, ["A", "B"] * 4)
    with caplog.at_level(logging.WARNING):
        applied(preprocessing, [{"a": 1, "c": "A"}])
        assert caplog.text == ""
        applied(preprocessing, [{"A": 1, "c": "A"}])
    assert "the rows lack columns, which count as missing in every row: a" in caplog.text


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_arrays_and_signals_that_are_not_finite_are_refused_as_in_training(wrong: float) -> None:
    rows = np.array([[[0.0, 1.0]], [[wrong, 1.0]]], np.float32)
    signals = Preprocessing("signals", {"shape": [1, 2]}, {"mean": np.zeros(1), "scale": np.ones(1)})
    for preprocessing in (as_they_are(np.zeros_like(rows)), signals):
        for given in (rows, rows.astype(np.float64)):
            with pytest.raises(ValueError, match="must be finite numbers, but row 2 holds one that is not"):
                applied(preprocessing, given)


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(7, 4), nn.Linear(4, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.head(self.words(tokens).mean(dim=1))
        return found


def saved(folder: Path, data: Any, module: nn.Module | None = None) -> Path:
    ready = ready_examples(as_examples(data, "mine"), np.arange(len(data[1])), None)
    torch.manual_seed(0)
    model = FlatModel(module or nn.Linear(ready.inputs.shape[1], 2))
    write_model(folder / "model", (str(folder),), model, model.vector, ready, Readout())
    return folder / "model"


@pytest.mark.parametrize("number", [-1, 7])
def test_a_token_that_a_model_does_not_know_is_an_error_in_a_sentence(tmp_path: Path, number: int) -> None:
    folder = saved(tmp_path, (np.arange(14).reshape(7, 2) % 7, list("abababa")), Words())
    predictor = Predictor(folder / "artifacts" / "model")
    with pytest.raises(ValueError, match="hold a number for which the model has no entry"):
        predictor.predict(np.array([[1, number]]))


def test_a_file_is_scored_by_the_categories_in_the_model(tmp_path: Path, home: Path) -> None:
    codes = pd.DataFrame({"c": ["01", "02", "A"] * 4})
    folder = saved(tmp_path, (codes, list("ab") * 6))
    (tmp_path / "new.csv").write_text("c\n01\n02\n")
    assert score_file(f"file://{folder}", tmp_path / "new.csv", tmp_path / "out.csv") == 2
    found = pd.read_csv(tmp_path / "out.csv")
    expected = Predictor(folder / "artifacts" / "model").predict(pd.DataFrame({"c": ["01", "02"]}))
    np.testing.assert_allclose(found["probability of a"], expected["probability of a"], rtol=1e-6)
