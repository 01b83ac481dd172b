"""Warnings about guarantees that mean little, what a run reads beside them, and canaries that show little."""

from __future__ import annotations

from collections.abc import Iterator

from federated.federation.loading import load_examples
from federated.losses.of_classes.class_weights import counts_all_classes
from federated.metrics.dictionary.privacy import OWN_MODELS_NOT_COVERED, is_covered
from federated.participation import SamplingLaw
from federated.preprocessing.raw_texts import PIECES
from federated.privacy.accounting import spent
from federated.privacy.accounting.delta import NOTABLE_DELTA, large_delta, notable_delta
from federated.run.clients.cohort import expected_clients, expected_updates
from federated.run.preparing.canaries import quantile_of_clients
from federated.run.preparing.meetings import lost_rounds, meetings, why_lost
from federated.run.preparing.promise import Promise, num_units
from federated.run.preparing.training.losses import stated_loss
from federated.run.setup import Setup

_NOTABLE = 0.05
_CROWDED = 1 / 20
_MUCH = 2.0
_MOST_OF_A_SUM = 0.5
_NOT_LEARNT = ("hashing", *PIECES)
"""Inputs of texts whose columns are known before any text is."""


def of_transport(setup: Setup) -> Iterator[str]:
    """A protocol that protects cohorts of this size less than is usual, rounds that are lost, sums that are of one."""
    protocol, config = setup.parts.transport.protocol, setup.config
    if protocol is None:
        return
    yield protocol.doubts(round(expected_clients(setup)))
    rounds = list(meetings(config, setup.trainers, setup.parts))
    if lost := lost_rounds(config, setup.trainers, setup.parts):
        yield (
            f"transport: with seed {config.seed} {len(lost):,} of {len(rounds):,} rounds are lost, in which the model "
            f"does not learn; the first is {lost[0]}"
        )
    opened = (each for each in rounds if not why_lost(setup.parts, each))
    weights = [each.weights[~each.lost] for each in opened if each.weights is not None]
    if (share := max((float(each.max() / each.sum()) for each in weights), default=0.0)) > _MOST_OF_A_SUM:
        yield (
            f"transport: with cohort.weighting: examples one client is up to {share:.0%} of a sum, which then is "
            "nearly its own update; state cohort.weighting: uniform, or a partitioner with sizes that are more alike"
        )


def of_privacy(setup: Setup) -> Iterator[str]:
    """A delta that permits too much, and choices of a round by what the guarantee does not cover."""
    promise, privacy = setup.promise, setup.parts.privacy
    if promise is None:
        return
    of = num_units(setup.config, privacy, promise.participated(setup.last_round))
    if promise.delta >= 1 / of:
        yield (
            f"privacy.delta: {large_delta(promise.delta, of, promise.unit)}; state less, such as {of**-1.1:.2g}, or "
            "leave it out"
        )
    elif promise.delta > NOTABLE_DELTA:
        yield f"privacy.delta: {notable_delta(promise.delta, of, promise.unit)}; state less, such as 1e-5"
    yield from _of_small_clients(promise, setup.last_round)
    yield from _of_cohorts(setup, promise)
    if learnt := list(_fitted_before(setup)):
        yield (
            f"privacy: epsilon does not cover what is fitted to the raw training data of all clients before the first "
            f"round: {'; '.join(learnt)}; it tells of them without noise, and comes with the model"
        )
    own = setup.own_models_not_covered
    if own:
        yield f"privacy: {OWN_MODELS_NOT_COVERED}"
    for field, metric, tells in (
        ("stop.metric", None if setup.stop is None else setup.stop.metric, "when the run ends"),
        ("evaluation.best_by", setup.best_by, "which round is kept"),
    ):
        if metric is not None and not is_covered(metric, own_models=own):
            out = f"leave {field.removesuffix('.metric')} out"
            refused = own or setup.config.holdout.has_tuning  # by the central test set then
            yield (
                f"{field}: {metric} is not covered by epsilon, and {tells} would tell of it; "
                f"{out if refused else f'watch the central test set, or {out}'}"
            )


