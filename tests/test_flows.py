"""Studies end to end: Prefect flows in, MLflow runs out."""

import json
import os
from importlib.metadata import version

import mlflow
import numpy as np
import pytest
import torch
import yaml

from federated import rounds
from federated.federation.profile import data_profile
from federated.forecast import forecast_of_json
from federated.forecast.overheads import overheads
from federated.metrics.dictionary import METRICS
from federated.run.course import Course
from federated.run.setup import initial_state, prepare
from federated.segments import train
from federated.study.study import StudyConfig
from flows.federated_study import StudyFailed, federated_study
from tasks import checkpoints
from tasks.tracking.reading.search import newest_study, results_of_study
from tasks.tracking.server.store import connect
from tasks.tracking.studies.comparison import compare_again
from tests.conftest import with_databases

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("prefect_server", "used_home"),
]

BASE = {
    "dataset": "digits",
    "model": "mlp(hidden=[8])",
    "clients": 6,
    "cohort": {"size": 3},
    "local": {"batch_size": 32},
    "rounds": 4,
    "evaluation": {"every": 2},
}


def _study(name="small", seeds=(0, 1), axes=None, arms=None, **base):
    content = {
        "name": name,
        "base": {**BASE, **base},
        "seeds": list(seeds),
        "axes": axes or {},
        "arms": arms or [],
    }
    return StudyConfig.model_validate(content)


SKEWS = {"partitioner": ["iid", "dirichlet(0.3)"], "compression.uplink": ["error_feedback(top_k(0.1))"]}


def _measured(results):
    """All metrics but the times, by run."""
    return {
        (result.arm, result.seed): [
            (
                at,
                {name: value for name, value in metrics.items() if not name.startswith(("system/", "bill/"))},
            )
            for at, metrics in result.history
        ]
        for result in results
    }


@pytest.fixture(scope="module")
def skews(prefect_server, new_databases, tmp_path_factory):
    """(home, outcome) of a study of two arms with two seeds, which several tests look at."""
    folder = with_databases(tmp_path_factory.mktemp("skews"), new_databases)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDSTUDY_HOME", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder, federated_study(_study(axes=SKEWS))
        os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture
def in_skews(skews, used_home, monkeypatch):
    """The outcome of `skews`, in whose home the test is."""
    folder, outcome = skews
    monkeypatch.setenv("FEDSTUDY_HOME", str(folder))
    connect()  # MLflow's own functions read from where the last client did
    return outcome


