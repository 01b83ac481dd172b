"""Metrics of the clock: real seconds, and those of a simulated network."""

from __future__ import annotations

from federated.metrics.dictionary.metric import Row, lower, row

EACH_ROUND, EACH_EVALUATION, END = "each round", "each evaluation", "at the end"

ROWS: tuple[Row, ...] = (
    row(
        lower("system/simulated_seconds"),
        unit="s",
        when=EACH_ROUND,
        meaning=(
            "how long the round would take on the clients' network "
            "([docs/communication.md](../docs/communication.md); where `network` is stated)"
        ),
    ),
    row(
        lower("system/simulated_seconds_total", every_round=True),
        unit="s",
        when=EACH_ROUND,
        meaning="the same, all rounds so far",
    ),
    row(
        lower("system/training_seconds"),
        unit="s",
        when=EACH_ROUND,
        meaning="wall time of local training",
    ),
    row(
        lower("system/compression_seconds"),
        unit="s",
        when=EACH_ROUND,
        meaning="wall time of clipping, encoding, counting and decoding the uplink",
    ),
    row(
        lower("system/aggregation_seconds"),
        unit="s",
        when=EACH_ROUND,
        meaning="wall time of the server's step",
    ),
    row(
        lower("system/evaluation_seconds"),
        unit="s",
        when=EACH_EVALUATION,
        meaning="wall time of evaluation",
    ),
    row(
        lower("system/run_seconds"),
        unit="s",
        when=END,
        meaning="wall time of the run",
    ),
    row(
        lower("system/overhead_seconds"),
        unit="s",
        when=END,
        meaning=(
            "of it, what is neither training, compression, aggregation nor evaluation: data, Prefect, MLflow, the "
            "model, pictures and tables"
        ),
    ),
    row(
        lower("system/shared_seconds"),
        unit="s",
        when=END,
        meaning=(
            "wall time of the one pass of a model's frozen part over all examples, which later runs share, and which "
            "is not in `system/run_seconds`; 0 where an earlier run had made it, or nothing runs only once"
        ),
    ),
)
