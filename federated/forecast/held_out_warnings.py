"""Warnings about what is held out: too little of it, copies of it in training, and data that choose what they judge."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from data_partitioners.partition import sizes_of
from federated.config.evaluation import MAIN
from federated.config.run import RunConfig
from federated.examples.duplicates import copies_of
from federated.federation.federation import Federation
from federated.foundation.texts import listed
from federated.holdouts.time_series import sign_of_time
from federated.metrics.client_intervals import FEWEST_CLIENTS
from federated.metrics.dictionary.stated import CHOOSING, NEVER_TRAINED, judges

_MOST_NAMED = 5


def of_held_out(config: RunConfig, federation: Federation) -> list[str]:
    """Warnings about the held-out data of one run; "" where there is none."""
    return [
        _of_time(config, federation),
        *_of_columns(config, federation),
        *_of_choices(config, federation),
        *_of_own_shares(config, federation),
        _of_unseen(federation),
        _of_unseen_fit(config, federation),
        _of_groups(config, federation),
        *_of_copies(config, federation),
    ]


def _of_time(config: RunConfig, federation: Federation) -> str:
    """A time series whose neighbours are on both sides of a random split."""
    holdout, examples = config.holdout, federation.examples
    drawn = (
        examples.test is None
        or holdout.test is not None
        or holdout.client
        or holdout.validation
        or holdout.tuning
    )
    if holdout.by.name != "random" or not drawn or (sign := sign_of_time(examples)) is None:
        return ""
    return (
        f"holdout.by: random splits what looks like a time series ({sign.reason}), so neighbours in time are on both "
        f"sides and the scores are probably too good; {sign.instead}"
    )


def _of_columns(config: RunConfig, federation: Federation) -> Iterable[str]:
    """A column that says what is held out, and that the model sees as well."""
    by, columns = config.holdout.by, federation.examples.reading.columns
    if by.name not in ("column", "groups"):
        return
    seen = {column.name for column in columns if column.role in ("numeric", "categorical")}
    if (name := by.arguments["column"]) in seen:
        yield (
            f"holdout.by: {by.name} holds out by the column {name!r}, which is also an input of the model; name it in "
            "the data set's `drop`, unless the model is to know it"
        )


def _of_choices(config: RunConfig, federation: Federation) -> Iterable[str]:
    """A stop rule, or a choice of the best round, on data that judge; with a tuning part, it is refused."""
    stop = None if config.stop is None else config.stop.metric
    watched = {
        "stop.metric": (stop, "ends the run"),
        "evaluation.best_by": (config.evaluation.best_by, "chooses the round"),
    }
    choosing = [each for each in CHOOSING if each in federation.held_out_sets()]
    instead = "validation" if "validation" in choosing else "tuning"
    for field, (metric, does) in watched.items():
        by_main = metric == MAIN and not choosing
        if metric is None or not (by_main or judges(metric)):
            continue
        measure = metric.partition("_")[2] or "..."
        yield (
            f"{field}: {metric} {does} by the data that judge it; holdout.{instead}, such as 0.1, sets others aside "
            f"to choose by: generalisation/{instead}_{measure}"
        )


def _of_own_shares(config: RunConfig, federation: Federation) -> Iterable[str]:
    """Clients that cannot be judged by their own held-out examples."""
    if not config.holdout.client:
        return
    own = sizes_of(federation.own_held_out)
    without = np.flatnonzero((own == 0) & (federation.sizes > 0))
    if len(without):
        names = listed([federation.names[at] for at in without], _MOST_NAMED)
        yield (
            f"holdout.client: {len(without)} of {len(own)} clients ({names}) have too few examples (or groups, or "
            f"times) for a share of {config.holdout.client:g}, so nothing is known of what the model does for them"
        )
    classes, targets = federation.examples.classes, federation.examples.targets
    if classes is None:
        return
    strange = sum(
        len(np.setdiff1d(targets[held], targets[trained])) > 0
        for held, trained in zip(federation.own_held_out, federation.clients, strict=True)
        if len(held) and len(trained)
    )
    if strange:
        yield (
            f"holdout.client: {strange} of {len(own)} clients are tested on a class that they themselves never "
            "train on"
        )


def _of_unseen(federation: Federation) -> str:
    """Unseen clients that are too few to say how much a gap is chance."""
    unseen = len(federation.unseen)
    if not 0 < unseen < FEWEST_CLIENTS:
        return ""
    too_few = f"{unseen} {'is' if unseen == 1 else 'are'} too few"
    return (
        f"holdout.unseen_clients: {too_few} to say how unseen clients spread, so the participation gap has no interval "
        f"over clients; {FEWEST_CLIENTS} or more have one"
    )


def _of_unseen_fit(config: RunConfig, federation: Federation) -> str:
    """Clients that should fit a part of the model, of which there are none; in a study that leaves out sites in turn,
    the arms with all of them."""
    if config.evaluation.unseen_fit is None or federation.unseen:
        return ""
    return (
        "evaluation.unseen_fit has no effect: it is of clients that never take part, and there are none; see "
        "holdout.unseen_clients"
    )


def _of_groups(config: RunConfig, federation: Federation) -> str:
    """Groups that are at an unseen client, which stays whole, and at one that trains."""
    if not federation.linked:
        return ""
    whose = "unseen or tuning clients" if federation.tuning_names else "unseen clients"
    return (
        f"holdout.by: {config.holdout.by.label()}: {federation.linked:,} examples of {whose} are of groups that other "
        "clients have as well"
    )


def _of_copies(config: RunConfig, federation: Federation) -> Iterable[str]:
    """Held-out examples that are trained on as well, and those that judge and choose."""
    held_out = federation.held_out_sets()
    choosing = [held_out[name] for name in CHOOSING if name in held_out]
    judging = {name: held for name, held in held_out.items() if name not in CHOOSING} if choosing else {}
    of_choosing = copies_of(federation.examples.hashes, judging, np.concatenate(choosing or [np.arange(0)]))
    for name, count in of_choosing.items():
        if count:
            yield (
                f"duplicates: {count:,} of {len(held_out[name]):,} examples of the {name} set have the same inputs as "
                f"an example that chooses{_cure(name, config)}"
            )
    for name, count in federation.copies.items():
        if count:
            cure = _cure(name, config)
            yield (
                f"duplicates: {count:,} of {len(held_out[name]):,} examples of the {name} set have the same inputs as "
                f"a training example{cure}"
            )


def _cure(name: str, config: RunConfig) -> str:
    """The setting that keeps the copies of a set on one side; whole clients stay whole."""
    curable = name not in NEVER_TRAINED and config.holdout.duplicates == "ignore"
    return "; holdout.duplicates: together keeps copies on one side" if curable else ""