def test_study_leaves_everything_in_mlflow(in_skews):
    study, outcome = _study(axes=SKEWS), in_skews
    client = connect()
    parent = client.get_run(outcome.parent_run_id)
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{outcome.parent_run_id}'"
    )
    assert len(children) == 4
    assert parent.info.status == "FINISHED"
    artifacts = {file.path for file in client.list_artifacts(outcome.parent_run_id)}
    assert artifacts >= {"study.yaml", "environment.json", "comparison.json", "report.html", "every_run.png"}
    table = client.load_table(parent.info.experiment_id, "comparison.json", [outcome.parent_run_id])
    assert list(table["arm"]) == [arm.arm for arm in outcome.found.arms]
    assert outcome.report.is_file()
    pairs = client.load_table(parent.info.experiment_id, "paired.json", [outcome.parent_run_id])
    assert list(pairs["baseline"]) == [outcome.found.arms[0].arm]
    assert parent.data.tags["verdict"] == "\n".join(outcome.found.verdict)
    assert {child.data.tags["pareto"] for child in children} == {
        "front"
    }  # each partition is a problem of its own
    assert outcome.report.with_name("study.yaml").read_text(encoding="utf-8") == mlflow.artifacts.load_text(
        f"runs:/{outcome.parent_run_id}/study.yaml"
    )

    run = next(child for child in children if child.info.run_name == study.runs()[3].name)
    assert run.info.status == "FINISHED"
    assert run.data.tags["arm"] == "dirichlet(alpha=0.3) · error_feedback(top_k(fraction=0.1))"
    assert run.data.params["partitioner"] == "dirichlet"
    assert run.data.params["partitioner.alpha"] == "0.3"
    assert run.data.params["compression.uplink.inner.fraction"] == "0.1"
    assert run.data.params["seed"] == "1"
    (data,) = run.inputs.dataset_inputs
    config = study.runs()[3].config
    federation = prepare(config).federation
    assert data.dataset.name == "digits"
    assert data.dataset.digest == federation.examples.digest
    assert run.data.tags["partition_digest"] == federation.partition_digest
    assert run.data.tags["data_digest"] == federation.data_digest
    assert json.loads(run.data.tags["data"]) == data_profile(federation)
    assert "response_to_heterogeneity.png" in artifacts
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files >= {
        "config.yaml",
        "environment.json",
        "partition.png",
        "heterogeneity.png",
        "partition.npz",
        "learning_curves.png",
        "clients.json",
        "classes.json",
        "classes.png",
    }
    resolved = yaml.safe_load(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/config.yaml"))
    assert type(config).model_validate(resolved) == config
    assert not checkpoints.checkpoint_path(config).exists()


@pytest.mark.nightly
def test_a_study_is_foreseen_and_the_report_says_what_it_took():
    outcome = federated_study(_study(name="foreseen", axes={"compression.uplink": ["none", "top_k(0.1)"]}))
    parent = connect().get_run(outcome.parent_run_id)
    results, metrics = outcome.results, parent.data.metrics
    foretold = forecast_of_json(mlflow.artifacts.load_text(f"runs:/{outcome.parent_run_id}/forecast.json"))
    assert [arm.arm for arm in foretold.arms] == [arm.arm for arm in outcome.found.arms]
    plain = [run.final("communication/uplink_bytes_total") for run in results if run.arm == "none"]
    assert foretold.arms[0].uplink == (sum(plain),) * 3
    assert metrics["system/forecast_seconds"] == foretold.seconds
    for run in results:
        assert 0 < run.final("system/overhead_seconds") < run.final("system/run_seconds") <= run.seconds + 0.1
    assert metrics["system/study_seconds"] > sum(run.final("system/run_seconds") for run in results)
    assert metrics["system/peak_memory_mb"] > 100
    rows = outcome.found.foreseen.table.rows
    assert rows[4][0] == "MB up"
    assert rows[4][3] == "1.00"
    assert [row[2] == "–" for row in rows[:3]] == [False, True, True]  # they end with the report
    shown = outcome.foreseen.table.rows
    assert not any("–" in row for row in shown)
    assert float(metrics["system/runs_seconds"]) < metrics["system/study_seconds"]
    assert "Forecast and actual cost" in outcome.report.read_text(encoding="utf-8")
    again = compare_again(["foreseen"]).found.foreseen.table.rows
    assert again == shown
    assert metrics["system/study_seconds"] > sum(run.seconds for run in results)
    assert foretold.low_seconds < foretold.seconds < foretold.high_seconds
    assert overheads().measured
    assert set(metrics) <= set(METRICS)


def test_metrics_are_those_of_the_bare_loop_and_the_logged_model_is_the_trained_one():
    study = _study(seeds=[5])
    outcome = federated_study(study)
    (result,) = outcome.results
    setup = prepare(study.runs()[0].config)
    course = train(Course(initial_state(setup)), setup, 4)
    expected = {at: metrics["train/loss"] for at, metrics in course.history}
    assert dict(zip(*map(list, result.curve("train/loss")), strict=True)) == expected
    assert list(result.curve("generalisation/test_accuracy")[0]) == [0, 2, 4]

    model = mlflow.pyfunc.load_model(f"runs:/{result.run_id}/model")
    images = setup.federation.examples.inputs[:5]
    trained = setup.model.independent_module(course.state.parameters)
    with torch.inference_mode():
        outputs = trained(torch.from_numpy((images / 255).astype(np.float32))).softmax(dim=1).numpy()
    named = [f"probability of {digit}" for digit in range(10)]
    assert model.predict(images)[named].to_numpy() == pytest.approx(outputs, abs=1e-6)
    assert model.metadata.signature is not None
    assert connect().get_run(result.run_id).data.tags["model_format"] == "pt2"


@pytest.mark.nightly
def test_the_same_study_again_and_two_at_a_time_give_identical_metrics(skews):
    first = skews[1]
    again = federated_study(_study(axes=SKEWS, seeds=[1]))
    parallel = federated_study(_study(axes=SKEWS), workers=2)
    assert _measured(first.results) == _measured(parallel.results)
    assert _measured([result for result in first.results if result.seed == 1]) == _measured(again.results)
    assert [result.arm for result in first.results] == [result.arm for result in parallel.results]


@pytest.mark.nightly
def test_stages_as_tasks_of_their_own_give_identical_metrics(skews):
    stages = federated_study(_study(axes=SKEWS, seeds=[0], orchestration={"granularity": "stage"}))
    whole = [result for result in skews[1].results if result.seed == 0]
    assert len(whole) == 2
    assert _measured(whole) == _measured(stages.results)


def test_a_diverging_run_is_marked_failed_and_the_study_goes_on():
    study = _study(axes={"local.learning_rate": [1e30, 0.1]}, seeds=[0])
    with pytest.raises(StudyFailed, match="1 of 2 runs failed: learning_rate=1e") as caught:
        federated_study(study)
    broken, fine = caught.value.outcome.results
    assert (broken.status, fine.status) == ("FAILED", "FINISHED")
    assert "Diverged: round " in broken.message
    assert fine.rounds_done == 4
    assert caught.value.outcome.found.arms[0].failed == 1
    assert caught.value.outcome.found.arms[0].score.mean is None
    parent = connect().get_run(caught.value.outcome.parent_run_id)
    assert parent.info.status == "FAILED"
    assert "1 of 2 runs failed" in parent.data.tags["failure"]
    assert "not finite" in caught.value.outcome.report.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "uplink", ["error_feedback(top_k(0.1))", pytest.param("qsgd(4)", marks=pytest.mark.nightly)]
)
def test_an_interrupted_run_resumes_from_its_checkpoint_with_the_same_numbers(monkeypatch, uplink):
    stated = {"seeds": [0], "rounds": 6, "compression": {"uplink": uplink}}
    whole = federated_study(_study(name=f"whole-{uplink[:4]}", **stated))
    study = _study(name=f"resumed-{uplink[:4]}", **stated)
    original = rounds.run_round

    def fails_in_the_middle(state, setup, stages):
        if state.round == 4:
            raise OSError("the power went out")
        return original(state, setup, stages)

    with monkeypatch.context() as patch:
        patch.setattr(rounds, "run_round", fails_in_the_middle)
        with pytest.raises(StudyFailed, match="1 of 1 runs failed") as caught:
            federated_study(study)
    assert caught.value.outcome.results[0].rounds_done == 4
    assert checkpoints.checkpoint_path(study.runs()[0].config).exists()
    trained = []
    monkeypatch.setattr(rounds, "run_round", lambda *a: trained.append(a[0].round + 1) or original(*a))
    resumed = federated_study(study, resume=True)
    assert trained == [5, 6]
    assert [*_measured(resumed.results).values()] == [*_measured(whole.results).values()]
    assert [run.resumed_from for run in (*whole.results, *resumed.results)] == [0, 4]
    times = [
        (outcome.foreseen.table.rows[2][0], outcome.foreseen.table.rows[2][3]) for outcome in (whole, resumed)
    ]
    assert times[0] == ("wall time, from the command to the report", times[0][1])
    assert times[0][1] != "–"
    assert times[1] == (
        "wall time, from the command to the report (1 of 1 runs went on from a checkpoint)",
        "–",
    )
    assert resumed.foreseen.table.rows[4:6] == whole.foreseen.table.rows[4:6]  # bytes are of whole runs
    seconds, beside = (resumed.results[0].final(f"system/{what}_seconds") for what in ("run", "overhead"))
    left = [m for at, m in resumed.results[0].history if at > 4]
    assert beside < seconds - sum(m.get("system/training_seconds", 0.0) for m in left) + 1e-6
    assert beside > 0


