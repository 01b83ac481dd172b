"""A model card: what a model was trained on, how, how good it is for whom, what travelled, and what it is not for.

In the form of Mitchell et al. 2019, "Model Cards for Model Reporting", as Markdown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from federated.metrics.by_client import CLIENTS, STATISTICS
from federated.metrics.dictionary.privacy import not_covered
from federated.metrics.dictionary.stated import THRESHOLD
from federated.metrics.names import higher_is_better, metric_label
from federated.report.findings.by_seed import interval_over_seeds
from federated.report.findings.results import DOWNLINK, EPSILON, FROZEN, TRAINED, UPLINK, RunResult
from federated.report.questions.answers import client_word
from federated.report.questions.epsilons import epsilon_sentences
from federated.report.questions.guarantees import weakest_guarantee
from federated.report.questions.sites import Site, site_metric, sites_of
from federated.report.text.about_tuning import tuning_lines
from federated.report.text.numbers_as_text import decimals_of, number
from federated.report.text.phrases import capitalised
from federated.tuning.found import ArmTuning

_FEDERATION = ("partitioner", "clients", "cohort", "algorithm", "compression", "privacy", "local", "rounds")
_MODEL = ("model", "trained", "loss", "holdout")
_SIZES = ("heterogeneity/clients", "heterogeneity/size_gini", "heterogeneity/largest_share")
_MOST_SITES = 10
_BYTES = 4
_STATISTICS = tuple(f"_{name}" for name in (*STATISTICS, CLIENTS))
_CALIBRATION = "generalisation/test_calibration_error"


def model_card(
    study: str,
    description: str,
    runs: Sequence[RunResult],
    run: RunResult,
    others: Sequence[str] = (),
    tuned: ArmTuning | None = None,
) -> str:
    """runs: every run of the arm. run: the one whose model it is. others: what other arms of its study promise. tuned:
    what the arm tried and chose before, if it did."""
    finished = [each for each in runs if each.finished]
    sections = {
        f"{study}: {run.arm}": [description.strip()] if description.strip() else [],
        "Which model": _chosen(finished, run),
        "Data": list(_data(run)),
        "Federation": list(_stated(run.parameters)),
        "Tuning": [] if tuned is None else tuning_lines(tuned),
        "How different the clients are": list(_fingerprint(finished)),
        "Scores": list(_scores(finished)),
        "Thresholds": list(_thresholds(run)),
        "By site": list(_sites(finished)),
        "What travelled": list(_travelled(finished)),
        "Privacy": [_privacy(finished), *epsilon_sentences(finished), *others],
        "Limits": _limits(finished),
    }
    texts = [
        f"{'#' if at == 0 else '##'} {title}\n\n{_listed(lines)}"
        for at, (title, lines) in enumerate(sections.items())
        if lines or at == 0
    ]
    return "\n\n".join(text.strip() for text in texts) + "\n"


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" if not line.startswith("|") else line for line in lines)


def _chosen(runs: Sequence[RunResult], run: RunResult) -> list[str]:
    return [
        f"Seed {run.seed}, {'the only seed' if len(runs) == 1 else f'the first of the {len(runs)} seeds'} of this arm "
        "that finished: no score chose it",
        f"MLflow run {run.run_id}, last round {run.rounds_done}",
        *_best_round(run),
    ]


def _best_round(run: RunResult) -> Iterator[str]:
    at = run.final("generalisation/best_round")
    if run.best_by and at is not None:
        yield f"The model is of round {at:.0f}, the best of those evaluated by {metric_label(run.best_by)}"


def _data(run: RunResult) -> Iterator[str]:
    yield f"{run.parameters.get('dataset', 'unknown')}, digest {run.data_digest or 'unknown'}"
    for name, value in run.data.items():
        yield f"{name.replace('_', ' ')}: {number(value, 0 if float(value).is_integer() else None)}"


def _stated(parameters: Mapping[str, str]) -> Iterator[str]:
    for name, value in parameters.items():
        if name.split(".")[0] in (*_FEDERATION, *_MODEL) and (name, value) != ("trained", "full"):
            yield f"{name}: {value}"


def _fingerprint(runs: Sequence[RunResult]) -> Iterator[str]:
    """The sizes, and each divergence weighted by the clients' examples beside the largest that chance would give."""
    for name in dict.fromkeys(name for run in runs for name in run.metric_names):
        chance = f"{name}_null_high"
        if name in _SIZES or name.endswith("_weighted_mean"):
            level, limit = (
                [value for run in runs if (value := run.final(each)) is not None] for each in (name, chance)
            )
            by_chance = f" (by chance up to {number(sum(limit) / len(limit))})" if limit else ""
            yield f"{metric_label(name)}: {number(sum(level) / len(level))}{by_chance}"


