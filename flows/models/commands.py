"""`./fedstudy score`, `export` and `promote`: what becomes of trained models, without Prefect."""

from pathlib import Path
from typing import Annotated

import typer

from federated.foundation.doing import doing
from flows.terminal.screen import console
from flows.terminal.waiting import shown_while_waiting


def score(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A registered model (its champion), NAME@ALIAS, NAME/VERSION, or the id of a run",
        ),
    ],
    rows: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Rows as the study's own: CSV, Parquet or a folder of it, JSONL, .npy, .npz, or a folder of images",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the predictions go, as CSV")] = Path(
        "predictions.csv"
    ),
) -> None:
    """Write a model's predictions for the rows of a file."""
    screen = console()
    with shown_while_waiting(screen), doing(f"scoring {rows.name}"):
        from tasks.tracking.models.scoring import score_file
        from tasks.tracking.server.access import require_store

        require_store()
        count = score_file(model, rows, out, lambda line: screen.print(line, style="yellow", soft_wrap=True))
    screen.print(f"{count:,} predictions: {out}", soft_wrap=True)


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A registered model (its champion), NAME@ALIAS, NAME/VERSION, or the id of a run",
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where the adapter goes, a folder that is not there yet")
    ] = Path("adapter"),
) -> None:
    """Write the low-rank adapter of a fine-tuned model as a folder that peft loads."""
    from tasks.tracking.models.exporting import export_adapter
    from tasks.tracking.server.access import require_store

    require_store()
    size = export_adapter(model, out)
    console().print(
        f"adapter of {size / 1e6:,.3f} MB: {out}; its README.md says how to load it", soft_wrap=True
    )


def promote(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="A registered model; all that have a challenger")
    ] = None,
) -> None:
    """Make challengers champions where the paired comparison says that they are better."""
    from tasks.tracking.delivery.messages import show_with
    from tasks.tracking.server.access import require_store
    from tasks.tracking.studies.champion import promote as decide_again

    screen = console()
    show_with(lambda line: screen.print(line, soft_wrap=True))
    require_store()
    decisions = decide_again(model)
    for name, decision in decisions.items():
        screen.print(f"{name}: {decision}", soft_wrap=True)
    if not decisions:
        screen.print("no registered model has a challenger")
