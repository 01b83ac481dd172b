"""What is warned of before a run: splits at random where time, groups or the model see through them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from federated.config.run import RunConfig
from federated.datasets import Examples
from federated.federation.federation import partition_clients
from federated.forecast.held_out_warnings import of_held_out
from federated.foundation.errors import BadInput
from federated.holdouts.time_series import sign_of_time
from tests.test_holdouts import OwnModule, made, write_visits


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_visits(tmp_path_factory.mktemp("visits") / "visits.csv")


def sign(**columns: Any) -> str:
    """What `sign_of_time` says of a table with these columns, 60 rows of 3 clients in turn."""
    numbers = np.random.default_rng(0)
    examples = Examples(
        "t",
        numbers.normal(size=(60, 2)).astype(np.float32),
        np.arange(60, dtype=np.float32),
        None,
        client_ids=np.arange(60) % 3,
        properties=pd.DataFrame(columns),
    )
    found = sign_of_time(examples)
    return "" if found is None else f"{found.reason}; {found.instead}"


def test_a_time_series_is_known_by_its_dates_and_by_numbers_that_rise() -> None:
    numbers = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=60)
    for column in (days, days.strftime("%d.%m.%Y"), days.strftime("%Y%m%d").astype(int)):
        assert "'day': dates; holdout.by: time(day, within=client)" in sign(
            x=numbers.normal(size=60), day=column
        )
    by_client = np.arange(60) // 3 + 100 * (
        2 - np.arange(60) % 3
    )  # falls from row to row, rises at each client
    assert "rises in 100 % of the steps from row to row within clients" in sign(seconds=by_client)
    assert "time('test time', within=client)" in sign(**{"test time": by_client})
    quiet = {
        "x": numbers.normal(size=60),
        "age": np.sort(numbers.integers(5, size=60)),
        "visit id": by_client,
    }
    assert sign(**quiet, row=np.arange(60), ward=["a", "b"] * 30) == ""


@pytest.mark.parametrize(
    ("holdout", "warned"),
    [
        ({}, True),
        ({"by": "time(day)"}, False),
        ({"by": "groups(patient)"}, False),
    ],
)
def test_a_random_split_of_a_time_series_is_warned_about(
    visits: Path, holdout: dict[str, Any], warned: bool
) -> None:
    federation = made(visits, holdout.get("by", "random"))
    config = RunConfig(dataset="digits", model="logistic", rounds=1, holdout={"client": 0.25, **holdout})
    said = [each for each in of_held_out(config, federation) if each.startswith("holdout.by: random")]
    assert len(said) == warned
    if warned:
        assert "(column 'day': dates)" in said[0]
        assert said[0].endswith("holdout.by: time(day, within=client) tests on what comes later")


def test_a_column_that_the_model_sees_and_groups_at_unseen_clients_are_warned_about(visits: Path) -> None:
    shared = pd.read_csv(visits).groupby("patient")["site"].nunique()
    federation = made(visits, "groups(patient)", unseen_clients=["north"])
    table = pd.read_csv(visits)
    trained = set(
        table["patient"][
            np.concatenate([*federation.clients, *federation.own_held_out, *federation.own_validation])
        ]
    )
    linked = int(table["patient"][federation.unseen[0]].isin(trained).sum())
    assert (federation.linked, bool(linked)) == (linked, bool((shared > 1).any()))
    config = RunConfig(dataset="digits", model="logistic", rounds=1, holdout={"by": "groups(x)"})
    said = [each for each in of_held_out(config, federation) if each]
    assert any("holds out by the column 'x', which is also an input of the model" in each for each in said)
    assert any(f"{linked} examples of unseen clients are of groups" in each for each in said)


def test_a_stop_rule_on_data_that_judge_is_warned_about() -> None:
    base = {
        "dataset": "digits",
        "model": "logistic",
        "rounds": 9,
        "clients": 3,
        "holdout": {"validation": 0.2},
    }
    for metric, warned in (("test_accuracy", True), ("validation_accuracy", False)):
        stop = {"metric": f"generalisation/{metric}", "patience": 1}
        config = RunConfig.model_validate({**base, "stop": stop})
        said = [
            each for each in of_held_out(config, partition_clients(config)) if each.startswith("stop.metric")
        ]
        assert len(said) == warned
        assert all(each.endswith("to choose by: generalisation/validation_accuracy") for each in said)


def test_properties_of_ones_own_data_are_what_rules_look_at_and_models_never_see(own: OwnModule) -> None:
    module = own(
        "import numpy as np\n"
        "def load(rows=40):\n"
        "    x = np.zeros((40, 2, 3))\n"
        "    when = np.random.default_rng(0).permutation(rows)\n"
        "    return {'inputs': x, 'targets': np.arange(40.0), 'properties': {'when': when}}\n"
    )
    base = {"model": "linear", "rounds": 1, "clients": 2, "holdout": {"by": "time(when)"}}
    federation = partition_clients(RunConfig.model_validate({**base, "dataset": f"{module}:load"}))
    when = np.random.default_rng(0).permutation(40)
    assert sorted(when[federation.test]) == list(range(32, 40))
    assert federation.examples.inputs.shape == (40, 2, 3)
    with pytest.raises(BadInput, match="properties has 39 rows, inputs has 40"):
        partition_clients(RunConfig.model_validate({**base, "dataset": f"{module}:load(rows=39)"}))
