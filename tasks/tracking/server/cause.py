"""The cause of a failed delivery: MLflow is away, or the record itself is at fault."""

from __future__ import annotations

from enum import Enum


class Cause(Enum):
    """MLflow is away, for all records; the record itself; or either, which other records will tell."""

    AWAY = "MLflow is away"
    ITS_OWN = "the record"
    PERHAPS_ITS_OWN = "either"
