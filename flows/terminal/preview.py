"""`./fedstudy preview`: the runs and the partitions of a study, without training."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.table import Table as RichTable

from federated.config.run import RunConfig
from federated.federation.data_table import HEADER, DataRead, data_read, distinct_data, every_column
from federated.federation.federation import Federation, partition_clients
from federated.federation.fingerprint import fingerprint_of
from federated.federation.partition_files import check_partition_file, save_partition
from federated.forecast import SECONDS_IN_ALL, of_faults
from federated.forecast.seconds.tuning import forecast_tuned
from federated.foundation.doing import doing
from federated.foundation.texts import file_name, listed
from federated.machine.folders import home
from federated.metrics.dictionary.stated import CHOOSING, TUNING_CLIENTS
from federated.report import PreviewedPartition, federation_pictures, fingerprint_table, preview_html
from federated.report.text.phrases import counted
from federated.report.text.table import Table
from federated.run.checks import cannot_run
from federated.run.setup import Setup
from federated.study.study import Run, StudyConfig
from federated.study.tuning.check import space_of
from federated.tuning.arms import check_tuned
from flows.terminal.arms import Arm, arm_of, arms_table, promises, trained_sentences, warnings_of
from flows.terminal.data_read import show_data
from flows.terminal.forecast import show_bill
from flows.terminal.screen import Screen, styled
from flows.terminal.waiting import shown_while_waiting
from tasks.scale_out.stages import check_scale_out

_PARTITIONS_A_TABLE = 4
_MOST_PARTITIONS = 12
_MOST_UNSEEN = 5


def show_preview(study: StudyConfig, screen: Screen, save: Path | None = None) -> str:
    """The arms, the partitions of the first seed, their fingerprints, and a page of pictures under var/previews.

    save: write the partition to this file, numbered where there are several. Raises BadInput. Returns which arms
    cannot run; empty where all can.
    """
    if save is not None:
        check_partition_file(save)
    with shown_while_waiting(screen):
        return _preview(study, screen, save)


def _preview(study: StudyConfig, screen: Screen, save: Path | None) -> str:
    runs, arms, delta = study.runs(), dict[str, Arm](), study.comparison.default_delta

    def look(run: Run, setup: Setup) -> None:
        if run.arm not in arms:
            arms[run.arm] = arm_of(run, setup, delta)

    check_scale_out(runs)
    faults = check_tuned(study, look)
    arm_count, seeds = counted(len(runs) // len(study.seeds), "arm"), counted(len(study.seeds), "seed")
    screen.print(styled((study.name, "bold"), f": {arm_count} x {seeds} = {counted(len(runs), 'run')}"))
    if study.description:
        screen.print(study.description.strip())
    screen.print(arms_table(runs, arms))
    for line in _tuning(study):
        screen.print(line, soft_wrap=True)
    runs = [run for run in runs if run.name not in faults]
    for sentence in trained_sentences(arms):
        screen.print(sentence, soft_wrap=True)
    with doing("handing out the examples"):
        every = _distinct_partitions(runs)
    partitions = every[:_MOST_PARTITIONS]
    data = distinct_data(_data_read(config) for config in partitions)
    show_data(data, screen, whole=True)
    screen.print(_partitions(partitions, study.seeds[0]))
    for start in range(0, len(partitions), _PARTITIONS_A_TABLE):
        with doing("measuring how unlike the clients are"):
            table = _fingerprints(partitions[start : start + _PARTITIONS_A_TABLE])
        screen.print(table)
    if every[_MOST_PARTITIONS:]:
        screen.print(
            f"{_MOST_PARTITIONS} of {len(every):,} partitions are shown, here and on the page", style="dim"
        )
    _bill(study, faults, screen)
    promised = promises(arms)
    for sentence in promised:
        screen.print(sentence, soft_wrap=True)
    said = [*of_faults(faults, study.runs()), *warnings_of(arms)]
    for caution in said:
        screen.print(f"warning: {caution}", style="yellow", soft_wrap=True)
    with doing("drawing the pictures"):
        page = _write_page(study, partitions, data, said, promised)
    screen.print(f"pictures     {page}", soft_wrap=True)
    for file in _write_columns(page.parent, partitions):
        screen.print(f"all columns  {file}", soft_wrap=True)
    for path, config in _files(save, every):
        save_partition(path, partition_clients(config))
        screen.print(f"partition    {path}  {config.partitioner.label()}", soft_wrap=True)
    return cannot_run(study.runs(), faults)


def _bill(study: StudyConfig, faults: Mapping[str, str], screen: Screen) -> None:
    """The bill as it is foreseen: by some seconds of rounds where it has prices, else by single steps."""
    seconds = SECONDS_IN_ALL if study.prices is not None else 0.0
    show_bill(forecast_tuned(study, faults=faults, seconds=seconds), screen, whole=True)


def _tuning(study: StudyConfig) -> Iterable[str]:
    """What each arm chooses, and how often it may try."""
    if (tuning := study.tuning) is None:
        return
    effort = next(f"{each:g} {name}" for name, each in tuning.budget if each is not None)
    yield (
        f"tuning: {tuning.rule}, {effort} for each arm, then {tuning.finalists} finalists with {tuning.repeats} "
        "further seeds; each arm then runs with its choice and as it is stated"
    )
    for name, arm in study.named_arms().items():
        space = space_of(arm, tuning)
        yield f"  {name} chooses {listed([f'{path} of {each.stated}' for path, each in space.items()]) or 'nothing'}"


def _data_read(config: RunConfig) -> DataRead:
    return data_read(config.dataset.label(), partition_clients(config).examples)


def _distinct_partitions(runs: Iterable[Run]) -> list[RunConfig]:
    """One config for each partition of the first seed; without sites that have withdrawn where all are shown too."""
    runs = list(runs)
    first_seed = [run.config for run in runs if run.config.seed == runs[0].config.seed]
    first_seed = [config for config in first_seed if config.cohort.without is None] or first_seed
    return list({_digests(partition_clients(config)): config for config in first_seed}.values())


def _digests(federation: Federation) -> tuple[str, str]:
    return federation.data_digest, federation.partition_digest


def _partitions(configs: Iterable[RunConfig], seed: int) -> RichTable:
    federations = [(config, partition_clients(config)) for config in configs]
    sets = ["test", "client", "unseen"]
    there = {name for _, each in federations for name in each.held_out_sets()}
    sets += [name for name in CHOOSING if name in there]
    columns = (
        *("data set", "partitioner", "clients", "empty", "examples: least / median / most"),
        *(f"held out: {' / '.join(sets)}", "what the partitioner did"),
    )
    rows = [
        [each.dataset.label(), each.partitioner.label(), *_figures(held, sets), _notes(held)]
        for each, held in federations
    ]
    return Table(columns, rows).rich(f"Who would hold what (seed {seed})", texts=len(columns))


def _figures(federation: Federation, sets: Sequence[str]) -> list[str]:
    sizes, held_out = federation.sizes, federation.held_out_sets()
    counts = {name: str(len(held_out.get(name, ()))) for name in sets}
    for name, clients in (("unseen", federation.unseen_names), (TUNING_CLIENTS, federation.tuning_names)):
        if clients:
            counts[name] += f" ({listed(clients, _MOST_UNSEEN)})"
    return [
        str(len(sizes)),
        str(int((sizes == 0).sum())),
        f"{sizes.min()} / {np.median(sizes):g} / {sizes.max()}",
        " / ".join(counts.values()),
    ]


def _notes(federation: Federation) -> str:
    """`aim value 0.4, aim reached 0.403, ...`"""
    return ", ".join(
        f"{name.replace('_', ' ')} {value:.4g}" for name, value in federation.whole.notes.items()
    )


def _fingerprints(configs: Sequence[RunConfig]) -> RichTable:
    title = "How unlike the clients are [IID null band: 95 % of random partitions with the same sizes; * outside it]"
    columns = ["measure", *(config.partitioner.label() for config in configs)]
    rows = fingerprint_table([fingerprint_of(partition_clients(config)) for config in configs])
    return Table(columns, rows).rich(title)


def _write_page(
    study: StudyConfig,
    configs: Sequence[RunConfig],
    data: Sequence[DataRead],
    cautions: Sequence[str],
    promises: Sequence[str],
) -> Path:
    """The page and its pictures, under var/previews; the address of the page."""
    folder = home() / "previews" / file_name(study.name)
    folder.mkdir(parents=True, exist_ok=True)
    federations = [partition_clients(config) for config in configs]
    shown, several = [], len({config.dataset for config in configs}) > 1
    for at, (config, federation) in enumerate(zip(configs, federations, strict=True)):
        alike = [other.sizes.max() for other in federations if len(other.clients) == len(federation.clients)]
        pictures = federation_pictures(federation, int(max(alike)))
        for name, picture in pictures.items():
            (folder / f"{at}_{name}").write_bytes(picture)
        title = config.partitioner.label() + (f" · {config.dataset.label()}" if several else "")
        shown.append(PreviewedPartition(title, _notes(federation), fingerprint_of(federation), pictures))
    page = folder / "preview.html"
    html = preview_html(study.name, study.description, study.seeds[0], shown, data, cautions, promises)
    page.write_text(html, encoding="utf-8")
    return page


def _write_columns(folder: Path, configs: Iterable[RunConfig]) -> list[Path]:
    """columns.csv, numbered where there are several, of each data set of which `show_data` leaves columns out."""
    every = {config.dataset.label(): partition_clients(config).examples for config in configs}
    tables = [
        rows for each in every.values() if len(rows := every_column(each)) > len(data_read("", each).rows)
    ]
    files = [folder / f"columns{f'_{at}' if len(tables) > 1 else ''}.csv" for at in range(len(tables))]
    for file, rows in zip(files, tables, strict=True):
        with file.open("w", encoding="utf-8", newline="") as opened:
            csv.writer(opened).writerows([HEADER, *rows])
    return files


def _files(save: Path | None, configs: Sequence[RunConfig]) -> list[tuple[Path, RunConfig]]:
    """The file of each partition: FILE, or FILE_0, FILE_1, ... where there are several."""
    if save is None:
        return []
    if len(configs) == 1:
        return [(save, configs[0])]
    return [(save.with_name(f"{save.stem}_{at}{save.suffix}"), config) for at, config in enumerate(configs)]
