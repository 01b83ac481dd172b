"""An MLflow that answers, but does not let us in or not do what a study does: said as that, and nothing is lost."""

import json

import pytest
from mlflow import MlflowClient

from federated.foundation.errors import BadInput
from federated.study.study import Run, StudyConfig
from tasks.tracking.delivery import messages, record_kinds, sending
from tasks.tracking.delivery.sending import begin, settle, the_journal
from tasks.tracking.runs import runs
from tasks.tracking.server.failures import answered, complaint, is_away, refusal
from tasks.tracking.server.store import connect
from tasks.tracking.studies.resuming import go_on_with_study
from tasks.tracking.studies.syncing import deliver_pending
from tests.conftest import Answer, config_of, serving

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("used_home")]  # each writes to a store of MLflow

STUDY = StudyConfig(name="s", base=config_of().model_dump(), seeds=[0])
SAYS = {
    "MLflow's basic authentication, who may only read": (403, "Permission denied"),
    "MLflow's basic authentication, who is not known": (
        401,
        "You are not authenticated. Please see the page.",
    ),
    "a proxy before it": (403, "<!doctype html><html>no entry</html>"),
    "MLflow itself": (403, json.dumps({"error_code": "PERMISSION_DENIED", "message": "not yours"})),
}


@pytest.fixture(params=SAYS)
def refusing(request, home, monkeypatch):
    """While the patch that it makes lasts, what goes to MLflow goes to a server that refuses."""
    status, body = SAYS[request.param]

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "reader")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "l3sen-nur")
    monkeypatch.setattr(sending, "_deliver_in_background", lambda journal: None)

    with serving(lambda request: Answer(status, body.encode())) as url:

        def refuse():
            patch = pytest.MonkeyPatch()
            patch.setattr(record_kinds, "connect", lambda: MlflowClient(url))
            return patch

        yield refuse, status


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(messages, "_listener", lines.append)
    return lines


def assert_is_a_refusal(line, status):
    assert f" answers {status} " in line
    assert "it does not accept MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD" in line
    assert "does not answer" not in line
    assert "l3sen" not in line
    assert "\n" not in line


def test_a_study_that_may_not_be_written_ends_before_it_trains(refusing, said):
    refuse, status = refusing
    patch = refuse()
    with pytest.raises(BadInput) as caught:
        runs.open_study(STUDY)
    patch.undo()
    assert_is_a_refusal(str(caught.value), status)
    assert not the_journal().waits
    assert said == []


def test_nor_does_one_train_that_may_not_go_on(refusing, said):
    refuse, status = refusing
    parent = runs.open_study(STUDY)
    runs.end_run(parent, "KILLED")
    patch = refuse()
    with pytest.raises(BadInput) as caught:
        go_on_with_study(STUDY)
    patch.undo()
    assert_is_a_refusal(str(caught.value), status)
    assert connect().get_run(parent).info.status == "KILLED"
    assert not the_journal().waits


def test_who_loses_the_right_in_the_middle_loses_nothing_and_is_told_at_every_start(refusing, said):
    refuse, status = refusing
    parent = runs.open_study(STUDY)
    patch = refuse()
    child = runs.open_run(Run("arm", config_of()), "s", parent)
    runs.end_run(child, "FINISHED")
    assert len(said) == 1
    begin()
    assert len(said) == 2
    for line in said:
        assert_is_a_refusal(line, status)
        assert "training continues" in line
        assert str(the_journal().folder) in line
    assert not deliver_pending()
    assert_is_a_refusal(said[-1], status)
    patch.undo()
    assert settle()
    assert not the_journal().aside.records()
    experiment = connect().get_run(parent).info.experiment_id
    ended = connect().search_runs([experiment], "tags.`fedstudy.kind` = 'run'")
    assert [run.info.status for run in ended] == ["FINISHED"]


def test_who_reads_is_told_the_same(refusing):
    refuse, status = refusing
    patch = refuse()
    with pytest.raises(BadInput) as caught, answered("http://here"):
        record_kinds.connect().search_experiments()
    patch.undo()
    assert_is_a_refusal(str(caught.value), status)
    assert str(caught.value).startswith("MLflow at http://here answers")


@pytest.mark.parametrize("error", [ConnectionRefusedError("refused"), TimeoutError("nothing came")])
def test_who_gets_no_answer_is_not_refused(error):
    assert is_away(error)
    assert refusal(error) is None
    assert complaint("http://here", error) == f"MLflow at http://here does not answer ({error})"
