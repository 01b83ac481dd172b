"""Studies that go on after a fault: in the same runs of MLflow, with nothing twice and nothing left running."""

import sqlite3
from collections import Counter
from contextlib import closing

import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter

from federated import rounds
from federated.study.study import StudyConfig
from flows.federated_study import StudyFailed, federated_study
from flows.prefect_runtime import prefect_away
from flows.terminal.progress import listen_with
from tasks.tracking.delivery import metrics, record_kinds, sending
from tasks.tracking.delivery.sending import the_journal
from tasks.tracking.fewer_requests import read_back
from tasks.tracking.reading.search import results_of_study, shown_by
from tasks.tracking.server.store import connect
from tasks.tracking.studies import concluding, syncing
from tests.conftest import config_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("prefect_server", "home"),
]


def _study(name, **changes):
    content = {
        "name": name,
        "base": config_of(rounds=6, evaluation={"every": 2}).model_dump(),
        "seeds": [0, 1],
        **changes,
    }
    return StudyConfig.model_validate(content)


@pytest.fixture
def news():
    heard = []
    listen_with(heard.append)
    yield heard
    listen_with(None)


@pytest.fixture
def trained(monkeypatch):
    """The rounds that were trained; a failure in round 4 of seed 1 as long as `fails` is set."""
    original, trained = rounds.run_round, []

    def watched(state, setup, stages):
        if (setup.config.seed, state.round) == (1, trained_until.get("fails")):
            raise OSError("the power went out")
        trained.append((setup.config.seed, state.round + 1))
        return original(state, setup, stages)

    trained_until = {"fails": 4}
    monkeypatch.setattr(rounds, "run_round", watched)
    return trained, trained_until


def _experiment(name):
    return connect().get_experiment_by_name(name).experiment_id


def _all_runs(name):
    return connect().search_runs([_experiment(name)])


def _values(run_id):
    client = connect()
    names = client.get_run(run_id).data.metrics
    return {name: [one.step for one in client.get_metric_history(run_id, name)] for name in names}


def test_a_resumed_study_goes_on_in_its_runs_and_doubles_nothing(home, trained, news, monkeypatch):
    done, until = trained
    study = _study("goes-on")
    with pytest.raises(StudyFailed) as caught:
        federated_study(study)
    before = caught.value.outcome
    assert [run.status for run in before.results] == ["FINISHED", "FAILED"]
    until["fails"] = None
    done.clear()
    parameters = connect().get_run(before.parent_run_id).data.params
    with closing(sqlite3.connect(home / "mlflow.db")) as database, database:  # as kill -9 may leave a server
        database.execute("DELETE FROM params WHERE run_uuid = ?", [before.parent_run_id])
    environment = home / "artifacts" / "goes-on" / before.parent_run_id / "artifacts" / "environment.json"
    environment.unlink()
    monkeypatch.setattr(read_back, "_SENT", {})  # which another process does not know
    after = federated_study(study, resume=True)
    assert connect().get_run(before.parent_run_id).data.params == parameters
    assert environment.exists()
    assert done == [(1, 5), (1, 6)]
    assert after.parent_run_id == before.parent_run_id
    assert [run.run_id for run in after.results] == [run.run_id for run in before.results]
    assert [(run.status, run.rounds_done, run.resumed_from) for run in after.results] == [
        ("FINISHED", 6, 0),
        ("FINISHED", 6, 4),
    ]
    assert Counter(run.info.status for run in _all_runs("goes-on")) == {"FINISHED": 3}
    assert not any("failure" in run.data.tags for run in _all_runs("goes-on"))
    # On a server that ends with the study, nothing is shown of it: each artifact would be a request.
    assert not any("prefect.flow_run" in run.data.tags for run in _all_runs("goes-on"))
    for run in after.results:
        for name, steps in _values(run.run_id).items():
            assert Counter(steps).most_common(1)[0][1] == 1, name
    assert list(after.results[1].curve("train/loss")[0]) == [1, 2, 3, 4, 5, 6]
    assert [
        "finished before" in each.message for each in news if getattr(each, "status", "") == "finished"
    ] == [
        False,
        True,
        False,
    ]
    done.clear()
    again = federated_study(study, resume=True)  # nothing is left to do
    assert (done, again.parent_run_id) == ([], before.parent_run_id)
    assert len(_all_runs("goes-on")) == 3


