"""`python -m flows preview`: what a study would run and who would hold what, without training."""

from collections.abc import Iterable

import numpy as np
from rich.console import Console
from rich.table import Table

from federated.config import RunConfig
from federated.federation import Federation, partition_clients
from federated.home import home
from federated.report import partition_picture
from federated.setup import check_runs, prepare
from federated.study import Run, StudyConfig


def show_preview(study: StudyConfig, screen: Console) -> None:
    """The arms, the partitions of the first seed, and a picture of each under var/previews. Raises BadInput."""
    runs = study.runs()
    check_runs(runs)
    screen.print(
        f"[bold]{study.name}[/]: {len(study.arm_overrides())} arms x {len(study.seeds)} seeds = {len(runs)} runs"
    )
    if study.description:
        screen.print(study.description.strip(), markup=False)
    screen.print(_arms(runs))
    partitions = _distinct_partitions(runs)
    screen.print(_partitions(partitions, study.seeds[0]))
    folder = home() / "previews" / study.name
    folder.mkdir(parents=True, exist_ok=True)
    for at, config in enumerate(partitions):
        federation = partition_clients(config)
        picture = partition_picture(
            federation.label_counts(), federation.sizes, federation.names, federation.examples.classes
        )
        path = folder / f"partition_{at}.png"
        picture.savefig(path)
        screen.print(f"{path}  {config.partitioner.label()}", soft_wrap=True, markup=False)


def _arms(runs: Iterable[Run]) -> Table:
    table = Table(title="What would run", title_justify="left")
    for column in ("arm", "rounds", "clients a round", "parameters", "float32 model, MB"):
        table.add_column(column, justify="left" if column == "arm" else "right", overflow="fold")
    for run in {run.arm: run for run in runs}.values():
        setup = prepare(run.config)
        size = setup.initial_parameters.numel()
        table.add_row(
            run.arm, str(run.config.rounds), str(setup.cohort_size), f"{size:,}", f"{4 * size / 1e6:.3f}"
        )
    return table


def _distinct_partitions(runs: Iterable[Run]) -> list[RunConfig]:
    """One config for each partition of the first seed."""
    runs = list(runs)
    first_seed = [run.config for run in runs if run.config.seed == runs[0].config.seed]
    return list({partition_clients(config).partition_digest: config for config in first_seed}.values())


def _partitions(configs: Iterable[RunConfig], seed: int) -> Table:
    table = Table(title=f"Who would hold what (seed {seed})", title_justify="left")
    columns = (
        "data set",
        "partitioner",
        "clients",
        "empty",
        "examples: least / median / most",
        "label divergence, bits",
    )
    for column in (*columns, "held out: test / client / unseen"):
        table.add_column(column, overflow="fold")
    for config in configs:
        table.add_row(
            config.dataset.label(), config.partitioner.label(), *_figures(partition_clients(config))
        )
    return table


def _figures(federation: Federation) -> list[str]:
    sizes, measures = federation.sizes, federation.heterogeneity()
    divergence = measures.get("heterogeneity/label_divergence_bits")
    held_out = federation.held_out_sets()
    return [
        str(len(sizes)),
        str(int((sizes == 0).sum())),
        f"{sizes.min()} / {np.median(sizes):g} / {sizes.max()}",
        "-" if divergence is None else f"{divergence:.3f}",
        " / ".join(str(len(held_out.get(name, ()))) for name in ("test", "client", "unseen")),
    ]
