"""The comparison of a study's arms, in MLflow and on a page on disk; and comparisons between studies."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from federated.choices.choice import Choice
from federated.forecast import Forecast
from federated.foundation.errors import BadInput, readable
from federated.foundation.texts import file_name
from federated.machine.folders import home
from federated.report import Report, RunResult, as_files, drawn, write_page
from federated.report.bill import study_metrics, tuning_metrics
from federated.report.costs.forecast_against_fact import Foreseen, Took, foreseen
from federated.report.expected.figures import missed
from federated.report.findings.results import of_one_study, within
from federated.report.findings.verdicts import BEST
from federated.report.page.notes import run_notes, study_note
from federated.report.page.page import report_name
from federated.report.page.tables import tables_of
from federated.report.tuning.before_and_after import apart, tuned_among
from federated.study.comparison import Comparison
from federated.study.further.prices import Prices, prices_in, told_apart
from federated.study.looks import Looks
from federated.study.study import StudyConfig
from tasks.tracking.delivery.messages import show
from tasks.tracking.delivery.sending import address, send
from tasks.tracking.reading.clients import with_bills, with_clients, with_coalitions
from tasks.tracking.reading.partitions import partition_pictures
from tasks.tracking.reading.reconstructions import reconstruction_pictures
from tasks.tracking.reading.search import results_of_study
from tasks.tracking.reading.studies import (
    Parent,
    find_parents,
    parent_of,
    require_one_metric,
    results_below,
    tuned_arms,
)
from tasks.tracking.runs import runs
from tasks.tracking.runs.history import log_history
from tasks.tracking.server.failures import answered
from tasks.tracking.server.limits import LONGEST_TAG
from tasks.tracking.server.store import comparison_url, run_url
from tasks.tracking.studies.champion import register_best
from tasks.tracking.studies.forecasts import forecast_and_fact
from tasks.tracking.studies.views import save_view, view_url

_NOTE = "mlflow.note.content"
_MOST_IN_A_URL = 100  # runs, which MLflow's page draws all at once
_LINK, _ARMS = "All runs side by side", "Arms side by side"


@dataclass(frozen=True)
class StudyOutcome:
    """The outcome of a study: its runs, its findings, and links to details.

    parent_run_ids: one a study. report: the page on disk. url: of the comparison in MLflow. pictures: title -> PNG.
    foreseen: the forecast against what the study took, None where there is none. registered: the version of the best
    arm's model in the registry and why it is champion or challenger; empty where there is none.
    """

    parent_run_ids: tuple[str, ...]
    found: Report
    report: Path
    url: str
    pictures: dict[str, bytes]
    foreseen: Foreseen | None
    registered: str = ""

    def took(self, forecast: Forecast, took: Took) -> StudyOutcome:
        """The outcome with the time that making the report took, which the report itself cannot say."""
        found = self.found
        arms = () if found.tuned is None else found.tuned.arms
        return replace(self, foreseen=foreseen(forecast, found.all_results, took, found.prices, arms))

    @property
    def parent_run_id(self) -> str:
        """Of the first study."""
        return self.parent_run_ids[0]

    @property
    def results(self) -> Sequence[RunResult]:
        """Every run, in the order of the studies."""
        return self.found.results


def conclude(parent_run_id: str, study: StudyConfig, results: Sequence[RunResult]) -> StudyOutcome:
    """Compare the arms and log tables, plots, report and the verdict on the study's parent run."""
    return _conclude(parent_of(parent_run_id, runs.as_yaml(study)), study.comparison, results)


def conclude_from(parent_run_id: str, question: str, judged: Comparison) -> StudyOutcome:
    """The same for a study that has ended, from what MLflow has; question: its study file, resolved."""
    parent = parent_of(parent_run_id, question)
    results = results_of_study(parent_run_id, axes=parent.axes, left_out=parent.left_out)
    return _conclude(parent, judged, results)


def _conclude(parent: Parent, judged: Comparison, results: Sequence[RunResult]) -> StudyOutcome:
    outcome = _written(_report([parent], results, judged), [parent])
    report, run_id = outcome.found, outcome.parent_run_id
    runs.log_tables(run_id, tables_of(report))
    log_history(run_id, [(0, _bill_metrics(report))])
    runs.log_files(run_id, {"report.html": outcome.report.read_bytes(), **as_files(outcome.pictures)})
    _describe(outcome, parent)
    tuned = () if report.tuned is None else report.tuned.arms
    return replace(outcome, registered=register_best(parent, judged, report.results, tuned))


def _bill_metrics(report: Report) -> dict[str, float]:
    """The bill of the study, and that of its tuning."""
    tuned = () if report.tuned is None else report.tuned.arms
    return study_metrics(report.all_results, report.prices) | tuning_metrics(tuned, report.prices)


def _describe(outcome: StudyOutcome, parent: Parent) -> None:
    """Describe the study in MLflow: notes, tags, and the saved view of its arms."""
    report, run_id = outcome.found, outcome.parent_run_id
    note = study_note(report, LONGEST_TAG)
    bands = _bands_tags(report, judged_before="bands" in parent.run.data.tags)
    runs.set_tags(run_id, {_NOTE: note, "verdict": "\n".join(report.verdict), **bands})
    for child_id, run_note in run_notes(report).items():
        runs.set_tags(child_id, {_NOTE: run_note})
    for result in report.results:
        if result.arm in report.places:
            runs.set_tags(result.run_id, {"pareto": report.places[result.arm]})
    send("experiment tag", run_id, name=_NOTE, value=note)
    if report.results:
        save_view(run_id, report.results[0].main_metric, parent.run.info.start_time)