@pytest.mark.parametrize("granularity", ["segment", pytest.param("stage", marks=pytest.mark.nightly)])
@pytest.mark.nightly
def test_short_segments_share_a_task_run_with_the_same_numbers_and_stop_where_they_should(
    monkeypatch, granularity
):
    from prefect.client.orchestration import get_client

    stop = {"metric": "train/loss", "target": 1.9}
    changes = {"seeds": [0], "rounds": 40, "stop": stop, "orchestration": {"granularity": granularity}}
    monkeypatch.setattr("tasks.rounds._SHORT_SEGMENT_SECONDS", 1e9)
    monkeypatch.setattr("tasks.rounds._TASK_RUN_SECONDS", 1e9)
    together = federated_study(_study(name=f"shared-{granularity}", **changes))
    monkeypatch.setattr("tasks.rounds._SHORT_SEGMENT_SECONDS", 0.0)
    apart = federated_study(_study(name=f"shared-{granularity}", **changes))
    assert 4 < apart.results[0].rounds_done < 40
    assert _measured(together.results) == _measured(apart.results)
    names = {}
    with get_client(sync_client=True) as client:
        for run in client.read_task_runs(limit=200):
            names.setdefault(run.flow_run_id, set()).add(run.name)
    shared = [found for found in names.values() if any("train and evaluate" in name for name in found)]
    if granularity == "segment":
        assert any(
            {"train rounds 1-2", "evaluate round 2", "train and evaluate rounds 3-40"} <= found
            for found in shared
        )


