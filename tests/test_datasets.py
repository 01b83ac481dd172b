"""What every data set promises, and what `Examples` refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.utils import Bunch

from federated.choices.choice import Kind
from federated.datasets import DATASETS, Examples
from federated.foundation.errors import BadInput

TABLE = pd.DataFrame(
    {
        "age": [31.0, 45.0, np.nan, 52.0, 28.0, 60.0],
        "sex": ["f", "m", "m", None, "f", "f"],
        "site": ["north", "north", "south", "south", "west", "west"],
        "diagnosis": ["ill", "well", "ill", "well", "ill", "well"],
    }
)


def table_arguments(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    TABLE.to_csv(folder / "patients.csv", index=False)
    return {"path": folder / "patients.csv", "target": "diagnosis", "client": "site"}


def arrays_arguments(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    np.savez(
        folder / "some.npz",
        inputs=np.arange(12.0).reshape(6, 2),
        targets=np.array([0, 1, 2, 0, 1, 2]),
        client_ids=np.array(list("aabbcc")),
        test=np.array([False] * 4 + [True] * 2),
    )
    return {"path": folder / "some.npz"}


def idx_arguments(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for part in ("train", "t10k"):
        images = np.arange(4 * 2 * 3, dtype=np.uint8).tobytes()
        header = np.array([2051, 4, 2, 3], ">i4").tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + images)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            np.array([2049, 4], ">i4").tobytes() + bytes([0, 1, 1, 0])
        )
    return {"path": folder}


def openml_arguments(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    bunch = Bunch(frame=TABLE, target_names=["diagnosis"])
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda **_: bunch)
    return {"name_or_id": "patients", "client": "site"}


def windows_arguments(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for name in ("a1", "b1", "b2"):
        recording = {"x": np.arange(7.0), "y": [0.5] * 7, "label": ["sit"] * 4 + ["walk"] * 3}
        pd.DataFrame(recording).to_csv(folder / f"{name}.csv", index=False)
    return {"path": folder, "signals": ("x", "y"), "target": "label", "client": "([ab])", "length": 2}


def text_arguments(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("FEDSTUDY_HOME", str(folder / "home"))
    TABLE.assign(note=["a b", "b", "b c", "a", "c", "d"]).to_csv(folder / "patients.csv", index=False)
    return {"path": folder / "patients.csv", "text": "note", "target": "diagnosis", "client": "site"}


def next_token_arguments(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return {key: value for key, value in text_arguments(folder, monkeypatch).items() if key != "target"}


def images_arguments(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("FEDSTUDY_HOME", str(folder / "home"))
    for at in range(6):
        path = folder / "photos" / "ab"[at % 2] / "xyz"[at % 3] / f"{at}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (at, 0, 0)).save(path)
    return {"path": folder / "photos", "layout": "client/target", "size": 4}


def no_arguments(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return {}


CONTRACT: dict[str, Callable[[Path, pytest.MonkeyPatch], dict[str, Any]]] = {
    "digits": no_arguments,
    "linear": no_arguments,
    "idx": idx_arguments,
    "table": table_arguments,
    "arrays": arrays_arguments,
    "openml": openml_arguments,
    "windows": windows_arguments,
    "text": text_arguments,
    "next_token": next_token_arguments,
    "images": images_arguments,
}


@pytest.fixture(params=CONTRACT)
def load(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Examples]:
    arguments = CONTRACT[request.param](tmp_path, monkeypatch)
    kind: Kind[Callable[[], Examples]] = Kind("dataset", DATASETS, given=())
    return kind.bind({"name": request.param, **arguments}).build()


def ready_inputs(examples: Examples) -> np.ndarray:
    """The inputs as a model sees them; a preprocessing is fitted on all but the last example."""
    if examples.fit is None:
        return examples.inputs
    return examples.fitted(np.arange(len(examples.targets) - 1)).inputs


def test_every_registered_data_set_has_a_row() -> None:
    assert set(CONTRACT) == set(DATASETS)


def test_ready_inputs_are_what_torch_takes(load: Callable[[], Examples]) -> None:
    inputs = ready_inputs(load())
    assert inputs.dtype in (np.uint8, np.float32, np.int64)
    assert inputs.ndim >= 2
    assert np.shares_memory(torch.from_numpy(inputs).numpy(), inputs)
    assert np.isfinite(inputs).all()


def test_targets_are_class_numbers_or_floats(load: Callable[[], Examples]) -> None:
    examples = load()
    assert examples.targets.flags.writeable  # else torch.from_numpy warns
    if examples.position_classes is not None:
        assert (examples.task.name, examples.targets.dtype) == ("sequence", np.int64)
    elif examples.classes is None:
        assert examples.task.name == "regression"
        assert examples.targets.dtype == np.float32
    else:
        assert examples.task.name == "classification"
        assert examples.targets.dtype == np.int64
        assert set(examples.targets) == set(range(examples.num_outputs))


def test_everything_has_one_entry_an_example(load: Callable[[], Examples]) -> None:
    examples = load()
    fields = (examples.inputs, examples.client_ids, examples.test, ready_inputs(examples))
    assert {len(field) for field in fields if field is not None} == {len(examples.targets)}


def test_says_where_it_came_from(load: Callable[[], Examples]) -> None:
    assert load().source


def test_digest_is_the_same_for_the_same_data(load: Callable[[], Examples]) -> None:
    first, second = load(), load()
    ready_inputs(second)
    assert first.digest == second.digest


def test_digest_changes_with_one_input(load: Callable[[], Examples]) -> None:
    examples = load()
    inputs = examples.inputs.copy()
    if isinstance(inputs, pd.DataFrame):
        inputs.iloc[0, 0] += "!" if isinstance(inputs.iloc[0, 0], str) else 1
    else:
        inputs.flat[0] += 1
    assert replace(examples, inputs=inputs).digest != examples.digest


def test_digest_changes_with_one_target(load: Callable[[], Examples]) -> None:
    examples = load()
    targets = examples.targets.copy()
    flat = targets.reshape(-1)
    flat[0] = flat[flat != flat[0]][0]
    assert replace(examples, targets=targets).digest != examples.digest


def test_digest_changes_with_one_client_and_one_test_example(load: Callable[[], Examples]) -> None:
    examples = load()
    if examples.client_ids is not None:
        moved = examples.client_ids.copy()
        moved[0] = moved[-1]
        assert replace(examples, client_ids=moved).digest != examples.digest
    test = np.zeros(len(examples.targets), bool) if examples.test is None else examples.test.copy()
    test[0] = ~test[0]
    assert replace(examples, test=test).digest != examples.digest


def examples_with(**given: Any) -> Examples:
    plain: dict[str, Any] = {
        "name": "mine",
        "inputs": np.ones((4, 2), np.float32),
        "targets": np.array([0, 1, 0, 1]),
        "classes": ("no", "yes"),
    }
    return Examples(**(plain | given))


def test_digest_tells_apart_what_has_the_same_bytes() -> None:
    wide, tall = np.arange(8, dtype=np.float32).reshape(4, 2), np.arange(8, dtype=np.float32).reshape(4, 1, 2)
    assert examples_with(inputs=wide).digest != examples_with(inputs=tall).digest
    assert examples_with().digest != examples_with(classes=("yes", "no")).digest
    mask = np.array([True, False, False, False])
    assert examples_with(test=mask).digest != examples_with(client_ids=mask).digest
    frame = pd.DataFrame({"a": range(4)})
    one, other = (examples_with(inputs=f, fit=np.asarray) for f in (frame, frame.rename(columns={"a": "b"})))
    assert one.digest != other.digest


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"targets": np.array([0, 1, 0])}, "targets has 3 entries, inputs has 4"),
        ({"inputs": np.ones((4, 2))}, "uint8, float32 or int64, got float64"),
        (
            {"inputs": np.array([[1], [np.nan], [1], [np.inf]], np.float32)},
            "in 2 examples, the first is example 1",
        ),
        ({"targets": np.array([0, 2, 0, 1])}, "0 ... 1, got 0 ... 2"),
        ({"classes": ("no", "yes", "maybe")}, "the class 'maybe' has no examples"),
        (
            {"client_ids": np.array(["a", None, "b", None], object)},
            "2 missing values, the first is example 1",
        ),
        ({"client_ids": np.ones((4, 1))}, "client_ids must be [N]"),
        ({"test": np.array([0, 0, 1, 1])}, "test must be bool [N], got int64"),
        ({"test": np.ones(4, bool)}, "test marks every example"),
        ({"test": np.zeros(4, bool)}, "test marks no example"),
        (
            {"targets": np.array([1, np.inf, 1, 1], np.float32), "classes": None},
            "targets holds NaN or infinite",
        ),
        *(
            (
                {"targets": np.ones(4, kind), "classes": None},
                f"must be float32 [N] or [N, outputs], got {kind}",
            )
            for kind in ("int64", "float64", "bool")
        ),
    ],
)
def test_examples_refuses_a_broken_promise(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        examples_with(**given)


@pytest.mark.parametrize("name", ["idx", "table", "arrays", "windows", "text", "images"])
def test_a_missing_path_is_refused_before_loading(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kind: Kind[Callable[[], Examples]] = Kind("dataset", DATASETS, given=())
    stated = {"table": {"target": "y"}, "windows": {"target": "y", "signals": ["x"]}}
    target = (stated | {"text": {"target": "y", "text": "x"}}).get(name, {})
    with pytest.raises(ValueError, match=rf"path {re.escape(str(tmp_path / 'nowhere'))} is n(ot|either)"):
        kind.bind({"name": name, "path": "nowhere", **target})