@pytest.mark.nightly
def test_a_flow_run_that_prefect_tries_again_goes_on_in_its_own_runs(trained, monkeypatch):
    done, until = trained
    study = _study("tried-again")
    until["fails"] = None
    older = federated_study(study).parent_run_id  # last night's, of the same runs, which are not tonight's
    until["fails"] = 4
    done.clear()
    monkeypatch.setattr(prefect_away, "_ours", set())  # as on a server that stays
    listen_with(lambda news: getattr(news, "status", "") == "failed" and until.update(fails=None))
    try:
        after = federated_study.with_options(retries=1, retry_delay_seconds=0)(study)
    finally:
        listen_with(None)
    assert done == [*((0, n) for n in range(1, 7)), *((1, n) for n in range(1, 7))]
    assert [(run.status, run.resumed_from) for run in after.results] == [("FINISHED", 0), ("FINISHED", 4)]
    assert after.parent_run_id != older
    assert Counter(run.info.status for run in _all_runs("tried-again")) == {"FINISHED": 6}
    with get_client(sync_client=True) as client:
        shown = client.read_artifacts(artifact_filter=ArtifactFilter(key={"any_": ["tried-again-verdict"]}))
    *_, first, second = sorted((each.created, each.data) for each in shown)
    assert "1 of 2 runs failed" in first[1]
    assert "failed" not in second[1]


@pytest.mark.nightly
def test_a_study_of_other_runs_begins_anew_and_says_so(trained, news):
    done, until = trained
    with pytest.raises(StudyFailed) as caught:
        federated_study(_study("changed"))
    until["fails"] = None
    done.clear()
    other = _study("changed", seeds=[1, 0])
    after = federated_study(other, resume=True)
    assert after.parent_run_id != caught.value.outcome.parent_run_id
    assert done == [(1, 5), (1, 6)]  # checkpoints are of runs, not of studies, and so is what has finished
    assert [run.status for run in after.results] == ["FINISHED"] * 2
    assert after.results[1].run_id == caught.value.outcome.results[0].run_id
    assert len(_all_runs("changed")) == 5
    assert any("are not those of its last time" in getattr(each, "text", "") for each in news)
    described = _study("changed", seeds=[1, 0], description="Other words.")
    assert federated_study(described, resume=True).parent_run_id == after.parent_run_id


