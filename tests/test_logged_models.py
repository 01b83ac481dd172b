"""A logged model takes raw rows and answers as evaluation does, for every kind of data set; no file is a pickle."""

from __future__ import annotations

import json
import logging
import pickletools
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import Tensor, nn

from federated.choices.choice import Kind
from federated.datasets import DATASETS, Examples
from federated.examples.user_data import as_examples
from federated.federation.client_transforms import ready_examples
from federated.losses import Readout
from federated.models.flat_model import FlatModel
from federated.preprocessing.raw_rows import model_inputs
from tasks.tracking.models.folder import Saved, write_model
from tasks.tracking.models.written_before import _WRITTEN
from tests.test_datasets import CONTRACT

TABLE = pd.DataFrame(
    {
        "size": [1.5, None, 3.0, 4.0, 2.5, 6.0],
        "colour": ["red", "blue", None, "red", "green", "blue"],
        "sold": [True, False, True, None, True, False],
    }
)


def own_table() -> Examples:
    return as_examples((TABLE, np.array([0.5, 1, 2, 3, 4, 5])), "mine")


def own_several() -> Examples:
    return as_examples((np.eye(6, dtype=np.float32), np.arange(12.0).reshape(6, 2) / 3), "mine")


def own_tokens() -> Examples:
    return as_examples((np.arange(18).reshape(6, 3) % 7, list("abcabc")), "mine")


OWN: dict[str, Callable[[], Examples]] = {
    "a table of one's own": own_table,
    "several targets": own_several,
    "tokens": own_tokens,
}
TABLES = ("table", "openml", "a table of one's own")


def read_back(arguments: dict[str, Any], examples: Examples, name: str) -> Any:
    """Raw rows as a person has them: the file as pandas reads it, or arrays."""
    if name in ("table", "text"):
        return pd.read_csv(arguments["path"])
    if name == "images":
        files = sorted(Path(arguments["path"]).rglob("*.png"))
        return pd.DataFrame({"image": [file.read_bytes() for file in files]})
    if name == "openml":
        return examples.properties
    return TABLE if name in TABLES else examples.inputs