@pytest.mark.nightly
def test_what_mlflow_refuses_in_the_middle_fails_the_run_and_loses_no_round(monkeypatch):
    from mlflow.exceptions import MlflowException

    from tasks.tracking.delivery import record_kinds
    from tasks.tracking.runs import history

    study = _study(name="refused", seeds=[0], rounds=200)
    original, failing = record_kinds.log_metrics, [MlflowException("the value is not allowed")]

    def fails_once(run_id, rows):
        if failing and rows[-1].step > 2:
            raise failing.pop()
        original(run_id, rows)

    monkeypatch.setattr(history, "_SECONDS_BETWEEN_WRITES", 0.0)
    monkeypatch.setattr(record_kinds, "log_metrics", fails_once)
    with pytest.raises(StudyFailed, match="1 of 1 runs failed") as caught:
        federated_study(study)
    (result,) = caught.value.outcome.results
    assert "the value is not allowed" in result.message
    steps = list(result.curve("train/loss")[0])
    assert steps == list(range(1, int(max(steps)) + 1))
    resumed = federated_study(study, resume=True)
    assert resumed.results[0].rounds_done == 200


@pytest.mark.nightly
def test_anchors_are_runs_of_the_study_and_the_arms_are_read_between_them(monkeypatch):
    study = _study(
        name="anchored",
        axes=SKEWS,
        seeds=[0],
        rounds=12,
        holdout={"client": 0.2},
        local={"learning_rate": 0.5},
    )
    study = StudyConfig.model_validate({**study.model_dump(mode="json"), "anchors": True})
    outcome = federated_study(study)
    client = connect()
    parent = client.get_run(outcome.parent_run_id)
    tags = [client.get_run(result.run_id).data.tags for result in outcome.results]
    assert [tag.get("anchor", "") for tag in tags] == [*[""] * 2, *["centralised"] * 2, *["local"] * 2]
    assert len({tag["anchor_key"] for tag in tags}) == 2
    assert ["pareto" in tag for tag in tags] == [*[True] * 2, *[False] * 4]
    assert [tag["model_format"] for tag in tags] == [*["pt2"] * 4, *["none"] * 2]
    for result in outcome.results[2:]:
        assert result.final("communication/uplink_bytes_total") == 0.0
        assert list(result.curve("generalisation/test_accuracy")[0]) == [0, 2, 4, 6, 8, 10, 12]
    table = client.load_table(parent.info.experiment_id, "comparison.json", [outcome.parent_run_id])
    assert list(table["gap closed mean"])[2:] == [1.0, 1.0, 0.0, 0.0]
    assert all(0 < share < 1.1 for share in list(table["gap closed mean"])[:2])
    assert "local and centralised training" in parent.data.tags["verdict"]

    original, trained = rounds.train_rounds, []

    def fails_in_the_middle(state, *others, **named):
        if state.round == 6:
            raise OSError("the power went out")
        return original(state, *others, **named)

    alone = study.only([study.runs()[-1].arm]).model_copy(update={"name": "anchored-alone"})
    with monkeypatch.context() as patch:
        patch.setattr(rounds, "train_rounds", fails_in_the_middle)
        with pytest.raises(StudyFailed):
            federated_study(alone)
    monkeypatch.setattr(
        rounds, "train_rounds", lambda *a, **named: trained.append(a[0].round + 1) or original(*a, **named)
    )
    resumed = federated_study(alone, resume=True)
    assert trained == [7, 9, 11]
    assert _measured(resumed.results) == _measured(outcome.results[-1:])


