"""Metrics of local training."""

from __future__ import annotations

from federated.metrics.dictionary.metric import Row, higher, lower, neither, row
from federated.metrics.ranges import ANY, SHARE

EACH_ROUND, EACH_EVALUATION = "each round", "each evaluation"
COSINE = (-1.0, 1.0)

ROWS: tuple[Row, ...] = (
    row(
        neither("train/{trained,frozen}_parameters"),
        unit="parameters",
        when="once",
        meaning=(
            "of the model, where some are frozen (`trained`): those that are trained, and may travel, and those that "
            "stay as they were"
        ),
    ),
    row(
        lower("train/loss", ANY, every_round=True),
        unit="of the loss",
        when=EACH_ROUND,
        meaning="mean loss over the examples as clients trained on them, weighted like their updates",
    ),
    row(
        neither("train/cohort_clients"),
        unit="clients",
        when=EACH_ROUND,
        meaning="clients that took part",
    ),
    row(
        neither("train/cohort_examples"),
        unit="examples",
        when=EACH_ROUND,
        meaning="training examples they hold",
    ),
    row(
        neither("train/lost_clients"),
        unit="clients",
        when=EACH_ROUND,
        meaning="those of them that failed before they sent (`cohort.sampling: unreliable`)",
    ),
    row(
        neither("train/round_lost", SHARE),
        unit="0 or 1",
        when=EACH_ROUND,
        meaning="1 where secure aggregation lost the round: too few clients were left to open the sum, so the model "
        "learned nothing",
    ),
    row(
        neither("train/update_norm"),
        unit="L2 norm",
        when=EACH_ROUND,
        meaning="how far the global model moved",
    ),
    row(
        neither("train/client_update_norm_{mean,max}"),
        unit="L2 norm",
        when=EACH_ROUND,
        meaning=(
            "how far the clients' models moved, before anything is bounded or encoded: mean and largest of the "
            "cohort (unless `evaluation.drift: false`, as the next two)"
        ),
    ),
    row(
        neither("train/update_cosine_mean", COSINE),
        unit="-1 to 1",
        when=EACH_ROUND,
        meaning=(
            "mean cosine between the updates of two clients, over all pairs of the cohort that moved; absent below "
            "two"
        ),
    ),
    row(
        neither("train/gradient_diversity"),
        unit="1 / clients and up",
        when=EACH_ROUND,
        meaning=(
            "sum of the updates' squared norms over the squared norm of their sum (Yin et al. 2018): 1 / C where "
            "all agree, 1 where they are orthogonal, more where they cancel"
        ),
    ),
    row(
        lower("train/lora_error", (0.0, float("inf"))),
        unit="0 and up",
        when=EACH_ROUND,
        meaning=(
            "with low-rank adapters: how far the product of the mean factors is from the mean of the clients' "
            "products, as a share of the latter, Frobenius norms over all layers: what `aggregator: mean` loses, "
            "whatever the aggregator. 0 where A is frozen; absent where the server reads sums alone, has several "
            "models, or takes no mean"
        ),
    ),
    row(
        lower("train/lora_discarded", SHARE),
        unit="0 to 1",
        when=EACH_ROUND,
        meaning="with `aggregator: lora_svd`: share of the mean product's squared norm that the rank cannot hold",
    ),
    row(
        neither("train/clusters"),
        neither("train/{largest,smallest}_cluster"),
        unit="clusters; clients",
        when=EACH_EVALUATION,
        meaning=(
            "with `ifca` and `cfl`: how many of the server's models are some client's, and the clients of the one with "
            "most and of the one with fewest. Where clients choose, by the models after the round"
        ),
    ),
    row(
        neither("train/cluster_changes", SHARE),
        unit="0 to 1",
        when=EACH_EVALUATION,
        meaning=(
            "share of the clients that have trained whose cluster is another than the one in which they trained last"
        ),
    ),
    row(
        higher("train/cluster_agreement", COSINE),
        unit="-1 to 1",
        when=EACH_EVALUATION,
        meaning=(
            "adjusted Rand index of the clusters and the true groups: 1 where they are the same, 0 as by chance (where "
            "the partitioner knows groups: `rotation`, `label_permutation`; Hubert and Arabie 1985)"
        ),
    ),
)