def _fitted_before(setup: Setup) -> Iterator[str]:
    """What the run fits to the training examples of all clients, and no mechanism reaches."""
    config, examples = setup.config, setup.federation.examples
    if config.target.standardise:
        yield "target.standardise, mean and deviation of the targets"
    loss = stated_loss(config, examples)
    if loss.learn is not None or counts_all_classes(loss.weigh):
        yield f"loss: {config.loss.label() if config.loss else 'null'}, balanced weights of classes"
    if examples.weights is not None:
        yield "the mean by which weights of examples are divided"
    learnt = examples.preprocessing if load_examples(config.dataset_as_read).fit is not None else None
    if learnt is not None and learnt.values.get("inputs") not in _NOT_LEARNT:
        yield f"dataset: {config.dataset.label()}, preprocessing such as scalers, categories or a vocabulary"


def _of_small_clients(promise: Promise, rounds: int) -> Iterator[str]:
    """Clients that make epsilon, or the noise for it, much larger than the others need."""
    of, median, worst = (
        promise.participated(rounds),
        promise.of_median_client(rounds),
        promise.spent(rounds).epsilon,
    )
    if of.local_steps is None or median is None or worst < _MUCH * median:
        return
    at = int(of.local_steps.by_epsilon()[-1])
    yield (
        f"privacy: epsilon {worst:.3g} is of the worst client, with {of.examples[at]:,} examples, each in a local step "
        f"with probability {of.local_steps.shares[at]:.3g}; of the median client it is {median:.3g}; a smaller "
        "local.batch_size, or clients without so few examples, need less noise"
    )


def _of_cohorts(setup: Setup, promise: Promise) -> Iterator[str]:
    """Cohorts of a fixed size, where independent clients would have a much smaller epsilon from the same noise."""
    of = promise.participated(setup.last_round)
    share = of.cohort / of.clients
    if not setup.parts.privacy.amplifies or of.law is not SamplingLaw.FIXED_SIZE or share >= 1:
        return
    alone = of._replace(law=SamplingLaw.POISSON, share=share, most=of.rounds, apart=1)
    epsilon, less = (spent(promise.guarantee(each), promise.delta).epsilon for each in (of, alone))
    if epsilon >= _MUCH * less:
        yield (
            f"cohort.sampling: {setup.config.cohort.sampling.label()}: epsilon is {epsilon:.3g} because everybody may "
            f"know who takes part; with poisson the same noise has {less:.3g}"
        )


def of_canaries(setup: Setup) -> list[str]:
    """Canaries that are many among the clients or the parameters, or too seldom heard to leave a trace."""
    count = setup.config.privacy.canaries
    if not count:
        return []
    heard = 1 - setup.parts.participation.losses
    updates = expected_updates(setup)
    canaries = updates - expected_clients(setup) * heard
    what, share = f"privacy.canaries: {count}", canaries / updates
    turns, directions = setup.config.rounds * canaries / count, setup.parts.travelling.num_moving
    found = []
    if share >= _NOTABLE:
        found.append(
            f"{what} are {share:.0%} of the federation: of about {updates:.3g} updates of a round {canaries:.3g} are "
            "theirs, so what clients learned counts for as much less, and the model moves at random besides"
        )
    if turns < 1:
        found.append(
            f"{what}: each takes part {turns:.2g} times in {setup.config.rounds} rounds in the mean, so most leave no "
            "trace, and the epsilon that they show is near 0 whatever the mechanism"
        )
    if (quantile := quantile_of_clients(setup.config, len(setup.trainers.eligible))) is not None:
        found.append(
            f"{what}: the norm that adapts settles where {quantile:.3g} of the clients' updates are within it, as no "
            "canary's ever is"
        )
    if count > directions * _CROWDED:
        found.append(
            f"{what}: the model has {directions:,} parameters that travel, too few directions for so many, which hide "
            "each other; what they show is too small"
        )
    return found
