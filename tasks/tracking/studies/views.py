"""The presentation of an experiment in MLflow's UI: its description, and a saved view of the newest study by arm.

A saved view is a tag of the experiment that holds the state of the page of runs; the UI of MLflow 3.17 writes and reads
them under "Views". A UI that does not know them shows its usual page.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any
from urllib.parse import quote

from federated.metrics.names import higher_is_better
from tasks.tracking.delivery.sending import send
from tasks.tracking.reading.search import shown_by
from tasks.tracking.server.store import server_address

VIEW = "fedstudy-arms"
_TAG = f"mlflow.sharedViewState.{VIEW}"
_NAME = "Arms of the newest study"


def save_view(parent_run_id: str, main_metric: str, created_at: int) -> None:
    """Save the view of a study's runs: grouped by arm, the best first, with what arms are compared by.

    created_at: milliseconds since 1970.
    """
    metrics = [main_metric, "communication/uplink_bytes_total", "communication/downlink_bytes_total"]
    tags = ["seed", "pareto", "ended_by"]
    state: dict[str, Any] = {
        "searchFilter": shown_by(parent_run_id),
        "orderByKey": f"metrics.`{main_metric}`",
        "orderByAsc": not higher_is_better(main_metric),
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [*(f"metrics.`{name}`" for name in metrics), *(f"tags.`{name}`" for name in tags)],
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": "FIRST_20_RUNS",
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "arm"}]},
        "groupsExpanded": {},
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }
    packed = f"deflate;{base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()}"
    view = {"name": _NAME, "createdAt": created_at, "updatedAt": created_at, "state": packed}
    send("experiment tag", parent_run_id, name=_TAG, value=json.dumps(view))


def view_url(experiment: str) -> str:
    """The address of the saved view; of the embedded store, once `./fedstudy ui` serves it."""
    return f"{server_address()}/#/experiments/{quote(experiment)}/runs?viewStateShareKey={VIEW}"
