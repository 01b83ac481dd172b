"""Metrics of what is promised of privacy, and of what canaries show."""

from __future__ import annotations

from federated.metrics.dictionary.metric import EACH_EVALUATION, Row, lower, neither, row

_EACH_ROUND = "each round"
_OF_CANARIES = "privacy/empirical_epsilon_{final,iterates}"

ROWS: tuple[Row, ...] = (
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
