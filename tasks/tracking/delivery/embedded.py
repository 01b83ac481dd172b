"""Direct reads and writes of an SQLite store, by MLflow's own table definitions.

Each call of MLflow's is a transaction of its own, which waits for the disk, makes an object of every row, and reads
the whole run first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from uuid import uuid4

import sqlalchemy
from mlflow.entities import LoggedModel, LoggedModelStatus, Metric
from mlflow.store.tracking.dbmodels.models import SqlInput, SqlLoggedModel, SqlLoggedModelMetric, SqlTag
from sqlalchemy.dialects.sqlite import insert

_SECONDS_FOR_A_LOCK = 60  # other processes of the study write too


@cache
def engine(uri: str) -> sqlalchemy.Engine:
    """The connections of this process to a store."""
    return sqlalchemy.create_engine(uri, connect_args={"timeout": _SECONDS_FOR_A_LOCK})


def read_tag(uri: str, run_id: str, name: str) -> str | None:
    """The tag of a run; None without it."""
    tags = SqlTag.__table__
    wanted = sqlalchemy.select(tags.c.value).where(tags.c.run_uuid == run_id, tags.c.key == name)
    with engine(uri).connect() as connection:
        found: str | None = connection.execute(wanted).scalar()
    return found


def finish_model(
    uri: str, run_id: str, model: LoggedModel, step: int, metrics: Sequence[Metric], now: int
) -> None:
    """The model is ready, an output of the run, and has these metrics of it: all or nothing.

    As `finalize_logged_model`, `log_outputs` and `log_batch` of MLflow's store do it. now: ms since 1970.
    """
    models = SqlLoggedModel.__table__
    ready = sqlalchemy.update(models).where(models.c.model_id == model.model_id)
    output = {
        "input_uuid": uuid4().hex,
        "source_type": "RUN_OUTPUT",
        "source_id": run_id,
        "destination_type": "MODEL_OUTPUT",
        "destination_id": model.model_id,
        "step": step,
    }
    rows = [
        {
            "model_id": model.model_id,
            "metric_name": metric.key,
            "metric_timestamp_ms": metric.timestamp,
            "metric_step": metric.step,
            "metric_value": metric.value,
            "experiment_id": int(model.experiment_id),
            "run_id": run_id,
        }
        for metric in metrics
    ]
    with engine(uri).begin() as connection:
        connection.execute(
            ready.values(status=LoggedModelStatus.READY.to_int(), last_updated_timestamp_ms=now)
        )
        connection.execute(insert(SqlInput.__table__), output)
        if rows:
            connection.execute(insert(SqlLoggedModelMetric.__table__).on_conflict_do_nothing(), rows)
