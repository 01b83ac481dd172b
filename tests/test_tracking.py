"""The tracking store: embedded or a server, and what is said when it is not there."""

import pytest

from federated.foundation.errors import BadInput
from federated.report.page.page import report_name
from tasks.tracking.server import store
from tasks.tracking.server.access import require_store


@pytest.mark.slow
def test_embedded_store_is_made_at_first_use(home):
    require_store()
    assert (home / "mlflow.db").exists()
    assert store.ui_address().startswith("./fedstudy ui")


@pytest.mark.slow
@pytest.mark.usefixtures("used_home")
def test_embedded_experiments_keep_their_artifacts_under_home_and_come_back_from_the_bin(home):
    client = store.connect()
    made = store.experiment_id(client, "study")
    assert client.get_experiment(made).artifact_location == (home / "artifacts" / "study").as_uri()
    client.delete_experiment(made)
    assert store.experiment_id(client, "study") == made
    assert client.get_experiment(made).lifecycle_stage == "active"


def test_a_server_that_does_not_answer_is_said_so(home, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with pytest.raises(
        BadInput, match=r"MLflow at http://127.0.0.1:9 does not answer: .*refused.*unset MLFLOW_TRACKING_URI"
    ):
        require_store()
    assert store.ui_address() == "http://127.0.0.1:9"
    assert store.comparison_url(["1"], ["a"]).startswith(
        "http://127.0.0.1:9/#/compare-runs?runs=%5B%22a%22%5D"
    )


def test_a_report_that_answers_a_question_has_a_name_of_its_own():
    assert report_name({}) == "report.html"
    asked = {"network": "4g(uplink_mbps=1.0)", "target": 0.8, "baseline": "iid · top_k(fraction=0.1)"}
    assert (
        report_name(asked)
        == "report-network-4g-uplink_mbps=1.0-target-0.8-baseline-iid-top_k-fraction=0.1.html"
    )
    long = [report_name({"baseline": "x" * 300 + end}) for end in "ab"]
    assert long[0] != long[1]
    assert max(map(len, long)) < 200
    assert "/" not in report_name({"baseline": "../../a/b"})
