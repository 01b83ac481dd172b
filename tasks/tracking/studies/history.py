"""The history of a study, from MLflow, on a page under reports."""

from __future__ import annotations

from pathlib import Path

from federated.foundation.texts import file_name
from federated.machine.folders import home
from federated.report.page.history_page import history_html
from federated.report.versions.history import History
from tasks.tracking.delivery.messages import show
from tasks.tracking.delivery.sending import address
from tasks.tracking.reading.past import history_of
from tasks.tracking.server.failures import answered


def study_history(name: str) -> tuple[History, Path]:
    """(every study of this name, the page that shows them). Raises BadInput where MLflow has none or is away."""
    with answered(address()):
        show(f"reading the studies called {name} from MLflow at {address()}")
        history, description = history_of(name)
    page = home() / "reports" / f"{file_name(history.name)}-history.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(history_html(history, description), encoding="utf-8")
    return history, page
