"""Metrics of the clock, real and of a simulated network, and of what a run used: the quantities of its bill."""

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
    row(
        lower("system/processor_seconds"),
        unit="core seconds",
        when=EACH_ROUND,
        meaning=(
            "processor time of the round, of all cores together, of all clients and the server; not where processes of "
            "Ray train"
        ),
    ),
    row(
        lower("system/gpu_seconds"),
        unit="GPU seconds",
        when=EACH_ROUND,
        meaning=(
            "wall time of a round on a GPU, divided by the number of runs at a time (`--workers`) that share the GPU; "
            "only where there is one"
        ),
    ),
    row(
        lower("system/energy_joules"),
        unit="J",
        when=EACH_ROUND,
        meaning=(
            "energy of the machine's processors and memory during the round, whatever runs on them, by their own "
            "counters (RAPL); where these can be read and no other run shares the machine"
        ),
    ),
    row(
        lower("bill/rounds"),
        unit="rounds",
        when=END,
        meaning="rounds that were run",
    ),
    row(
        lower("bill/core_seconds"),
        unit="core seconds",
        when=END,
        meaning="`system/processor_seconds` of all rounds; not where a round has none",
    ),
    row(
        lower("bill/gpu_seconds"),
        unit="GPU seconds",
        when=END,
        meaning="`system/gpu_seconds` of all rounds; not where a round has none",
    ),
    row(
        lower("bill/energy_joules"),
        unit="J",
        when=END,
        meaning="`system/energy_joules` of all rounds; not where a round has none",
    ),
    row(
        lower("bill/data_bytes"),
        unit="bytes",
        when=END,
        meaning=(
            "the participating clients' training examples as they are before any preprocessing, inputs and targets: "
            "what would travel to have them in one place ([docs/bill.md](../docs/bill.md))"
        ),
    ),
)
