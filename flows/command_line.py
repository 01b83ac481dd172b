"""`./fedstudy`: init, preview, run, list, compare, score, export, promote, automations, ui, sync, clean."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from federated.foundation.doing import doing
from federated.foundation.errors import BadInput
from federated.machine.folders import require_home
from federated.user_code.containment import contain_exits
from flows.deployments.commands import automations
from flows.models.commands import export, promote, score
from flows.prefect_runtime.prefect_away import PrefectAway
from flows.prefect_runtime.runtime import configure, prefect_api
from flows.startup.beginning import command_begins, take_beginning
from flows.startup.exit import Commands, end, end_if_disk_is_full, end_interrupted, end_on_sigterm
from flows.startup.imports_kept import imports_kept
from flows.startup.store_commands import clean, sync, ui
from flows.terminal.display import say_start
from flows.terminal.screen import console
from flows.terminal.waiting import shown_while_waiting
from flows.work_pool.workers import workers_in

if TYPE_CHECKING:
    from federated.study.study import StudyConfig

app = typer.Typer(
    cls=Commands,
    help="fedstudy: what does federated training cost me on my data?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study file")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change a field of the base run; repeatable"),
]
AllowCode = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PREFIX",
        help="Let the study use functions and classes of this module or package, by its dotted name, wherever it is; "
        "repeatable, or several separated by commas. Without "
        "it: only those defined beside the study file and in the working folder",
    ),
]
Seeds = Annotated[str | None, typer.Option(help="Seeds instead of the file's: 0,1,2 or 0-9")]


@app.command()
def init(
    data: Annotated[
        Path, typer.Argument(metavar="FILE", help="A CSV, Parquet or JSON lines file, or a folder of images")
    ],
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column to predict; unless stated, a guess")
    ] = None,
    client: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The column that says who holds a row; none: there is none"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="STUDY.yaml", help="The study file; unless stated, FILE's name in the working folder"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the study file where it is there")] = False,
) -> None:
    """Write a first study file for your data from a look at it: a study that runs as it is, in a minute or so."""
    screen = console()
    with shown_while_waiting(screen):
        with doing("loading the libraries"):
            from flows.draft import write_draft
        write_draft(data, target, client, out, force, screen)


@app.command()
def preview(
    study: StudyFile,
    settings: Settings = None,
    seeds: Seeds = None,
    allow_code: AllowCode = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the partition to FILE.npz or .csv, for `from_file`"),
    ] = None,
) -> None:
    """Show what would run, who would hold what and how unlike the clients are; no run is started."""
    screen = console()
    with shown_while_waiting(screen), doing("reading the study"):
        from federated.user_code.source import allow
        from flows.terminal.preview import show_preview

        allow(allow_code or [], study.parent)
        config = _study(study, settings, seeds)
    _end_with(show_preview(config, screen, save))


@app.command()
def run(
    study: StudyFile,
    settings: Settings = None,
    seeds: Seeds = None,
    allow_code: AllowCode = None,
    arm: Annotated[
        list[str] | None, typer.Option(metavar="ARM", help="Run this arm alone, by its name; repeatable")
    ] = None,
    workers: Annotated[
        str,
        typer.Option(help="Runs at a time, each in a process of its own; or pool:NAME, a Prefect work pool"),
    ] = "1",
    resume: Annotated[
        bool,
        typer.Option(help="Go on: unfinished runs from their checkpoints; finished ones are not run again"),
    ] = False,
    forecast: Annotated[
        bool, typer.Option("--forecast", help="Say what the study would take, and stop")
    ] = False,
) -> None:
    """Run a study: every arm with every seed, then the comparison."""
    command_begins()
    from federated.user_code.source import allow

    screen = console()
    allow(allow_code or [], study.parent)
    if forecast:
        with shown_while_waiting(screen), doing("reading the study"):
            from flows.terminal.forecast import show_forecast

            config = _study(study, settings, seeds, arm)
        _end_with(show_forecast(config, workers_in(workers), screen, take_beginning()))
    require_home()
    with prefect_api() as prefect:  # it starts while the rest is imported and the study checked
        with imports_kept(), shown_while_waiting(screen), doing("reading the study"):
            config = _study(study, settings, seeds, arm)
            say_start(config, screen)
            from flows.study_run import run_study
            from flows.terminal.outcome import show_disk, show_outcome

        outcome, failure = run_study(config, prefect, workers, resume, screen, "`run ... --resume`")
    show_disk(screen)
    if outcome is not None:
        show_outcome(outcome, screen)
    if failure:
        end(failure, 1)


@app.command("list")
def list_(
    what: Annotated[
        str | None, typer.Argument(metavar="[KIND or NAME]", help="Such as compressor, or dirichlet")
    ] = None,
) -> None:
    """List data sets, partitioners, models, compressors, ... with their parameters."""
    from flows.reference.catalogue import show_catalogue

    show_catalogue(what, console())


@app.command()
def compare(
    studies: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY-NAME...",
            help="Names of studies that were run, the newest of each; NAME@WHICH is an earlier one, by the start of "
            "its commit or id, or by its date. Of one name at two commits, each arm is compared with itself",
        ),
    ],
    network: Annotated[
        str | None, typer.Option(help="Time the rounds on this network, such as 3g or '4g(uplink_mbps=1)'")
    ] = None,
    target: Annotated[
        float | None, typer.Option(help="Score whose price is compared; 95 % of the best unless stated")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="ARM", help="Compare all others with this arm, or with the best")
    ] = None,
    delta: Annotated[float | None, typer.Option(help="The smallest difference that matters")] = None,
    prices: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml",
            help="Prices of the bill, or a study file that has them, instead of the study's",
        ),
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Show every study of one name: each arm's main metric by date")
    ] = False,
) -> None:
    """Compare the arms of the newest study of a name again, or those of several studies, from what MLflow holds."""
    from flows.study_comparison import compare_studies, history_of_study
    from flows.terminal.history import show_history
    from flows.terminal.outcome import show_outcome

    screen = console()
    if history:
        asked = {"network": network, "target": target, "baseline": baseline, "delta": delta, "prices": prices}
        show_history(*history_of_study(studies, screen, asked), screen)
    else:
        show_outcome(compare_studies(studies, screen, network, target, baseline, delta, prices), screen)


app.command()(score)
app.command()(export)
app.command()(promote)
app.command()(automations)
app.command()(ui)
app.command()(sync)
app.command()(clean)


def main() -> None:
    """The command line; bad input ends with one message and exit code 2, Ctrl-C with 130, SIGTERM with 143."""
    end_on_sigterm()
    contain_exits()
    try:
        configure()
        sys.exit(app(standalone_mode=False, prog_name="fedstudy") or 0)
    except BadInput as error:
        end(str(error), 2)
    except PrefectAway as error:
        end(str(error), 1)
    except typer.TyperException as error:
        if message := error.format_message():
            end(message, error.exit_code)
        sys.exit(error.exit_code)  # help instead of a message, which has been shown
    except (typer.Abort, KeyboardInterrupt) as interrupt:
        end_interrupted(interrupt)
    except Exception as error:
        end_if_disk_is_full(error)
        raise


def _end_with(faults: str) -> NoReturn:
    """Exit with code 1 where some arms cannot run, as `run` does once it has run the others; else with 0."""
    if faults:
        end(faults, 1)
    sys.exit(0)


def _study(
    file: Path, settings: list[str] | None, seeds: str | None, arms: list[str] | None = None
) -> "StudyConfig":
    """The study as the options change it."""
    from federated.run.preparing.sites import with_sites
    from federated.study.seeds import seeds_in
    from federated.study.study import read_study

    config = with_sites(read_study(file, settings or [], None if seeds is None else seeds_in(seeds)))
    return config.only(arms) if arms else config
