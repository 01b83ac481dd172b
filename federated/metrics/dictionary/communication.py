"""Metrics of the bytes sent and the compression error."""

from __future__ import annotations

from federated.metrics.dictionary.metric import Row, higher, lower, neither, row
from federated.metrics.ranges import ANY, COUNT

EACH_ROUND, EACH_TENTH_ROUND = "each round", "each tenth round"
COSINE = (-1.0, 1.0)

ROWS: tuple[Row, ...] = (
    row(
        lower("communication/uplink_bytes"),
        unit="bytes",
        when=EACH_ROUND,
        meaning="payloads of all clients to the server",
    ),
    row(
        lower("communication/downlink_bytes"),
        unit="bytes",
        when=EACH_ROUND,
        meaning="payloads of the server to all clients of the cohort",
    ),
    row(
        lower("communication/uplink_bytes_total", every_round=True),
        unit="bytes",
        when=EACH_ROUND,
        meaning="the same, all rounds so far",
    ),
    row(
        lower("communication/downlink_bytes_total", every_round=True),
        unit="bytes",
        when=EACH_ROUND,
        meaning="the same, all rounds so far",
    ),
    row(
        lower("communication/{uplink,downlink}_client_bytes_{mean,max}"),
        unit="bytes",
        when=EACH_ROUND,
        meaning="what a client of the cohort sent or received: the mean and the most",
    ),
    row(
        higher("communication/uplink_ratio", COUNT, every_round=True),
        higher("communication/downlink_ratio", COUNT),
        unit="times",
        when=EACH_ROUND,
        meaning="the whole vector as 32-bit floats, for every client, over what was sent",
    ),
    row(
        lower("communication/{uplink/update,downlink/model,downlink/difference}_bytes"),
        unit="bytes",
        when=EACH_ROUND,
        meaning=(
            "of these, the content of updates; of whole models; of differences (where `compression.downlink` is "
            "one)"
        ),
    ),
    row(
        lower("communication/{uplink,downlink}/statistics_bytes"),
        unit="bytes",
        when=EACH_ROUND,
        meaning="running statistics of batch normalisation, where they travel by themselves",
    ),
    row(
        lower("communication/downlink/residual_bytes"),
        unit="bytes",
        when=EACH_ROUND,
        meaning="with `aggregator: lora_residual` and `lora_stack`: what is added beside the frozen weights",
    ),
    row(
        lower("communication/{uplink,downlink}/variate_bytes"),
        unit="bytes",
        when=EACH_ROUND,
        meaning=(
            "control variates of scaffold, 32-bit floats beside updates and models. What other algorithms send beside "
            "them has such a metric by its name: `loss` and `mu` of adaptive fedprox, `steps` of fednova, `gradient` "
            "and `momentum` of mime_lite, `step_bound` of q_fedavg, `cluster` of ifca and one's own names"
        ),
    ),
    row(
        lower("communication/{uplink,downlink}/{advertise_keys,share_keys,consistency,unmask}_bytes"),
        unit="bytes",
        when=EACH_ROUND,
        meaning=(
            "the messages of secure aggregation by step, and the server's answers to them; those that carry the masked "
            "updates are in `communication/uplink/update_bytes`"
        ),
    ),
    row(
        lower("communication/{uplink,downlink}/metadata_bytes"),
        unit="bytes",
        when=EACH_ROUND,
        meaning="headers of the payloads",
    ),
    row(
        lower("communication/uplink_nmse"),
        unit="squared norms",
        when=EACH_ROUND,
        meaning="squared error of the decoded update over the update's squared norm, mean over the cohort; 0 = exact",
    ),
    row(
        higher("communication/uplink_cosine", COSINE),
        unit="-1 to 1",
        when=EACH_ROUND,
        meaning="cosine between the decoded update and the update, mean over the cohort",
    ),
    row(
        neither("communication/uplink_bias", ANY),
        unit="relative",
        when=EACH_ROUND,
        meaning=(
            "how much longer than the update the decoded one is along it, mean over the cohort; zero in the mean "
            "over draws (compressors that claim no bias)"
        ),
    ),
    row(
        lower("communication/uplink_bias_share", ANY),
        unit="share",
        when=EACH_TENTH_ROUND,
        meaning=(
            "how much of the squared error is the same whatever the compressor draws, by two draws for one client "
            "of each shard: this part does not average out over clients; 0 = none, known to about one over the root "
            "of the number of parameters (compressors that claim no bias)"
        ),
    ),
    row(
        lower("communication/uplink_residual_norm"),
        unit="L2 norm",
        when=EACH_ROUND,
        meaning="what error feedback has not sent yet, mean over the cohort",
    ),
    row(
        lower("communication/downlink_nmse"),
        unit="squared norms",
        when=EACH_ROUND,
        meaning=(
            "squared distance of the model that clients receive from the server's, over the squared norm of the "
            "server's; 0 = exact (only where the downlink is lossy)"
        ),
    ),
    row(
        higher("communication/downlink_cosine", COSINE),
        unit="-1 to 1",
        when=EACH_ROUND,
        meaning="cosine between the model that clients receive and the server's (only where the downlink is lossy)",
    ),
)
