"""`./fedstudy ui`, `sync` and `clean`: the store of MLflow and the home, without Prefect."""

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


def clean(
    unused_for: Annotated[
        float, typer.Option(metavar="DAYS", help="Leave what was used in so many days")
    ] = 30.0,
    checkpoints: Annotated[
        bool,
        typer.Option("--checkpoints", help="Also checkpoints of unfinished runs, which `--resume` needs"),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without it, it is only listed")] = False,
) -> None:
    """List, or with --yes remove, what FEDSTUDY_HOME can do without: caches, MLflow's bin, files without a run."""
    from federated.machine.folders import amount, home_in_words, require_home
    from federated.report.text.table import Table
    from tasks.tracking.studies.cleaning import removable, remove

    screen = console()
    require_home()
    found = removable(unused_for, checkpoints=checkpoints)
    goes = [each for each in found if each.remove is not None]
    if yes:
        remove(goes)
    verb = "removed" if yes else "would go"
    rows = [
        [each.kind, f"{each.number:,}", amount(each.size), verb if each.remove else "stays: --checkpoints"]
        for each in found
    ]
    if rows:
        screen.print(Table(["what", "number", "on disk", ""], rows).rich(f"Unused for {unused_for:g} days"))
    total = amount(sum(each.size for each in goes))
    listed = f"{total} would go; `--yes` removes it" if goes else "Nothing would go"
    screen.print(f"{f'{total} removed' if yes else listed}. There is {home_in_words()}.", soft_wrap=True)
