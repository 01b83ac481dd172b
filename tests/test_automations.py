"""The automations that watch deployments: what fires them, what is told, and that a missed band is told once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from flows.deployments import artifacts
from flows.terminal.progress import Progress
from tasks.tracking.studies.place import place_in_mlflow
from tests.conftest import Answer, Request, serving, with_databases
from tests.test_deployment import prefect_server_process, with_server_of

RUN, BLOCK = UUID(int=1), UUID(int=2)
TAG = {"prefect.resource.id": "prefect.tag.nightly", "prefect.resource.role": "tag"}
DEPLOYMENT = {
    "prefect.resource.id": f"prefect.deployment.{UUID(int=3)}",
    "prefect.resource.role": "deployment",
}


def event(
    name: str, state: str, related: tuple[dict[str, str], ...] = (TAG, DEPLOYMENT), message: str = ""
) -> Any:
    """An event of a flow run, as Prefect's server sees it."""
    from prefect.server.events.schemas.events import ReceivedEvent

    resource = {
        "prefect.resource.id": f"prefect.flow-run.{RUN}",
        "prefect.resource.name": "small",
        "prefect.state-name": name,
        "prefect.state-type": state,
        "prefect.state-message": message,
    }
    content = {"event": f"prefect.flow-run.{name}", "resource": resource, "related": related, "id": RUN}
    return ReceivedEvent.model_validate({"occurred": "2026-11-28T03:00:00Z", "payload": {}, **content})


def triggers() -> list[Any]:
    """The triggers as the server reads them: ended badly, not started, lost, too long."""
    from prefect.server.events.schemas.automations import AutomationCore

    from flows.deployments.automations import automations

    return [AutomationCore(**each.model_dump()).trigger for each in automations("nightly", None, 4)]


def test_flow_runs_that_end_badly_fire_and_no_others() -> None:
    trigger = triggers()[0]
    assert trigger.immediate
    for name, state in [
        ("Failed", "FAILED"),
        ("Crashed", "CRASHED"),
        ("TimedOut", "FAILED"),
        ("Out of memory", "FAILED"),
    ]:
        assert trigger.covers(event(name, state)), name
    for name, state in [
        ("Completed", "COMPLETED"),
        ("AwaitingRetry", "SCHEDULED"),
        ("Cancelled", "CANCELLED"),
    ]:
        assert not trigger.covers(event(name, state)), name
    other = {**TAG, "prefect.resource.id": "prefect.tag.weekly"}
    for related in [
        (),
        (TAG,),
        (DEPLOYMENT,),
        (other, DEPLOYMENT),
    ]:  # of a subflow; of the command line; untagged
        assert not trigger.covers(event("Failed", "FAILED", related)), related


def test_silence_fires_after_what_began_it_until_anything_is_heard_of_the_run() -> None:
    *silent, too_long = triggers()[1:]
    for trigger, began, within in zip(silent, ["Late", "heartbeat"], [60, 10], strict=True):
        assert trigger.posture.value == "Proactive"
        assert trigger.starts_after(f"prefect.flow-run.{began}")
        assert not trigger.starts_after("prefect.flow-run.Completed")
        assert trigger.within == timedelta(minutes=within)
        assert all(
            trigger.expects(f"prefect.flow-run.{name}") for name in ("heartbeat", "Running", "Completed")
        )
        assert trigger.for_each == {"prefect.resource.id"}
    assert too_long.starts_after("prefect.flow-run.Running")
    assert too_long.expects("prefect.flow-run.Failed")
    assert not too_long.expects("prefect.flow-run.heartbeat")
    assert too_long.within == timedelta(hours=4)


def test_a_message_names_deployment_run_state_and_figure() -> None:
    from prefect.server.events.actions import CallWebhook, SendNotification
    from prefect.server.schemas.responses import DeploymentResponse
    from prefect.server.utilities.user_templates import render_user_template_sync

    from flows.deployments.automations import ENDED_BADLY, Block

    why = '1 of 2 figures is outside its band: a "quoted" <arm>'
    deployment = DeploymentResponse.model_construct(name="privacy-short")
    CallWebhook._register_filters_if_needed()
    context = {"event": event("Failed", "FAILED", message=why), "deployment": deployment, "flow_run": None}

    def rendered(template: str) -> str:
        return render_user_template_sync(template, context)

    sent = Block(BLOCK, "slack-webhook/team").telling(ENDED_BADLY)
    assert isinstance(SendNotification(**sent.model_dump()), SendNotification)
    told = {"subject": "privacy-short (small): Failed", "body": why}
    assert {"subject": rendered(sent.subject), "body": rendered(sent.body)} == told
    called = CallWebhook(**Block(BLOCK, "webhook/own").telling(ENDED_BADLY).model_dump())
    assert json.loads(rendered(called.payload)) == told


