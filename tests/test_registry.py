"""The best arm's model goes to the registry; the champion changes only where the paired comparison says better."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from torch import nn

from federated.examples.examples import Examples
from federated.federation.client_transforms import ready_examples
from federated.foundation.errors import BadInput
from federated.losses import Readout
from federated.models.flat_model import FlatModel
from federated.run.setup import prepare
from federated.study.study import Run, StudyConfig, read_study
from tasks.tracking.delivery.logged_model import deliver_model
from tasks.tracking.delivery.messages import show_with
from tasks.tracking.models import registry
from tasks.tracking.models.folder import write_model
from tasks.tracking.models.registry import version_with
from tasks.tracking.models.scoring import score_file
from tasks.tracking.reading.search import results_of_study
from tasks.tracking.reading.studies import parent_of
from tasks.tracking.runs import runs as tracking
from tasks.tracking.server.store import connect, experiment_id
from tasks.tracking.studies import champion
from tasks.tracking.studies.champion import decide, promote, register_best

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("used_home")]  # each writes to a store of MLflow

METRIC = "generalisation/test_accuracy"
NOISE = (0.001, -0.002, 0.001)
"""Of each seed; arms differ in its sign."""
TABLE = pd.DataFrame(
    {"age": np.linspace(20, 80, 40), "smokes": ["yes", "no"] * 20, "ill": ["no"] * 20 + ["yes"] * 20}
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study file, with its data and, in `model`, a model of them."""
    folder = tmp_path_factory.mktemp("people")
    TABLE.to_csv(folder / "people.csv", index=False, sep=";", decimal=",")
    dataset = {"name": "table", "path": "people.csv", "target": "ill", "separator": ";", "decimal": ","}
    content = {
        "name": "people",
        "description": "Who is ill?",
        "base": {"dataset": dataset, "model": "logistic", "clients": 2, "rounds": 1},
        "arms": [{"name": "first"}, {"name": "second", "local.learning_rate": 0.5}],
        "seeds": [0, 1, 2],
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    config = read_study(folder / "study.yaml").runs()[0].config
    setup = prepare(config)
    parameters = setup.initial_parameters
    write_model(
        folder / "model", ("people",), setup.model, parameters, setup.federation.examples, setup.readout
    )
    return folder / "study.yaml"


@pytest.fixture
def study(file: Path, home: Path) -> StudyConfig:
    return read_study(file)


def logged(
    study: StudyConfig,
    file: Path,
    data: str = "d1",
    clients: str = "p",
    constant: float | None = None,
    promises: dict[str, float] | None = None,
    delta: float | None = 1e-5,
    **scores: float,
) -> str:
    """What MLflow holds of a study with these scores, arm -> score; the id of its parent run, concluded.

    promises: arm -> its epsilon, at this delta; None: none was logged. constant: the score of a constant answer.
    """
    client = connect()
    experiment = experiment_id(client, study.name)
    tags = {"study": study.name, "fedstudy.kind": "study"}
    parent = str(client.create_run(experiment, tags=tags).info.run_id)
    question = tracking.as_yaml(study)
    client.log_text(parent, question, "study.yaml")
    for run in study.runs():
        if run.arm in scores:
            noise = NOISE[run.config.seed] * (1 if run.arm == "first" else -1)
            tags = {"data_digest": data, "partition_digest": f"{clients}{run.config.seed}"}
            found = {METRIC: scores[run.arm] + noise}
            if constant is not None:
                found["generalisation/test_constant_accuracy"] = constant
            if run.arm in (promises or {}):
                found["privacy/epsilon"] = (promises or {})[run.arm]
                found |= {} if delta is None else {"privacy/delta": delta}
            _run(client, experiment, parent, run, found, tags, file)
    register_best(parent_of(parent, question), study.comparison, results_of_study(parent))
    return parent


def _run(
    client: MlflowClient,
    experiment: str,
    parent: str,
    run: Run,
    found: dict[str, float],
    digests: dict[str, str],
    file: Path,
) -> None:
    tags = {
        "fedstudy.kind": "run",
        "study": "people",
        "arm": run.arm,
        "seed": str(run.config.seed),
        "order": str(run.order),
        "main_metric": METRIC,
        **digests,
        "mlflow.parentRunId": parent,
    }
    run_id = str(client.create_run(experiment, tags=tags).info.run_id)
    client.log_text(run_id, tracking.as_yaml(run.config), "config.yaml")
    for name, value in found.items():
        client.log_metric(run_id, name, value, step=1)
    if run.config.seed == 0:
        deliver_model(client, run_id, file.parent / "model", 1)
    client.set_terminated(run_id)


def aliases() -> dict[str, int]:
    return {name: int(at) for name, at in connect().get_registered_model("people").aliases.items()}


def judged(study: StudyConfig, registry: str) -> StudyConfig:
    return study.model_copy(update={"comparison": study.comparison.model_copy(update={"registry": registry})})


def test_the_champion_changes_only_where_a_study_is_better(study: StudyConfig, file: Path) -> None:
    parent = logged(study, file, first=0.6, second=0.7)
    assert aliases() == {"champion": 1}
    version = version_with("people", "champion")
    assert version is not None
    assert version.tags["arm"] == "second"
    assert version.tags["seed"] == "0"
    said = connect().get_run(parent).data.tags["registered"]
    assert said == "people/1: champion: the first model of this name"
    assert (
        "Seed 0, the first of the 3 seeds of this arm that finished: no score chose it" in version.description
    )
    again = register_best(
        parent_of(parent, tracking.as_yaml(study)), study.comparison, results_of_study(parent)
    )
    assert again == "people, version 1 in MLflow's model registry: it is the champion"
    logged(study, file, second=0.7)
    assert aliases() == {"champion": 1, "challenger": 2}
    logged(study, file, second=0.65)
    assert aliases() == {"champion": 1, "challenger": 3}
    logged(study, file, first=0.8)
    assert aliases() == {"champion": 4, "challenger": 3}
    found = version_with("people", "champion")
    assert found is not None
    assert found.tags["arm"] == "first"
    assert found.tags["decision"].startswith("champion: better against version 1, +0.1 ")


def test_what_is_no_better_than_a_constant_answer_is_no_champion_however_often_it_is_decided(
    study: StudyConfig, file: Path
) -> None:
    parent = logged(study, file, constant=0.65, first=0.6)
    said = "challenger: no better than a constant answer, 0.6 and 0.65 in generalisation/test_accuracy"
    assert connect().get_run(parent).data.tags["registered"] == f"people/1: {said}"
    assert promote("people") == {"people": said}
    assert aliases() == {"challenger": 1}
    logged(study, file, constant=0.65, second=0.7)
    assert aliases() == {"champion": 2, "challenger": 1}
    logged(study, file, constant=0.95, first=0.9)  # better than the champion, and still no use
    assert aliases() == {"champion": 2, "challenger": 3}


def test_what_promises_less_than_the_champion_waits_however_much_better_it_is(
    study: StudyConfig, file: Path
) -> None:
    parent = logged(study, file, promises={"first": 3.0}, first=0.6)
    said = "champion: the first model of this name"
    assert connect().get_run(parent).data.tags["registered"] == f"people/1: {said}"
    held = "where that promises epsilon 3.00 at delta 1e-05"
    for promises, delta, less in (
        ({}, 1e-5, f"but it promises no privacy, {held}"),
        ({"second": 8.0}, 1e-5, f"but it promises only epsilon 8.00 at delta 1e-05, {held}"),
        ({"second": 3.0}, 0.2, f"but it promises epsilon 3.00 only at delta 0.2, {held}"),
    ):
        logged(study, file, promises=promises, delta=delta, second=0.8)
        assert aliases()["champion"] == 1
        challenger = version_with("people", "challenger")
        assert challenger is not None
        assert challenger.tags["decision"].startswith("challenger: better against version 1, +0.2 ")
        assert challenger.tags["decision"].endswith(less)
    logged(study, file, promises={"second": 3.003}, second=0.8)  # the solver's rounding
    assert aliases()["champion"] == 5


def test_a_champion_whose_delta_was_not_logged_is_compared_by_epsilon_and_that_is_said(
    study: StudyConfig, file: Path
) -> None:
    logged(study, file, promises={"first": 3.0}, delta=None, first=0.6)
    old = version_with("people", "champion")
    assert old is not None
    assert old.tags["epsilon"] == "3.00"
    assert "epsilon_delta" not in old.tags
    logged(study, file, promises={"second": 3.0}, second=0.8)
    assert aliases()["champion"] == 2
    new = version_with("people", "champion")
    assert new is not None
    assert new.tags["epsilon_delta"] == "1e-05"
    assert new.tags["decision"].endswith(
        "; promises are compared by epsilon alone, as a delta was not logged"
    )


def test_a_champion_without_privacy_is_said_to_be_one_and_a_study_may_ask_for_a_promise(
    study: StudyConfig, file: Path
) -> None:
    parent = logged(study, file, promises={"first": 3.0}, first=0.6, second=0.8)
    version = version_with("people", "champion")
    assert version is not None
    assert "The best arm, second, trains without privacy" in version.description
    assert (
        "epsilon at most 10: first, test accuracy 0.600 (epsilon 3.00 at delta 1e-05)" in version.description
    )
    again = register_best(
        parent_of(parent, tracking.as_yaml(study)), study.comparison, results_of_study(parent)
    )
    assert "Its arm, second, trains without privacy" in again
    asked = study.model_copy(update={"comparison": study.comparison.model_copy(update={"epsilon": 3.0})})
    logged(asked, file, promises={"first": 3.0}, first=0.6, second=0.8)
    registered = connect().get_model_version("people", "2")
    assert (registered.tags["arm"], registered.tags["epsilon"]) == ("first", "3.00")
    assert registered.tags["epsilon_delta"] == "1e-05"
    said: list[str] = []
    stricter = study.model_copy(update={"comparison": study.comparison.model_copy(update={"epsilon": 2.0})})
    show_with(said.append)
    logged(stricter, file, promises={"first": 3.0}, first=0.6, second=0.8)
    assert said == ["no model is in the registry: no arm promises comparison.epsilon: 2 or less"]
    assert len(connect().search_model_versions("name = 'people'")) == 2


def test_registering_twice_is_registering_once_and_other_data_are_not_compared(
    study: StudyConfig, file: Path
) -> None:
    parent = logged(study, file, first=0.6)
    register_best(parent_of(parent, tracking.as_yaml(study)), study.comparison, results_of_study(parent))
    assert aliases() == {"champion": 1}
    logged(study, file, data="d2", first=0.9)
    assert aliases() == {"champion": 1, "challenger": 2}
    challenger = version_with("people", "challenger")
    assert challenger is not None
    assert challenger.tags["decision"] == "challenger: not compared with version 1, which has other data"


def test_a_champion_whose_study_is_gone_fails_neither_later_studies_nor_other_models(
    study: StudyConfig, file: Path
) -> None:
    client = connect()
    parent = logged(study, file, first=0.6)
    for run in results_of_study(parent):
        client.delete_run(run.run_id)
    client.delete_run(parent)
    later = logged(study, file, first=0.8)
    assert aliases() == {"champion": 1, "challenger": 2}
    gone = "challenger: not compared with version 1: the runs of version 1 of people are gone from MLflow"
    assert client.get_run(later).data.tags["registered"] == f"people/2: {gone}"
    tags = {"fedstudy.kind": "model"}
    client.create_registered_model("unknown", tags=tags)  # somebody's own versions below a model of ours
    for at, alias in (("1", "champion"), ("2", "challenger")):
        client.create_model_version("unknown", source=f"runs:/{later}/model")
        client.set_registered_model_alias("unknown", alias, at)
    unknown = "challenger: not compared with version 1: of one of the two MLflow does not know the study"
    assert promote() == {"people": gone, "unknown": unknown}


def test_a_registered_model_of_somebody_else_is_left_alone(study: StudyConfig, file: Path) -> None:
    client, said = connect(), list[str]()
    client.create_registered_model("people")
    run_id = client.create_run("0").info.run_id
    client.create_model_version("people", source=f"runs:/{run_id}/model")
    client.set_registered_model_alias("people", "challenger", "1")
    show_with(said.append)
    parent = logged(study, file, first=0.6)
    assert aliases() == {"challenger": 1}
    assert len(client.search_model_versions("name = 'people'")) == 1
    assert said == [
        "the best arm's model is not in the registry: the registered model 'people' in MLflow is not fedstudy's; "
        "rename the study or that model, or set its tag fedstudy.kind to model"
    ]
    assert "registered" not in client.get_run(parent).data.tags
    with pytest.raises(BadInput, match="'people' in MLflow is not fedstudy's"):
        promote("people")
    assert aliases() == {"challenger": 1}


def test_other_clients_are_not_compared_seed_by_seed(study: StudyConfig, file: Path) -> None:
    logged(study, file, first=0.6)
    logged(study, file, clients="q", first=0.9)
    assert aliases() == {"champion": 1, "challenger": 2}
    challenger = version_with("people", "challenger")
    assert challenger is not None
    assert challenger.tags["decision"].startswith("challenger: not paired with version 1")


def test_a_study_may_leave_the_decision_to_the_flow_or_register_nothing(
    study: StudyConfig, file: Path
) -> None:
    logged(judged(study, "off"), file, first=0.6)
    assert list(connect().search_registered_models()) == []
    logged(judged(study, "challenger"), file, first=0.6)
    assert aliases() == {"challenger": 1}
    assert promote() == {"people": "champion: the first model of this name"}
    assert aliases() == {"champion": 1}
    assert promote() == {}
    with pytest.raises(BadInput, match="no registered model 'other' has a champion or a challenger"):
        promote("other")


def test_a_model_that_cannot_be_decided_on_stops_no_other(
    study: StudyConfig, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(version: ModelVersion) -> str:
        if version.name == "broken":
            raise MlflowException("its source is no address")
        return decide(version)

    parent = logged(judged(study, "challenger"), file, first=0.6)
    client = connect()
    client.create_registered_model("broken", tags={"fedstudy.kind": "model"})
    client.create_model_version("broken", source=f"runs:/{parent}/model")
    client.set_registered_model_alias("broken", "challenger", "1")
    monkeypatch.setattr(champion, "decide", broken)
    assert promote() == {
        "broken": "not decided: its source is no address",
        "people": "champion: the first model of this name",
    }


def test_a_store_without_a_registry_fails_no_study(
    study: StudyConfig, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise MlflowException("no registry here")

    said: list[str] = []
    show_with(said.append)
    monkeypatch.setattr(registry, "_make_sure_of", refuse)
    parent = logged(study, file, first=0.6)
    assert said == ["the best arm's model is not in the registry: no registry here"]
    assert "registered" not in connect().get_run(parent).data.tags


def test_a_file_is_scored_with_the_marks_of_the_study_s_own(
    study: StudyConfig, file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logged(study, file, first=0.6)
    rows = tmp_path / "new.csv"
    rows.write_text("smokes;age;of nobody's use\nyes;20,0;1\nperhaps;;2\nno;80,0;3\n")
    said: list[str] = []
    assert score_file("people", rows, tmp_path / "out" / "p.csv", said.append) == 3
    assert said == [
        "of 3 rows: 1 with a missing value (filled in as in training), 1 with a category that training did not have"
    ]
    assert "extra inputs" not in caplog.text
    answers = pd.read_csv(tmp_path / "out" / "p.csv")
    assert list(answers) == ["row", "label", "probability", "probability of no", "probability of yes"]
    assert answers["row"].tolist() == [1, 2, 3]
    by_class = answers[["probability of no", "probability of yes"]].to_numpy()
    assert by_class.sum(axis=1) == pytest.approx([1, 1, 1])
    rows.write_text("smokes;age\nyes;old\n")
    with pytest.raises(BadInput, match="'age' must be numeric, but is 'old' in row 1"):
        score_file("people@champion", rows, tmp_path / "p.csv")
    with pytest.raises(
        BadInput, match=r"'peeple' is not in MLflow at .*; did you mean 'people'\? registered are: "
    ):
        score_file("peeple", rows, tmp_path / "p.csv")
    with pytest.raises(BadInput, match="there is no file"):
        score_file("people", tmp_path / "none.csv", tmp_path / "p.csv")


def test_a_frozen_trunk_that_runs_share_is_fetched_from_the_study_s_run(home: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    trunk = nn.Linear(6, 200_000).requires_grad_(False)  # 5.6 MB
    module = nn.Sequential(trunk, nn.AvgPool1d(100_000), nn.Linear(2, 2))
    inputs = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    ready = ready_examples(Examples("x", inputs, np.arange(4) % 2, ("a", "b")), np.arange(4), None)
    model = FlatModel(module)
    saved = write_model(tmp_path / "model", ("trunk",), model, model.vector, ready, Readout())
    assert saved.frozen is not None
    client = connect()
    parent = client.create_run("0").info.run_id
    child = client.create_run("0", tags={"mlflow.parentRunId": parent}).info.run_id
    client.log_artifact(parent, str(saved.frozen), "frozen")
    deliver_model(client, child, tmp_path / "model", 1)
    answers = mlflow.pyfunc.load_model(f"runs:/{child}/model").predict(inputs)
    with torch.inference_mode():
        expected = module(torch.from_numpy(inputs)).softmax(dim=1).numpy()
    np.testing.assert_allclose(answers[["probability of a", "probability of b"]], expected, rtol=1e-4)
