"""The curves of many runs, asked for in few requests: a server may take a tenth of a second to check a password."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from federated.metrics import Metrics

_OF_MANY = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
"""One metric of many runs, as MLflow's own page asks for it."""

_MOST_RUNS, _MOST_VALUES = 100, 25_000
"""Of one answer of it; what is beyond is left out without a word."""

Curves = dict[str, dict[int, Metrics]]
"""By the run's id, by round, by metric."""


def curves_of(client: MlflowClient, wanted: Sequence[tuple[MlflowRun, Iterable[str]]]) -> Curves:
    """The named metrics of every run, whole. wanted: each run, and the names of metrics that it has."""
    found: Curves = {run.info.run_id: defaultdict(dict) for run, _ in wanted}
    by_name: dict[str, list[MlflowRun]] = defaultdict(list)
    for run, names in wanted:
        for name in names:
            by_name[name].append(run)
    if not client.tracking_uri.startswith(("http://", "https://")):
        _one_by_one(client, by_name, found)
        return found
    while by_name:
        name, runs = by_name.popitem()
        for some in _together(runs, name):
            if len(some) == 1 or not _at_once(client, name, some, found):
                _one_by_one(client, {name: some}, found)
    return found


def _together(runs: Sequence[MlflowRun], name: str) -> Iterator[list[MlflowRun]]:
    """The runs in parts whose values fit into an answer: a run has at most one a round, and one before the first."""
    part, values = list[MlflowRun](), 0
    for run in runs:
        most = _last_step(run, name) + 1
        if part and (len(part) == _MOST_RUNS or values + most >= _MOST_VALUES):
            yield part
            part, values = [], 0
        part.append(run)
        values += most
    yield part


def _last_step(run: MlflowRun, name: str) -> int:
    return max((metric.step for metric in run.data.to_proto().metrics if metric.key == name), default=0)


def _at_once(client: MlflowClient, name: str, runs: Sequence[MlflowRun], found: Curves) -> bool:
    """Ask for one metric of several runs; whether the server answers that with all of it."""
    parameters = [("metric_key", name), *(("run_id", run.info.run_id) for run in runs)]
    answer = http_request(  # type: ignore[no-untyped-call]
        get_default_host_creds(client.tracking_uri),  # type: ignore[no-untyped-call]
        _OF_MANY,
        "GET",
        params=parameters,
        raise_on_status=False,
    )
    if answer.status_code != 200:
        return False
    values = answer.json()["metrics"]
    if len(values) >= _MOST_VALUES:
        return False
    for value in values:
        found[value["run_id"]][int(value["step"])][name] = float(value["value"])
    return True


def _one_by_one(client: MlflowClient, by_name: dict[str, list[MlflowRun]], found: Curves) -> None:
    for name, runs in by_name.items():
        for run in runs:
            for metric in client.get_metric_history(run.info.run_id, name):
                found[run.info.run_id][metric.step][name] = metric.value
