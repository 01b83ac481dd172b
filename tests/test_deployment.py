"""The full circle: server, work pool, worker, `prefect deployment run`; and every entrypoint loads strictly."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import socket

import pytest
import yaml

from tests.conftest import with_databases
from tests.test_shipped_studies import SHIPPED, WRITTEN

ROOT = Path(__file__).parents[1]
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
def test_entrypoint_is_a_flow_and_takes_the_parameters(deployment):
    from prefect.exceptions import ParameterTypeError
    from prefect.flows import load_flow_from_entrypoint

    flow = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    stated = dict(deployment["parameters"])
    if deployment["name"] == "ad-hoc":
        assert "study" not in stated  # whoever starts it states one
        stated["study"] = "studies/quickstart.yaml"
    if Path(stated.get("study", "")).stem in WRITTEN:
        with pytest.raises(ParameterTypeError, match=r"path \S+ is not a file"):
            flow.validate_parameters(stated)
        return
    parameters = flow.validate_parameters(stated)
    assert set(stated) <= set(parameters)
    assert "study" not in parameters or parameters["study"].runs()


def test_each_shipped_study_has_a_deployment_that_runs_once_at_a_time_and_is_tried_again():
    of_studies = {each["parameters"]["study"]: each for each in DEPLOYMENTS if "study" in each["parameters"]}
    assert set(of_studies) == {f"studies/{path.name}" for path in SHIPPED}
    for each in of_studies.values():
        assert each["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
        settings = each["work_pool"]["job_variables"]["env"]
        assert int(settings["PREFECT_FLOWS_DEFAULT_RETRIES"]) > 0
        assert ("nightly" in each["tags"]) == ("schedules" in each)
    assert all(each["description"] and each["tags"] for each in DEPLOYMENTS)
    assert len({each["name"] for each in DEPLOYMENTS}) == len(DEPLOYMENTS)


def test_champions_are_decided_again_after_a_study_in_which_a_run_failed_too():
    """Such a study's flow run ends as Failed, and its best arm was registered all the same."""
    (promoting,) = [each for each in DEPLOYMENTS if each["name"] == "promote-champion"]
    (trigger,) = promoting["triggers"]
    assert set(trigger["expect"]) == {f"prefect.flow-run.{state}" for state in ("Completed", "Failed")}


def test_the_form_of_the_flow_describes_a_study():
    from flows.federated_study import federated_study

    schema = federated_study.parameters.model_dump()
    study = schema["definitions"]["StudyConfig"]
    file, stated = study["anyOf"]
    assert file["type"] == "string"
    compared = {"base", "axes", "arms", "seeds", "anchors", "leave_one_out", "comparison", "expect"}
    asked = {"sites", "tuning", "prices"}
    assert set(stated["properties"]) == {"name", "description"} | compared | asked
    run = schema["definitions"]["RunConfig"]["properties"]
    assert all(field.get("description") for field in run.values())
    assert "dirichlet" in json.dumps(run["partitioner"])


@contextmanager
def _process(*command, environment, log):
    """A program that is stopped by its own pid at the end."""
    with log.open("w") as output:
        started = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(timeout=20)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def with_server_of(folder):
    """The environment of a home, and of a Prefect server on a free port, in this folder."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Not what other tests set up for a server that ends with its study, such as one without triggers.
    others = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_SERVER_")}
    environment = {
        **others,
        "FEDSTUDY_HOME": str(folder / "var"),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    environment.pop("MLFLOW_TRACKING_URI", None)
    return environment


@contextmanager
def prefect_server_process(folder, environment):
    """Prefect's own server at the address in the environment."""
    port = environment["PREFECT_API_URL"].split(":")[2].partition("/")[0]
    server = ("server", "start", "--host", "127.0.0.1", "--port", port, "--no-ui")
    command = (sys.executable, "-m", "prefect", *server)
    with _process(*command, environment=environment, log=folder / "server.log"):
        _wait_for(f"http://127.0.0.1:{port}/api/health")
        yield


def _wait_for(address, seconds=120):
    for _ in range(seconds * 2):
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    raise TimeoutError(address)


@pytest.mark.slow
@pytest.mark.parametrize(
    "which", [("--name", "quickstart"), pytest.param(("--all",), marks=pytest.mark.nightly)], ids=" ".join
)
def test_a_deployment_runs_through_server_pool_and_worker(which, tmp_path, new_databases):
    environment = with_server_of(tmp_path)
    with_databases(tmp_path / "prefect", new_databases)
    prefect = [sys.executable, "-m", "prefect"]

    def run(*arguments):
        done = subprocess.run(
            [*prefect, *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    study = {
        "name": "deployed",
        "base": {"dataset": "digits", "model": "logistic", "clients": 5, "rounds": 2},
        "seeds": [0, 1],
    }
    with ExitStack() as stack:
        stack.enter_context(prefect_server_process(tmp_path, environment))
        run("work-pool", "create", "fedstudy", "--type", "process")
        run("--no-prompt", "deploy", *which)
        worker = ("worker", "start", "--pool", "fedstudy")
        stack.enter_context(_process(*prefect, *worker, environment=environment, log=tmp_path / "worker.log"))
        said = run(
            "deployment",
            "run",
            "federated-study/quickstart",
            "--param",
            f"study={json.dumps(study)}",
            "--watch",
        )
        assert "Completed" in said, (tmp_path / "worker.log").read_text()
        wrong = {**study, "base": {**study["base"], "rounds": 0}}
        refused = subprocess.run(
            [
                *prefect,
                "deployment",
                "run",
                "federated-study/quickstart",
                "--param",
                f"study={json.dumps(wrong)}",
            ],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert refused.returncode != 0
        assert "rounds" in refused.stdout + refused.stderr
    assert list((tmp_path / "var" / "reports").glob("deployed-*/report.html"))