@pytest.mark.nightly
def test_seeds_that_are_added_go_on_in_the_same_study(trained, news):
    done, until = trained
    until["fails"] = None
    axes = {"local.learning_rate": [0.1, 0.2]}
    before = federated_study(_study("grows", axes=axes))
    done.clear()
    after = federated_study(_study("grows", axes=axes, seeds=[0, 2, 1]), resume=True)
    assert {seed for seed, _ in done} == {2}
    assert after.parent_run_id == before.parent_run_id
    assert [(run.arm, run.seed) for run in after.results] == [
        (arm, seed) for arm in dict.fromkeys(run.arm for run in before.results) for seed in (0, 2, 1)
    ]
    kept = [run.run_id for run in after.results if run.seed != 2]
    assert kept == [run.run_id for run in before.results]
    assert {run.status for run in after.results} == {"FINISHED"}
    assert len(_all_runs("grows")) == 7
    assert any("with more seeds: 2" in getattr(each, "text", "") for each in news)
    done.clear()
    again = federated_study(_study("grows", axes=axes, seeds=[0, 2, 1]), resume=True)
    assert (done, again.parent_run_id) == ([], before.parent_run_id)
    fewer = federated_study(_study("grows", axes=axes, seeds=[2]), resume=True)
    assert fewer.parent_run_id != before.parent_run_id
    assert (done, [run.run_id for run in fewer.results]) == (
        [],
        [run.run_id for run in after.results if run.seed == 2],
    )
    assert all(" (2 of 2 runs had finished before)" in row[0] for row in fewer.foreseen.table.rows[:3])
    assert {row[2] for row in fewer.foreseen.table.rows[:3]} == {"–"}
    assert any("2 runs of grows finished in an earlier study" in getattr(each, "text", "") for each in news)
    wider = _study("grows", axes=axes | {"local.momentum": [0.0, 0.5]}, seeds=[1, 2])
    wide = federated_study(wider, resume=True)
    assert Counter(seed for seed, _ in done) == {1: 12, 2: 12}  # the two arms with momentum alone
    assert [(run.arm, run.seed) for run in wide.results] == [
        (run.arm, run.config.seed) for run in wider.runs()
    ]
    assert [run.overrides for run in wide.results] == [run.overrides for run in wider.runs()]
    of_before = {run.run_id: (run.arm, run.seed) for run in after.results if run.seed != 0}
    assert of_before.keys() < {run.run_id for run in wide.results}
    again = results_of_study(after.parent_run_id)  # whose runs are still its own
    assert {run.run_id: (run.arm, run.seed) for run in again if run.seed != 0} == of_before
    done.clear()
    assert federated_study(wider.only([wide.results[0].arm]), resume=True).results == wide.results[:2]
    assert done == []
    assert shown_by(after.parent_run_id) == f"tags.`mlflow.parentRunId` = '{after.parent_run_id}'"
    shown = connect().search_runs([_experiment("grows")], shown_by(wide.parent_run_id))
    assert {run.info.run_id for run in shown} == {run.run_id for run in wide.results}


@pytest.mark.nightly
def test_a_study_finishes_while_mlflow_is_away_and_sync_delivers_it(monkeypatch, news):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(concluding, "_SECONDS_OF_PATIENCE", 0.0)
    monkeypatch.setattr(sending, "_SECONDS_BETWEEN_TRIES", 600.0)
    whole = federated_study(_study("whole"))
    original, patch = rounds.run_round, pytest.MonkeyPatch()

    def goes_away(state, setup, stages):
        if (setup.config.seed, state.round) == (0, 2):
            for module in (record_kinds, metrics):
                patch.setattr(module, "connect", lambda: MlflowClient("http://127.0.0.1:9"))
            patch.setattr(metrics, "tracking_uri", lambda: "http://127.0.0.1:9")
        return original(state, setup, stages)

    monkeypatch.setattr(rounds, "run_round", goes_away)
    assert federated_study(_study("away")) is None
    notices = [each.text for each in news if hasattr(each, "text")]
    assert len(notices) == 2
    assert "does not answer" in notices[0]
    assert "the comparison of away waits" in notices[1]
    assert the_journal().waits
    assert not syncing.deliver_pending()
    patch.undo()
    assert syncing.deliver_pending()
    (parent,) = [run for run in _all_runs("away") if "mlflow.parentRunId" not in run.data.tags]
    assert parent.info.status == "FINISHED"
    assert "verdict" in parent.data.tags
    delivered = results_of_study(parent.info.run_id)
    assert [run.status for run in delivered] == ["FINISHED"] * 2

    def measured(results):
        return [
            [{k: v for k, v in m.items() if not k.startswith(("system/", "bill/"))} for _, m in run.history]
            for run in results
        ]

    assert measured(delivered) == measured(whole.results)
    for one, other in zip(delivered, whole.results, strict=True):
        files = [{file.path for file in connect().list_artifacts(run.run_id)} for run in (one, other)]
        assert files[0] == files[1]
        assert connect().get_run(one.run_id).outputs.model_outputs