class Tokens(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(7, 4), nn.Linear(4, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.head(self.words(tokens).mean(dim=1))
        return found


def module_for(examples: Examples) -> nn.Module:
    torch.manual_seed(0)
    if examples.inputs.dtype == np.int64:
        return Tokens(examples.num_outputs)
    size = int(np.prod(examples.inputs.shape[1:]))
    return nn.Sequential(nn.Flatten(), nn.Linear(size, 3), nn.Tanh(), nn.Linear(3, examples.num_outputs))


AS_THEY_ARE = Readout()


def written(
    folder: Path, examples: Examples, module: nn.Module, kind: object, readout: Readout = AS_THEY_ARE
) -> tuple[Saved, nn.Module]:
    model = FlatModel(module)
    saved = write_model(folder, (kind,), model, model.vector, examples, readout)
    return saved, model.independent_module()


@pytest.fixture(autouse=True)
def quiet() -> None:
    logging.getLogger("mlflow.pyfunc").setLevel(logging.ERROR)


@pytest.mark.parametrize(
    "name", [*(each for each in DATASETS if each != "next_token"), *OWN]
)  # see tests/test_sequences.py
def test_raw_rows_get_the_answers_of_evaluation(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments: dict[str, Any] = {}
    if name in OWN:
        examples = OWN[name]()
    else:
        arguments = CONTRACT[name](tmp_path, monkeypatch)
        kind: Kind[Callable[[], Examples]] = Kind("dataset", DATASETS, given=())
        examples = kind.bind({"name": name, **arguments}).build()()
    rows = read_back(arguments, examples, name)
    ready = ready_examples(examples, np.arange(0, len(examples.targets), 2), None)
    saved, module = written(tmp_path / "model", ready, module_for(ready), name)
    assert saved.how == "pt2"
    with torch.inference_mode():
        outputs = module(model_inputs(torch.from_numpy(ready.inputs)))
    answers = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(rows)
    assert len(answers) == len(examples.targets)
    if examples.classes is None:
        np.testing.assert_allclose(answers.to_numpy(), outputs.numpy(), rtol=1e-5, atol=1e-6)
        assert all("prediction" in column for column in answers)
        return
    assert answers["label"].tolist() == [examples.classes[at] for at in outputs.argmax(dim=1)]
    shares = torch.softmax(outputs.double(), dim=1).numpy()
    np.testing.assert_allclose(answers["probability"], shares.max(axis=1), rtol=1e-5)
    named = [f"probability of {each}" for each in examples.classes]
    np.testing.assert_allclose(answers[named].to_numpy(), shares, rtol=1e-5, atol=1e-7)


def test_the_link_of_the_loss_is_applied_as_in_evaluation(tmp_path: Path) -> None:
    ready = ready_examples(own_several(), np.arange(6), None)
    _, module = written(tmp_path / "model", ready, module_for(ready), "counts", Readout(link="exp"))
    answers = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(ready.inputs)
    expected = np.exp(module(torch.from_numpy(ready.inputs)).detach().numpy())
    np.testing.assert_allclose(answers.to_numpy(), expected, rtol=1e-5)


def test_standardised_targets_come_back_in_their_unit(tmp_path: Path) -> None:
    ready = ready_examples(own_several(), np.arange(6), None)
    readout = Readout("identity", (100.0, 0.5), (2000.0, -3.0))
    _, module = written(tmp_path / "model", ready, module_for(ready), "standardised", readout)
    answers = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(ready.inputs)
    outputs = module(torch.from_numpy(ready.inputs)).detach().numpy()
    np.testing.assert_allclose(answers.to_numpy(), outputs * [100.0, 0.5] + [2000.0, -3.0], rtol=1e-5)


def test_rows_with_integers_for_floats_gaps_new_categories_and_columns_left_out(tmp_path: Path) -> None:
    ready = ready_examples(own_table(), np.arange(6), None)
    written(tmp_path / "model", ready, module_for(ready), "gaps")
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    usual = model.predict(pd.DataFrame({"size": [3.0], "colour": ["red"], "sold": [True]}))
    integers = model.predict(pd.DataFrame({"size": [3], "colour": ["red"], "sold": [True], "more": ["x"]}))
    assert integers.equals(usual)
    median = model.predict(pd.DataFrame({"colour": ["never seen"]}))
    assert median.equals(model.predict(pd.DataFrame({"size": [None], "colour": ["other"], "sold": [None]})))
    with pytest.raises(Exception, match="the column 'size' must be numeric, but is 'large' in row 1"):
        model.predict(pd.DataFrame({"size": ["large"], "colour": ["red"], "sold": [True]}))


def pickles_in(folder: Path) -> list[str]:
    """Files, and entries of archives, that end as a pickle does and can be taken apart as one."""
    found: list[str] = []
    for file in folder.rglob("*"):
        contents = {str(file): file.read_bytes()} if file.is_file() else {}
        if file.is_file() and zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                contents |= {name: archive.read(name) for name in archive.namelist()}
        for name, content in contents.items():
            if content[:1] == b"\x80":
                list(pickletools.genops(content))
                found.append(name)
    return found


def test_no_file_is_a_pickle_or_names_a_path_of_this_machine_and_the_example_is_of_no_person(
    tmp_path: Path,
) -> None:
    ready = ready_examples(own_table(), np.arange(6), None)
    written(tmp_path / "model", ready, module_for(ready), "files")
    assert pickles_in(tmp_path / "model") == []
    (code,) = (tmp_path / "model" / "code").iterdir()  # one file, as a server takes a request for each
    assert code.name.endswith(".zip")
    stated = (tmp_path / "model" / "MLmodel").read_text()
    assert str(tmp_path) not in stated
    assert str(Path(__file__).parents[1]) not in stated
    example = json.loads((tmp_path / "model" / "input_example.json").read_text())
    assert example["columns"] == ["size", "colour", "sold"]
    assert (
        example["data"] == [[3.0, "blue", "False"]] * 2
    )  # the median; the first of each column's categories


class Large(nn.Module):
    """A frozen trunk of 6 MB below a head that trains."""

    def __init__(self, size: int, outputs: int) -> None:
        super().__init__()
        self.trunk, self.head = nn.Linear(size, 1_500_000 // size), nn.Linear(1_500_000 // size, outputs)
        self.trunk.requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.head(self.trunk(inputs))
        return found


def test_a_large_frozen_trunk_is_a_file_of_its_own_with_the_digest_of_its_weights(tmp_path: Path) -> None:
    ready = ready_examples(own_several(), np.arange(6), None)
    torch.manual_seed(0)
    module = Large(6, 2)
    first, _ = written(tmp_path / "a" / "model", ready, module, "large")
    nn.init.ones_(module.head.weight)
    second, _ = written(tmp_path / "b" / "model", ready, module, "large")
    nn.init.ones_(module.trunk.bias)
    third, _ = written(tmp_path / "c" / "model", ready, module, "large")
    assert first.frozen is not None
    assert second.frozen is not None
    assert third.frozen is not None
    assert first.frozen.name == second.frozen.name != third.frozen.name
    assert first.frozen.stat().st_size > 6_000_000
    rest = sum(file.stat().st_size for file in (tmp_path / "a" / "model").rglob("*") if file.is_file())
    assert rest < 2_100_000  # the head has half a million weights


class Drawn(nn.Module):
    """A module with a number that is no weight, drawn when it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.factor = nn.Linear(6, 2), float(torch.rand(()))

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.body(inputs) * self.factor
        return found


def test_models_of_one_kind_that_keep_different_numbers_are_not_mixed_up(tmp_path: Path) -> None:
    ready = ready_examples(own_several(), np.arange(6), None)
    for at in range(2):
        torch.manual_seed(at)
        _, module = written(tmp_path / f"{at}", ready, Drawn(), "drawn")
        answers = mlflow.pyfunc.load_model(str(tmp_path / f"{at}")).predict(ready.inputs)
        np.testing.assert_allclose(
            answers.to_numpy(), module(torch.from_numpy(ready.inputs)).detach().numpy(), rtol=1e-5
        )


def test_a_further_model_is_what_mlflow_writes_but_for_the_parts(tmp_path: Path) -> None:
    ready = ready_examples(own_table(), np.arange(6), None)
    others = ready_examples(own_table(), np.arange(3), None)  # of other medians
    folders = [tmp_path / name for name in ("first", "again", "others")]
    for folder, examples in zip(folders, (ready, ready, others), strict=True):
        written(folder, examples, module_for(examples), f"again {examples.inputs.shape}")
    kept = dict(_WRITTEN)
    _WRITTEN.clear()
    for folder, examples in zip(folders, (ready, ready, others), strict=True):
        _WRITTEN.clear()
        written(folder / "by mlflow", examples, module_for(examples), f"again {examples.inputs.shape}")
    _WRITTEN.update(kept)
    for folder in folders:
        shutil.move(folder / "by mlflow", tmp_path / "expected")
        ours, theirs = contents(folder), contents(tmp_path / "expected")
        about, expected = (yaml.safe_load(each.pop("MLmodel")) for each in (ours, theirs))
        assert {*ours} == {*theirs}
        assert [name for name in ours if ours[name] != theirs[name]] == []
        for name in ("model_uuid", "utc_time_created"):
            assert about.pop(name) != expected.pop(name)
        assert about == expected
        shutil.rmtree(tmp_path / "expected")
    assert contents(folders[0])["input_example.json"] != contents(folders[2])["input_example.json"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


class Wilful(nn.Module):
    """A module whose path depends on its data, which torch.export cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(6, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.body(inputs)
        return found if found.sum().item() > 1e9 else 2 * found


def test_what_cannot_be_exported_is_a_pickle_that_is_loaded_where_pickles_are_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ready = ready_examples(own_several(), np.arange(6), None)
    saved, module = written(tmp_path / "model", ready, Wilful(), "wilful")
    assert saved.how == "pickle"
    assert "cannot be exported, so it is saved with pickle" in caplog.text
    answers = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(ready.inputs)
    expected = module(torch.from_numpy(ready.inputs)).detach().numpy()
    np.testing.assert_allclose(answers.to_numpy(), expected, rtol=1e-5)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    with pytest.raises(Exception, match="this model is a pickle, because its module could not be exported"):
        mlflow.pyfunc.load_model(str(tmp_path / "model"))
