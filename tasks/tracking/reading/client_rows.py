"""The table of a run's clients, from the files that the run logged."""

from __future__ import annotations

import json
from typing import Any

from tasks.tracking.reading.artifacts import text_of

_SCORED, _HELD = "generalisation.json", "clients.json"


def client_rows(run_id: str) -> dict[str, list[Any]]:
    """Column -> a value for each client: its scores, or without held-out examples of clients what each one holds.

    Empty where the run logged neither.
    """
    for file in (_SCORED, _HELD):
        if (logged := text_of(run_id, file)) is not None:
            table = json.loads(logged)
            return {name: [row[at] for row in table["data"]] for at, name in enumerate(table["columns"])}
    return {}
