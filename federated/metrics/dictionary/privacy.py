"""Metrics of privacy: what is promised, what mechanisms do, and what canaries show."""

from __future__ import annotations

from federated.metrics.dictionary.metric import EACH_EVALUATION, Row, lower, neither, row
from federated.metrics.ranges import SHARE

_EACH_ROUND = "each round"
_OF_CANARIES = "privacy/empirical_epsilon_{final,iterates}"

ROWS: tuple[Row, ...] = (
    row(
        neither("privacy/clipped_clients"),
        unit="clients",
        when="each round",
        meaning="updates that were bounded before encoding",
    ),
    row(
        neither("privacy/zeroed_clients"),
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
            "epsilon of differential privacy that is spent so far, at `privacy/delta`; the run's tags say of what and "
            "on which assumptions (only with a mechanism that guarantees something)"
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
        meaning="delta of that guarantee: stated, or N^-1.1",
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
            "epsilon that the run has at least, at its delta, with 95 % confidence: a test by fixed ranks of the "
            "canaries' traces tells them from directions that took no part. `final`: by the initial and the final "
            "model; `iterates`: by each canary's largest trace in a round. Below the epsilon that is promised, or "
            "the promise is broken; a small one proves nothing, as better attacks may exist"
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

COVERED = (
    "generalisation/test_",
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

NOT_COVERED = (
    "not covered by epsilon: every metric but those of the central test set, train/update_norm, canaries and the "
    "guarantee; training loss, drift, bytes, the number of clipped clients and what clients' own examples measure tell "
    "of clients without noise; each epsilon is of one run, and who sees several runs of the same clients has to add up"
)


def is_covered(name: str) -> bool:
    """Whether a metric may be published of a private run, as far as its guarantee goes."""
    return name.startswith(COVERED)
