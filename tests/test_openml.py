"""Tables from openml.org, without the network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pandas as pd
import pytest
from sklearn.utils import Bunch

from federated.datasets import DATASETS
from federated.foundation.errors import BadInput

TABLE = pd.DataFrame(
    {
        "age": [31.0, 45.0, 52.0],
        "sex": ["f", "m", None],
        "site": ["north", "south", "south"],
        "diagnosis": ["ill", "well", "ill"],
    }
)
BUNCH = Bunch(frame=TABLE, target_names=["diagnosis"], url="https://www.openml.org/d/7")


def test_openml_asks_for_what_was_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def fetch(**given: Any) -> Bunch:
        asked.append(given)
        return BUNCH

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path))
    by_name = DATASETS["openml"]("patients", version=2, client="site")()
    by_id = DATASETS["openml"](7, target="sex")
    with pytest.raises(BadInput, match="openml: the column 'sex' is missing in 1 of 3 rows"):
        by_id()
    common = {"as_frame": True, "data_home": str(tmp_path / "datasets")}
    assert asked == [
        {"name": "patients", "version": 2, "target_column": "default-target", **common},
        {"data_id": 7, "target_column": "sex", **common},
    ]
    assert by_name.source == "https://www.openml.org/d/7"
    assert by_name.classes == ("ill", "well")
    assert list(by_name.inputs.columns) == ["age", "sex"]


def test_openml_without_a_network_says_where_the_cache_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: Any, **__: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("sklearn.datasets._openml.urlopen", no_network)
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path))
    cached = re.escape(str(tmp_path / "datasets"))
    with (
        pytest.warns(UserWarning, match="Retry"),
        pytest.raises(BadInput, match=f"without a network only .* cached in {cached}"),
    ):
        DATASETS["openml"]("adult")()


def test_openml_wants_one_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda **_: Bunch(frame=TABLE, target_names=[]))
    with pytest.raises(BadInput, match="proposes 0 target columns; state `target`, one of: age, sex"):
        DATASETS["openml"]("patients")()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name_or_id": ""}, "name_or_id must be"),
        ({"name_or_id": 7, "version": 1}, "version must not be stated for an id"),
        ({"name_or_id": "adult", "version": 0}, "version must be at least 1, got 0"),
        ({"name_or_id": "adult", "target": "a", "client": "a"}, "client must be another column"),
    ],
)
def test_openml_refuses_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DATASETS["openml"](**arguments)
