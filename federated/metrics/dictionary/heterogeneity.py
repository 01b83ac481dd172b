"""Metrics of the partition, logged before the first round."""

from __future__ import annotations

from federated.metrics.dictionary.metric import Row, neither, row
from federated.metrics.ranges import ANY, SHARE

START = "step 0"

ROWS: tuple[Row, ...] = (
    row(
        neither("heterogeneity/clients"),
        unit="clients",
        when=START,
        meaning="participating clients",
    ),
    row(
        neither("heterogeneity/empty_clients"),
        unit="clients",
        when=START,
        meaning="of these, how many hold no training example",
    ),
    row(
        neither("heterogeneity/smallest_client_examples"),
        unit="examples",
        when=START,
        meaning="training examples of the smallest client",
    ),
    row(
        neither("heterogeneity/largest_client_examples"),
        unit="examples",
        when=START,
        meaning="training examples of the largest client",
    ),
    row(
        neither("heterogeneity/largest_share", SHARE),
        unit="0 to 1",
        when=START,
        meaning="share of the training examples that the largest client holds",
    ),
    row(
        neither("heterogeneity/size_gini", SHARE),
        unit="0 to 1",
        when=START,
        meaning="Gini coefficient of the clients' sizes; 0 = all equal",
    ),
    row(
        neither("heterogeneity/size_variation"),
        unit="0 and up",
        when=START,
        meaning="coefficient of variation of the sizes: standard deviation over mean",
    ),
    row(
        neither("heterogeneity/moved_examples"),
        unit="examples",
        when=START,
        meaning="moved to another client than the partitioner's law gave them to, to meet its `min_size`",
    ),
    row(
        neither("heterogeneity/left_out_examples"),
        unit="examples",
        when=START,
        meaning="of those not held out, how many the partitioner gave to no client",
    ),
    row(
        neither(
            "heterogeneity/label_jensen_shannon_bits_{mean,weighted_mean,max}{,_null_low,_null_high}", SHARE
        ),
        unit="bits, 0 to 1",
        when=START,
        meaning="Jensen-Shannon divergence of clients' label mixes from the pooled mix",
    ),
    row(
        neither("heterogeneity/label_hellinger_{mean,weighted_mean,max}{,_null_low,_null_high}", SHARE),
        unit="0 to 1",
        when=START,
        meaning="Hellinger distance of the same",
    ),
    row(
        neither("heterogeneity/label_total_variation_{mean,weighted_mean,max}{,_null_low,_null_high}", SHARE),
        unit="0 to 1",
        when=START,
        meaning="total variation of the same: half the L1 distance, which is the EMD between labels",
    ),
    row(
        neither("heterogeneity/label_pairwise_hellinger_{mean,max}{,_null_low,_null_high}", SHARE),
        unit="0 to 1",
        when=START,
        meaning="Hellinger distance between clients: all pairs of up to 64 clients, of more than 64 drawn at random",
    ),
    row(
        neither("heterogeneity/label_entropy_bits_mean{,_null_low,_null_high}"),
        unit="bits",
        when=START,
        meaning="Shannon entropy of a client's label mix; low = few labels",
    ),
    row(
        neither("heterogeneity/effective_classes_mean{,_null_low,_null_high}"),
        unit="classes",
        when=START,
        meaning="2 to the entropy: how many equally frequent labels would have it",
    ),
    row(
        neither("heterogeneity/label_wasserstein_{mean,weighted_mean,max}{,_null_low,_null_high}"),
        unit="standard deviations of the target",
        when=START,
        meaning="Wasserstein-1 distance of clients' targets from all (regression; of at most 20,000 examples)",
    ),
    row(
        neither("heterogeneity/feature_wasserstein_{mean,weighted_mean,max}{,_null_low,_null_high}"),
        unit="standard deviations along a direction",
        when=START,
        meaning=(
            "sliced Wasserstein-1 distance of clients' inputs from all, mean over 16 random directions, of at most "
            "2,048 examples, as many of each client (not for tokens)"
        ),
    ),
    row(
        neither("heterogeneity/{test,client,unseen,validation,tuning,tuning_clients}_duplicates"),
        unit="examples",
        when=START,
        meaning=(
            "of the central test set, of participating clients' own held-out examples, of unseen clients' examples and "
            "of the examples for choosing, how many have the same inputs as a training example (`holdout.duplicates: "
            "together` keeps copies on one side; unseen clients stay whole)"
        ),
    ),
    row(
        neither("heterogeneity/aim_{value,reached,tolerance}", ANY),
        unit="of the measure",
        when=START,
        meaning=(
            "what `target_heterogeneity` was asked for, what it found, over all clients before any is held out, and "
            "how near it had to come"
        ),
    ),
    row(
        neither("heterogeneity/aim_parameter", ANY),
        unit="of the parameter",
        when=START,
        meaning="the alpha (or other parameter) that it found",
    ),
    row(
        neither("heterogeneity/file_test_examples"),
        unit="examples",
        when=START,
        meaning="examples that the file of `from_file` lists and the central test set holds",
    ),
)