def test_a_stop_rule_ends_the_run_and_says_why():
    study = _study(seeds=[0], rounds=40, stop={"metric": "generalisation/test_accuracy", "target": 0.3})
    (result,) = federated_study(study).results
    assert result.rounds_done < 40
    assert result.final("generalisation/test_accuracy") >= 0.3
    tags = connect().get_run(result.run_id).data.tags
    assert tags["ended_by"].startswith("generalisation/test_accuracy reached 0.")


def test_prefect_shows_readable_names():
    from prefect.client.orchestration import get_client

    federated_study(_study(name="named", axes=SKEWS, seeds=[7]))
    with get_client(sync_client=True) as client:
        flow_runs = {run.name for run in client.read_flow_runs(limit=200)}
        task_runs = {run.name for run in client.read_task_runs(limit=200)}
    assert "named" in flow_runs
    assert "dirichlet(alpha=0.3) · error_feedback(top_k(fraction=0.1)) · seed 7" in flow_runs
    assert {"train rounds 1-2", "train rounds 3-4", "evaluate round 4"} <= task_runs


def test_newest_study_is_found_again_from_mlflow_alone():
    first, second = (
        federated_study(_study(name="again", seeds=[0])),
        federated_study(_study(name="again", seeds=[1])),
    )
    newest = newest_study("again")
    assert newest is not None
    assert newest.info.run_id == second.parent_run_id
    assert _measured(results_of_study(first.parent_run_id)) == _measured(first.results)
    assert newest_study("no such study") is None


def test_environment_of_a_run_names_versions(in_skews):
    result = in_skews.results[0]
    environment = json.loads(mlflow.artifacts.load_text(f"runs:/{result.run_id}/environment.json"))
    assert environment["torch"] == torch.__version__
    assert environment["mlflow"] == mlflow.__version__
    assert environment["numpy"] == version("numpy")


def test_a_study_with_a_failed_run_ends_with_exit_code_1(study, command, used_home):
    path = study({"axes": {"local.learning_rate": [1e30, 0.1]}}, model="mlp(hidden=[8])")
    code, printed, errors = command("run", path)
    assert code == 1
    assert "failed 1/2 learning_rate=1e+30 · seed 0" in printed
    assert "done 2/2 learning_rate=0.1 · seed 0" in printed
    assert "error: 1 of 2 runs failed" in errors
    assert "Traceback" not in printed + errors
    assert list((used_home / "reports").glob("small-*/report.html"))
