"""Metrics of privacy: what is promised, what mechanisms do, and what canaries show."""

from __future__ import annotations

import re

from federated.metrics.dictionary.metric import EACH_EVALUATION, Row, lower, neither, row
from federated.metrics.ranges import SHARE

_EACH_ROUND = "each round"
_OF_CANARIES = "privacy/empirical_epsilon_{final,iterates,informed}"

ZEROED = "privacy/zeroed_clients"

ROWS: tuple[Row, ...] = (
    row(
        neither("privacy/clipped_clients"),
        unit="clients",
        when="each round",
        meaning="updates that were bounded before encoding",
    ),
    row(
        neither("privacy/clipped_examples", SHARE),
        unit="share",
        when=_EACH_ROUND,
        meaning="of the examples in all private steps of the round, those whose gradient was bounded (`dp_sgd`)",
    ),
    row(
        neither(ZEROED, every_round=True),
        unit="clients",
        when=_EACH_ROUND,
        meaning=(
            "those of them that were not finite and counted as zeros (only with a mechanism that guarantees something: "
            "without one, such an update ends the run)"
        ),
    ),
    row(
        lower("privacy/epsilon"),
        unit="1",
        when=EACH_EVALUATION,
        meaning=(
            "epsilon of differential privacy that is spent so far, or by all rounds where `stop` may end the run, at "
            "`privacy/delta`; the run's tags say of what and on which assumptions (only with a mechanism that "
            "guarantees something)"
        ),
    ),
    row(
        lower("privacy/epsilon_median_client"),
        unit="1",
        when=EACH_EVALUATION,
        meaning=(
            "the same of the median client, where every client has an epsilon of its own by its size and the rounds "
            "in which it was heard (`dp_sgd`); `privacy/epsilon` is the largest"
        ),
    ),
    row(
        lower("privacy/epsilon_extrapolated"),
        unit="1",
        when=EACH_EVALUATION,
        meaning=(
            "the same in the larger federation of `privacy.extrapolate`; of the one that was run, nothing is guaranteed"
        ),
    ),
    row(
        lower("privacy/delta", SHARE),
        unit="share",
        when=EACH_EVALUATION,
        meaning=(
            "delta of that guarantee: stated, or the mechanism's own, or N^-1.1, and at most 1e-5 of a client's own "
            "update"
        ),
    ),
    row(
        neither("privacy/norm"),
        unit="1",
        when="each round",
        meaning="the norm that updates are clipped to from the next round on (only where the mechanism adapts it)",
    ),
    row(
        neither("privacy/noise_multiplier"),
        unit="1",
        when=EACH_EVALUATION,
        meaning="deviation of the noise over the clipping norm that was found for `privacy.target_epsilon`",
    ),
    row(
        neither("privacy/canary_clients"),
        unit="canaries",
        when=_EACH_ROUND,
        meaning="canaries whose updates were heard, which are in no other figure of a round (`privacy.canaries`)",
    ),
    row(
        neither("communication/canary_bytes"),
        unit="bytes",
        when=_EACH_ROUND,
        meaning="payloads of their updates, which no real federation would send and no other figure counts",
    ),
    row(
        lower(f"{_OF_CANARIES}_lower"),
        unit="1",
        when=EACH_EVALUATION,
        meaning=(
            "epsilon that the run has at least, at its delta, with 95 % confidence (`informed`: 99 %): a test by fixed "
            "ranks of the canaries' traces tells them from directions that took no part. `final`: by the initial and "
            "the final model; `iterates`: by each canary's largest trace in a round; `informed`: by what a round "
            "releases beyond what all others sent, which the guarantee takes as known, in the sum of the rounds and in "
            "the largest. Below the epsilon that is promised, or the promise is broken; a small one proves nothing, as "
            "better attacks may exist"
        ),
    ),
    row(
        lower(f"{_OF_CANARIES}_{{fitted,known}}"),
        unit="1",
        when=EACH_EVALUATION,
        meaning=(
            "estimates of epsilon, and no bounds, of normal laws fitted to the same traces (Andrew et al. 2023): with "
            "the deviation of the canaries, which is too high for a small epsilon; or with that of directions that "
            "took no part"
        ),
    ),
)

_OF_TEST_SET = "generalisation/test_"
COVERED = (
    _OF_TEST_SET,
    "generalisation/global_test_",
    "train/update_norm",
    "privacy/epsilon",
    "privacy/delta",
    "privacy/norm",
    "privacy/noise_multiplier",
    "privacy/empirical_epsilon",
    "privacy/canary_clients",
    "communication/canary_bytes",
)
"""Beginnings of metrics that follow from what a private run releases and from no client's data besides."""

_READS_CLIENTS = re.compile(r"_constant_|_(sensitivity|specificity)(_|$)(?!.*at_threshold_)")
"""In the names of exceptions: constants are fitted to training targets, and thresholds chosen on clients' examples."""

NOT_COVERED = (
    "not covered by epsilon: every metric but those of the central test set, train/update_norm, canaries and the "
    "guarantee; training loss, drift, bytes, the number of clipped clients and what clients' own examples measure tell "
    "of clients without noise, and so do constant answers and thresholds that are chosen on clients' examples, with "
    "the sensitivity and specificity at these; what is fitted to raw training data before the first round and comes "
    "with the model is not covered either (target.standardise, scalers, vocabularies, balanced class weights), nor is "
    "the choice of a round by clients' examples (stop, evaluation.best_by); "
    "each epsilon is of one run: runs of one seed share their noise, so at most one of them may be published, and "
    "who sees runs of several seeds, or with privacy.secure, has to add up"
)


OWN_MODELS_NOT_COVERED = (
    "clients' own models are not covered by epsilon: they are trained on raw data and never sent, so nothing bounds "
    "what they tell, nor what their scores do, those on the central test set among them (only `global_test` ones are "
    "covered); what one client keeps is not released, and not private if published"
)


def is_covered(name: str, *, own_models: bool = False) -> bool:
    """Whether a metric may be published of a private run, as far as its guarantee goes.

    own_models: clients are scored with models of their own, which the mechanism does not reach.
    """
    if own_models and name.startswith(_OF_TEST_SET):
        return False
    return name.startswith(COVERED) and not _READS_CLIENTS.search(name)


def not_covered(*, own_models: bool) -> str:
    """What a private run's epsilon does not cover, in a sentence without a stop. own_models: see `is_covered`."""
    return f"{OWN_MODELS_NOT_COVERED}; {NOT_COVERED}" if own_models else NOT_COVERED
