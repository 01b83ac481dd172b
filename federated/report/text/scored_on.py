"""The held-out examples behind the main metric: their number, and whether their clients also train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from federated.config.evaluation import MAIN
from federated.federation.profile import OF_TRAINING_CLIENTS, OF_UNSEEN_CLIENTS
from federated.metrics.by_client import CLIENTS
from federated.metrics.dictionary.stated import TUNING_CLIENTS, judges
from federated.metrics.names import metric_label, on_test
from federated.report.findings.results import RunResult, compared
from federated.report.text.phrases import capitalised


def scored_on(results: Sequence[RunResult]) -> str:
    """A few sentences for the head of a report; empty where the runs do not say how many examples they have."""
    known = [run for run in compared(results) if run.data.get("test_examples")]
    in_turn = any(run.left_out for run in results)
    return " ".join(
        _of_metric(metric, [run for run in known if run.main_metric == metric], in_turn=in_turn)
        for metric in dict.fromkeys(run.main_metric for run in known)
    )


def _of_metric(metric: str, runs: Sequence[RunResult], *, in_turn: bool) -> str:
    """in_turn: whether other arms leave sites out, which have sentences of their own."""
    name = capitalised(metric_label(metric))
    said = [f"{name} is measured on {_held_out(metric, runs)}."]
    if unseen := [run for run in runs if run.data.get("unseen_examples")]:
        clients, examples = _range(unseen, "unseen_clients"), _range(unseen, "unseen_examples")
        whose = "1 client that never trains" if clients == "1" else f"{clients} clients that never train"
        fitting = [run for run in unseen if run.data.get("unseen_fitting_examples")]
        more = (
            f" Where a part of the model does not travel, they fit it to {_range(fitting, 'unseen_fitting_examples')} "
            "others of their examples."
            if fitting
            else ""
        )
        said.append(f"The scores called unseen are measured on {examples} examples of {whose}.{more}")
    elif not in_turn and all(_is_natural(run) for run in runs) and any(map(_share_of_training, runs)):
        said.append("No client is set aside to measure clients that never train: see holdout.unseen_clients.")
    return " ".join([*said, *_about_measures(metric, runs)])


def _held_out(metric: str, runs: Sequence[RunResult]) -> str:
    """The number of examples that judge, and whose they are."""
    if metric == on_test(metric):
        return f"{_range(runs, 'test_examples')} held-out examples{_whose(runs)}"
    return (
        f"{_range(runs, 'client_examples')} examples that the clients that train keep to be tested on, each client's "
        "by its own model where it has one"
    )


_CHOSEN_ON = {
    "validation": "the validation examples of participating clients",
    "tuning": "the tuning examples of participating clients",
    TUNING_CLIENTS: "clients that are set aside for tuning",
    "training": "a sample of training examples",
}


def _about_measures(metric: str, runs: Sequence[RunResult]) -> Iterator[str]:
    """The positive class, where thresholds come from, and for how many clients the measure is defined."""
    if classes := dict.fromkeys(run.positive_class for run in runs if run.positive_class):
        yield f"The positive class is {' or '.join(map(repr, classes))}."
    if sets := dict.fromkeys(run.thresholds_chosen_on for run in runs if run.thresholds_chosen_on):
        where = " or ".join(_CHOSEN_ON.get(name, name) for name in sets)
        yield f"Thresholds are chosen on {where}, which do not judge."
    for chosen_by in dict.fromkeys(run.best_by for run in runs if run.best_by):
        yield f"The model of a run is that of its best round by {metric_label(chosen_by)}{_if_it_judges(chosen_by)}."
    stated = (run.stop_by or run.parameters.get("stop.metric") for run in runs)
    for watched in dict.fromkeys(str(name) for name in stated if name):
        yield f"Runs may end early by {_watched(watched)}{_if_it_judges(watched)}."
    for held_out, clients in (("client", "clients"), ("unseen", "unseen_clients")):
        of_clients = on_test(metric).replace("/test_", f"/{held_out}_")
        counts = [(run.final(f"{of_clients}_{CLIENTS}"), run.data.get(clients)) for run in runs]
        if lacking := [(count, of) for count, of in counts if count is not None and of and count < of]:
            count, of = min(lacking)
            yield (
                f"{capitalised(metric_label(of_clients))} is defined for {count:.0f} of {of:.0f} clients; statistics "
                "over clients leave out the others, whose held-out examples lack what it needs."
            )


def _if_it_judges(metric: str) -> str:
    """A word on a choice by the data that judge."""
    return ", which also judges it, so its score is too good" if judges(metric) else ""


def _watched(metric: str) -> str:
    """The metric of a stop rule in words; of an older run that does not say of which set, the main measure."""
    return "the main measure" if metric == MAIN else metric_label(metric)


def _whose(runs: Sequence[RunResult]) -> str:
    """The origin of the test examples, as far as it is the same in all runs."""
    if not any(_is_natural(run) for run in runs):
        return ", which are set aside before the data is divided among the clients"
    if not all(_is_natural(run) for run in runs):
        return ""
    shares = [_share_of_training(run) for run in runs]
    if min(shares) == 1:
        return ", all of clients that also train, on other examples"
    if max(shares) == 0:
        return ", all of clients that do not train"
    unseen = [_share(run, OF_UNSEEN_CLIENTS) for run in runs]
    also = f", and {_percents(unseen)} of clients that never train" if max(unseen) > 0 else ""
    return f", {_percents(shares)} of them of clients that also train, on other examples{also}"


def _share_of_training(run: RunResult) -> float:
    """The share of the test examples that belong to clients that train."""
    return _share(run, OF_TRAINING_CLIENTS)


def _share(run: RunResult, name: str) -> float:
    """Of the test examples; 0 where it is not known, as in older stores."""
    return float(run.data.get(name, 0) / run.data["test_examples"])


def _percents(shares: Sequence[float]) -> str:
    """`40 %`, or `40 % to 45 %` where runs differ."""
    return " to ".join(dict.fromkeys(percent(share) for share in (min(shares), max(shares))))


def percent(share: float) -> str:
    """`40 %`; what is neither none nor all is not rounded to it."""
    if 0 < share < 0.005:
        return "less than 1 %"
    return "more than 99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


def _is_natural(run: RunResult) -> bool:
    """Whether its clients are those of the data, and it is known which of them the test examples belong to."""
    return run.parameters.get("partitioner") == "by_client" and OF_TRAINING_CLIENTS in run.data


def _range(runs: Sequence[RunResult], name: str) -> str:
    """`360`, or `340 to 360` where runs differ."""
    values = sorted({int(run.data[name]) for run in runs})
    ends = [f"{value:,}" for value in (values[0], values[-1])]
    return ends[0] if len(values) == 1 else " to ".join(ends)
