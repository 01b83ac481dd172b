"""The fingerprints of several partitions as a table of text: each value beside its null band."""

from __future__ import annotations

from collections.abc import Sequence

from data_partitioners.heterogeneity import Fingerprint, Measured

_WORDS = {
    "clients": "clients",
    "empty_clients": "empty clients",
    "smallest_client_examples": "examples of the smallest client",
    "largest_client_examples": "examples of the largest client",
    "largest_share": "largest client's share",
    "size_gini": "Gini coefficient of sizes",
    "size_variation": "coefficient of variation of sizes",
}
_NAMES = {
    "label_jensen_shannon_bits": "label Jensen-Shannon, bits",
    "label_hellinger": "label Hellinger",
    "label_total_variation": "label total variation",
    "label_entropy_bits": "label entropy, bits",
    "effective_classes": "effective classes",
    "label_pairwise_hellinger": "Hellinger between pairs",
    "label_wasserstein": "target Wasserstein, sd",
    "feature_wasserstein": "feature Wasserstein, sd",
}
_SUMMARIES = {"_weighted_mean": "weighted mean", "_mean": "mean", "_max": "largest"}


def fingerprint_table(fingerprints: Sequence[Fingerprint]) -> list[list[str]]:
    """One row a measure: its name in words, then for each partition `value [low, high]`.

    A star marks a value outside its null band, as chance alone would give in one of twenty.
    """
    names = dict.fromkeys(name for fingerprint in fingerprints for name in fingerprint.measures)
    return [[in_words(name), *(_cell(f.measures.get(name)) for f in fingerprints)] for name in names]


def in_words(name: str) -> str:
    """`label_hellinger_weighted_mean` -> `label Hellinger, weighted mean`."""
    for ending, words in _SUMMARIES.items():
        if name.endswith(ending) and (stem := name.removesuffix(ending)) in _NAMES:
            return f"{_NAMES[stem]}, {words}"
    return _WORDS.get(name, name.replace("_", " "))


def _cell(measured: Measured | None) -> str:
    if measured is None:
        return "–"
    value = f"{measured.value:,.0f}" if measured.value.is_integer() else f"{measured.value:.3f}"
    if measured.low is None or measured.high is None:
        return value
    return f"{measured.value:.3f}{'*' if measured.beyond_chance else ''} [{measured.low:.3f}, {measured.high:.3f}]"