def _scores(runs: Sequence[RunResult]) -> Iterator[str]:
    main = runs[0].main_metric
    names = dict.fromkeys(name for run in runs for name in run.metric_names)
    shown = [name for name in names if name.startswith("generalisation/") and _is_level(name)]
    for name in sorted(shown, key=lambda name: name != main):
        mean, interval = interval_over_seeds(runs, name)
        if mean is None:
            continue
        decimals = decimals_of(name, mean)
        ends = f" [{number(interval.low, decimals)}, {number(interval.high, decimals)}]" if interval else ""
        said = " (what arms are compared by)" if name == main else ""
        yield f"{metric_label(name)}: {number(mean, decimals)}{ends}{said}"
    yield "Means over the seeds, in brackets the 95 % t interval over seeds"


def _thresholds(run: RunResult) -> Iterator[str]:
    """The thresholds by which measures of this model judged; its answers do not use them."""
    chosen = {name: run.final(name) for name in run.metric_names if name.startswith(THRESHOLD)}
    for name, value in chosen.items():
        where = f", chosen on its {run.thresholds_chosen_on} examples" if run.thresholds_chosen_on else ""
        of = f" of {run.positive_class!r}" if run.positive_class and _is_of_main(name, run) else ""
        yield f"{name.removeprefix(THRESHOLD)}: a probability{of} of {number(value, 4)} or more{where}"
    if chosen:
        yield "The measures at a threshold use these; the model's own label is the most probable class"


def _is_of_main(threshold: str, run: RunResult) -> bool:
    """Whether a threshold belongs to the measure that the run is judged by, the only one whose class is known here."""
    return run.main_metric.endswith(threshold.removeprefix(THRESHOLD))


def _is_level(name: str) -> bool:
    """Whether it is the level of a score on held-out examples, and no gap, quantile or end of an interval."""
    what = name.removeprefix("generalisation/")
    if what.endswith("_mean"):
        return "_constant_" not in what
    of_all = what.split("_")[0] in ("test", "unseen")
    return of_all and "_constant_" not in what and not what.endswith(_STATISTICS)


def _sites(runs: Sequence[RunResult]) -> Iterator[str]:
    """The sites where it is worst; all are in `sites.json`. None where a study made the clients up."""
    found = sites_of(runs) if client_word(runs) == "site" else []
    if not found:
        return
    metric = site_metric(runs, runs[0].main_metric)
    worst_first = sorted(found, key=lambda site: site.mean * (1 if higher_is_better(metric) else -1))
    yield f"{metric_label(metric)} of each site on its own held-out examples, worst first"
    for site in worst_first[:_MOST_SITES]:
        yield _site(site, metric)
    if len(found) > _MOST_SITES:
        yield f"{len(found) - _MOST_SITES:,} more are in sites.json of the study's run"


def _site(site: Site, metric: str) -> str:
    never = "" if site.trains else ", never trained"
    score = number(site.mean, decimals_of(metric, site.mean))
    return f"{site.client}{never}: {score} on {number(site.examples, 0)} examples"


def _travelled(runs: Sequence[RunResult]) -> Iterator[str]:
    trained, frozen = (runs[0].final(name) for name in (TRAINED, FROZEN))
    if trained is not None and frozen is not None:
        yield (
            f"{number(trained, 0)} of {number(trained + frozen, 0)} parameters are trained, "
            f"{number(trained * _BYTES / 1e6)} of {number((trained + frozen) * _BYTES / 1e6)} MB in 32 bits; the "
            "others stay as they were and never travel"
        )
    for name, words in {UPLINK: "to the server", DOWNLINK: "to the clients"}.items():
        values = [value for run in runs if (value := run.final(name)) is not None]
        if values:
            yield f"{number(sum(values) / len(values) / 1e6)} MB {words} in a run, the mean over seeds"


def _privacy(runs: Sequence[RunResult]) -> str:
    values = [value for run in runs if (value := run.final(EPSILON)) is not None]
    if not values:
        return "No differential privacy: what a client sends, and the model itself, may reveal its examples"
    stated, own = weakest_guarantee(runs), any(run.own_models_not_covered for run in runs)
    promised = (
        f": {stated}" if stated else f" with epsilon {number(max(values))}, as `privacy` above states it"
    )
    return f"Differential privacy{promised}. {capitalised(not_covered(own_models=own))}"


_RISKS = "Class probabilities are a softmax's; see the calibration error before they are used as risks"


def _limits(runs: Sequence[RunResult]) -> list[str]:
    few = f"{len(runs)} seed{'s' if len(runs) != 1 else ''}"
    return [
        "A simulation: all data lay in one place while it was trained and judged",
        f"Judged on held-out examples of the same data set and {few}; on data from elsewhere or later it may do worse",
        *([_RISKS] if any(run.final(_CALIBRATION) is not None for run in runs) else []),
    ]