def _bands_tags(report: Report, *, judged_before: bool) -> dict[str, str]:
    """Whether the figures that the study expects are in their bands.

    Where it expects none {}, or, if it once did (it goes on with more seeds), that they are not judged any more.
    """
    if not report.figures:
        return {"bands": "not judged", "bands.missed": ""} if judged_before else {}
    outside = missed(report.figures)
    return {"bands": "missed" if outside else "held", "bands.missed": "\n".join(outside)}


def compare_again(
    names: Sequence[str],
    network: Choice | None = None,
    target: float | None = None,
    baseline: str | None = None,
    delta: float | None = None,
    prices: Path | None = None,
) -> StudyOutcome:
    """The newest study of each name compared, from MLflow alone. Raises BadInput where that is not possible.

    names: of studies, `NAME@WHICH` for another than the newest, see `study_called`. Where all are of one name, each arm
    is compared with itself, unless there is a baseline. network: time the finished rounds on it, instead of what the
    runs stated. target: of the main metric, instead of the studies' own. baseline, delta: instead of the first study's.
    prices: a file whose prices the bill has, instead of those of the first study that states any.
    Nothing in MLflow changes; the report is written anew, and where anything was asked for, beside the study's own
    under a name that says what.
    """
    several = len(names) > 1
    priced = None if prices is None else prices_in(prices)
    with answered(address()):
        show(f"looking for {' and '.join(names)} in MLflow at {address()}")
        parents = find_parents(names)
        show(f"reading the runs of {' and '.join(parent.label for parent in parents)} from MLflow")
        results = [run for parent in parents for run in results_below(parent, network, among_others=several)]
        require_one_metric(results)
        report = _report(parents, results, _judged(parents[0], baseline, delta, among_others=several), priced)
        if several and baseline is None and of_one_study(results):
            report = replace(report, versions=[each.version for each in parents], baseline=None)
    asked: dict[str, object] = {"network": network and network.label(), "target": target}
    asked |= {"baseline": baseline, "delta": delta, "prices": prices and told_apart(prices, priced)}
    return _written(replace(report, target=target), parents, report_name(asked))


def _judged(first: Parent, baseline: str | None, delta: float | None, *, among_others: bool) -> Comparison:
    """The settings for judging arms: the first study's, unless the command overrides them. Raises BadInput."""
    stated = dict(first.stated.get("comparison", {}))
    own = stated.get("baseline")
    if among_others and own not in (None, BEST):
        stated["baseline"] = within(first.label, own)
    wanted = {
        name: value for name, value in {"baseline": baseline, "delta": delta}.items() if value is not None
    }
    try:
        return Comparison.model_validate({**stated, **wanted})
    except ValidationError as error:
        raise BadInput(readable(error)) from error


def _report(
    parents: Sequence[Parent], results: Sequence[RunResult], judged: Comparison, prices: Prices | None = None
) -> Report:
    """The report of one study, or of several side by side. prices: instead of the first that a study states."""
    prices = prices or next((parent.prices for parent in parents if parent.prices is not None), None)
    experiments = dict.fromkeys(parent.run.info.experiment_id for parent in parents)
    url = comparison_url(list(experiments), [result.run_id for result in results[:_MOST_IN_A_URL]])
    alone, results = len(parents) == 1, with_bills(with_coalitions(with_clients(results)))
    arms = tuned_arms(parents[0].run.info.run_id) if alone else []
    every, (results, untuned) = results, apart(results) if arms or not alone else (results, [])
    said = list(dict.fromkeys(parent.description for parent in parents))
    pictures = partition_pictures(results)
    return Report(
        name=" and ".join(parent.label for parent in parents),
        results=tuple(results),
        description="\n".join(
            said if len(said) == 1 else [f"{each.label}: {each.description}" for each in parents]
        ),
        question="---\n".join(parent.question for parent in parents),
        baseline=judged.baseline,
        delta=judged.delta,
        looks_taken=Looks(judged.looks),
        robust=judged.interval == "robust",
        links={
            **{
                "Study in MLflow" if alone else f"{parent.label} in MLflow": run_url(
                    parent.run.info.experiment_id, parent.run.info.run_id
                )
                for parent in parents
            },
            **({_ARMS: view_url(next(iter(experiments)))} if alone else {}),
            _LINK: url,
        },
        environment={
            name if alone else within(parent.label, name): value
            for parent in parents
            for name, value in parent.environment.items()
        },
        partitions=pictures.shown,
        partitions_note=pictures.note,
        reconstructions=reconstruction_pictures(results),
        foreseen=forecast_and_fact(parents[0].run, every, prices, arms) if alone else None,
        expect={
            arm if alone else within(parent.label, arm): bands
            for parent in parents
            for arm, bands in parent.bands.items()
        },
        stated_commands={parent.label: parent.command for parent in parents},
        prices=prices,
        tuned=tuned_among(arms, results, untuned) if arms else None,
    )


def _written(report: Report, parents: Sequence[Parent], file: str = "report.html") -> StudyOutcome:
    """The report under var/reports as `file`, the study file beside it."""
    ids = tuple(parent.run.info.run_id for parent in parents)
    names = file_name("+".join(parent.label for parent in parents))
    which = ids[0][:8] if len(ids) == 1 else hashlib.sha256("".join(ids).encode()).hexdigest()[:8]
    path = home() / "reports" / f"{names}-{which}" / file
    pictures = drawn(report)
    write_page(path, report, pictures)
    path.with_name("study.yaml").write_text(report.question, encoding="utf-8")
    return StudyOutcome(ids, report, path, report.links[_LINK], pictures, report.foreseen)