def test_artifacts_that_prefect_does_not_take_cost_no_study(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from prefect.client.orchestration import SyncPrefectClient

    from flows.deployments.artifacts import StudyArtifacts
    from flows.deployments.flow_run import ShownFlowRun

    with SyncPrefectClient("http://127.0.0.1:9/api") as away:
        shown = StudyArtifacts(ShownFlowRun(RUN, "", False, away), "Some study", "abc")
        shown.show_end(None, ["1 of 2 runs failed"])
    assert caplog.text.count("Prefect did not take an artifact") == 2


def test_rounds_of_runs_that_finished_before_count_as_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "SECONDS_BETWEEN", 0.0)
    shown: list[float] = []
    told: Any = SimpleNamespace(
        create=lambda key, kind, data, words: shown.append(data) or UUID(int=1),
        update=lambda artifact, data: shown.append(data),
    )
    done = artifacts.RoundsDone(told, {"a": 6, "b": 2}, left={"b"})
    done(Progress("b", "running", 1, 2))
    done(Progress("b", "finished", 2, 2))
    done.end()
    assert shown == [87.5, 100.0, 100.0]


def test_the_place_of_a_study_is_a_link_where_mlflow_has_an_address(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place_in_mlflow("some", "abc").startswith(f"Run `abc` in `sqlite:///{home}/mlflow.db`")
    known = json.dumps({"experiment": {"experiment_id": "7", "name": "some"}}).encode()
    with serving(lambda request: Answer(200, known, {"Content-Type": "application/json"})) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert place_in_mlflow("some", "abc") == f"[The study in MLflow]({address}/#/experiments/7/runs/abc)"


def test_without_a_server_that_stays_the_command_says_which_variable(
    command: Callable[..., tuple[int, str, str]], home: Path
) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: None}):
        code, _, error = command("automations")
    assert code == 2
    assert "PREFECT_API_URL is not set" in error
    for option, value in [("--tag", "night*"), ("--hours", "0"), ("--hours", "nan")]:
        code, _, error = command("automations", option, value)
        assert code == 2
        assert f"{option} {value}: must be" in error


@pytest.mark.slow
@pytest.mark.nightly
def test_a_missed_band_of_a_nightly_deployment_is_told_once(
    tmp_path: Path, new_databases: Path, used_home: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    """Real server, real block, a webhook on this machine; a study within its bands is not told."""
    from prefect.blocks.webhook import Webhook
    from prefect.client.orchestration import get_client
    from prefect.events.worker import EventsWorker
    from prefect.flow_engine import run_flow
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.federated_study import StudyFailed, federated_study

    heard: list[Any] = []

    def hear(request: Request) -> Answer:
        heard.append(json.loads(request.body))
        return Answer(200)

    def study(low: float) -> dict[str, Any]:
        base = {"dataset": "digits", "model": "logistic", "clients": 4, "rounds": 1}
        name = f"at least {low}"
        return {"name": name, "base": base, "expect": {name: {"main": [low, 1]}}}

    with_databases(tmp_path / "prefect", new_databases)
    environment = with_server_of(tmp_path)
    with ExitStack() as stack:
        address = stack.enter_context(serving(hear))
        stack.enter_context(prefect_server_process(tmp_path, environment))
        stack.enter_context(temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}))
        Webhook(url=address).save("alerts")
        for done in ("made", "brought up to date"):
            code, said, _ = command("automations", "--notify", "webhook/alerts")
            assert (code, said.count(done)) == (0, 4), said
        with get_client(sync_client=True) as client:
            assert len(client.read_automations()) == 4
            flow = client.create_flow(federated_study)
            deployment = client.create_deployment(
                flow, "tiny", tags=["nightly"], enforce_parameter_schema=False
            )
            for low in (0.0, 0.99):
                flow_run = client.create_flow_run_from_deployment(deployment)
                state = run_flow(federated_study, flow_run, {"study": study(low)}, return_type="state")
            with pytest.raises(StudyFailed):
                state.result()
        until = time.monotonic() + 60
        while not heard and time.monotonic() < until:
            time.sleep(0.2)
        time.sleep(1)  # a second message would come with the first
        EventsWorker.drain_all()  # while there is a server to hear of them
        APILogWorker.drain_all()
    # Prefect's server handles an event again where its SQLite database was locked meanwhile.
    again = (tmp_path / "server.log").read_text(encoding="utf-8").count("database is locked")
    assert 1 <= len(heard) <= 1 + again
    message = heard[0]
    assert all(each == message for each in heard)
    assert message["subject"] == "tiny (at least 0.99): Failed"
    assert "1 of 1 figure is outside its band: at least 0.99: test accuracy" in message["body"]
