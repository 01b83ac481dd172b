"""The scores of sites that never trained, as sentences and a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from federated.metrics.names import metric_label
from federated.report.findings.left_out import LeftOut
from federated.report.text.numbers_as_text import decimals_of, number
from federated.report.text.table import Table


def left_out_sentences(found: Sequence[LeftOut]) -> list[str]:
    """`A site that never trained: unseen accuracy 0.712 on average over 7 sites, from 0.601 (Rome) to 0.79 (Oslo).`"""
    return [_sentence(each, named=len(found) > 1) for each in found]


def left_out_table(found: Sequence[LeftOut]) -> Table:
    """A row a site, a column an arm; the lowest scores of the first arm first."""
    sites = list(dict.fromkeys(site for each in found for site in each.worst_first))
    examples = {site: each.examples[site] for each in found for site in each.scores}
    columns = tuple(f"{metric_label(each.metric)} · {each.arm}" for each in found)
    rows = [
        (
            site,
            f"{examples[site]:,}" if examples[site] else "",
            *(_score(each, each.scores.get(site)) for each in found),
        )
        for site in sites
    ]
    return Table(("site", "examples", *columns), rows, " ".join(left_out_sentences(found)))


def _sentence(found: LeftOut, *, named: bool) -> str:
    worst, best = found.worst_first[0], found.worst_first[-1]
    mean = _score(found, float(np.mean(list(found.scores.values()))))
    of = f" ({found.arm})" if named else ""
    return (
        f"A site that never trained{of}: {metric_label(found.metric)} {mean} on average over {len(found.scores)} "
        f"sites, each left out in turn; worst {_score(found, found.scores[worst])} ({worst}), best "
        f"{_score(found, found.scores[best])} ({best})."
    )


def _score(found: LeftOut, value: float | None) -> str:
    return number(value, decimals_of(found.metric, value))
