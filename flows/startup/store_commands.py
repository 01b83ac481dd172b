"""`./fedstudy ui` and `sync`: the store of MLflow, without Prefect."""

import sys
from typing import Annotated

import typer

from flows.terminal.screen import console


def ui(port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine")] = 5000) -> None:
    """Serve the MLflow UI of the embedded store (or of a database in MLFLOW_TRACKING_URI) until interrupted."""
    from tasks.tracking.server.ui import serve_ui

    sys.exit(serve_ui(port))


def sync() -> None:
    """Deliver pending records to MLflow and retry those set aside. Running it twice duplicates nothing.

    Exit code 0: everything is delivered, or nothing waited. 1: something still waits or is set aside, and is said.
    """
    from tasks.tracking.delivery.messages import show_with
    from tasks.tracking.studies.syncing import deliver_pending

    screen = console()
    show_with(lambda line: screen.print(line, soft_wrap=True))
    sys.exit(0 if deliver_pending() else 1)
