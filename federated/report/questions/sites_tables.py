"""The table of sites: as numbers for MLflow and DataFrames, as text for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from federated.config.training import ANCHORS, Anchor
from federated.report.findings.by_seed import best_arm
from federated.report.findings.results import RunResult, arms_of, candidates
from federated.report.questions.amounts import gain_text, measure_label
from federated.report.questions.answers import anchors_of, client_word
from federated.report.questions.sites import Site, Versus, site_metric, sites_of
from federated.report.statistics.paired import t_interval
from federated.report.text.numbers_as_text import NOTHING, decimals_of, number
from federated.report.text.phrases import capitalised
from federated.report.text.table import Table

_MOST_ARMS = 6
"""Arms in the table of text, anchors aside; the table of numbers has them all."""

_Key = tuple[str, bool, str]


def sites_numbers(results: Sequence[RunResult]) -> dict[str, list[Any]]:
    """One row a client and arm: what it reaches over its seeds, its support, and its difference from its anchors.

    {} where clients are made up, as these are others with every seed.
    """
    best = best_arm(results)
    found = _named_sites(results, site_metric(results, best[2]) if best else "")
    by_key = _by_key(found)
    anchors = {arm: anchors_of(results, arm) for arm in dict.fromkeys(site.arm for site in found)}
    rows = [_numbers(site, anchors[site.arm], by_key) for site in found]
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def sites_text(results: Sequence[RunResult]) -> Table | None:
    """One row a site, a column an arm, and the best arm minus the site alone; None where there is nothing to show."""
    best = best_arm(results)
    if best is None:
        return None
    arms, metric = _shown(results, best[0]), site_metric(results, best[2])
    found = [site for site in _named_sites(results, metric) if site.arm in arms]
    if not found:
        return None
    by_key = _by_key(found)
    local = anchors_of(results, best[0]).get("local", "")
    two_classes = any(site.positives is not None for site in found)
    sequences = any(site.positions is not None for site in found)
    versus = f"{best[0]} minus alone" if len(arms_of(candidates(results))) > 1 else "difference from alone"
    rows = []
    for client, trains in dict.fromkeys((site.client, site.trains) for site in found):
        of_client = [site for site in found if (site.client, site.trains) == (client, trains)]
        rows.append(
            [
                client if trains else f"{client} (never trained)",
                number(float(np.mean([site.examples for site in of_client])), 0),
                *([_support([site.positions for site in of_client])] if sequences else []),
                *([_support([site.positives for site in of_client])] if two_classes else []),
                *(_score(by_key.get((client, trains, arm)), metric) for arm in arms),
                *([_versus(by_key, client, trains, best[0], local, metric)] if local else []),
            ]
        )
    support = [*(["positions"] if sequences else []), *(["positives"] if two_classes else [])]
    columns = ["site", "held-out examples", *support, *arms]
    return Table([*columns, *([versus] if local else [])], rows, _note(results, metric, two_classes))


def _named_sites(results: Sequence[RunResult], metric: str) -> list[Site]:
    return sites_of(results, metric) if client_word(results) == "site" else []


def _by_key(found: Sequence[Site]) -> dict[_Key, Site]:
    return {(site.client, site.trains, site.arm): site for site in found}


def _shown(results: Sequence[RunResult], best: str) -> list[str]:
    """The best arm, the first others, and the best arm's anchors."""
    arms = [best, *(arm for arm in arms_of(candidates(results)) if arm != best)][:_MOST_ARMS]
    return [*arms, *anchors_of(results, best).values()]


def _numbers(site: Site, anchors: dict[Anchor, str], by_key: Mapping[_Key, Site]) -> dict[str, Any]:
    ends = t_interval(np.array(list(site.scores.values()), np.float64))
    row = {
        "client": site.client,
        "trains": site.trains,
        "arm": site.arm,
        "seeds": len(site.scores),
        "held-out examples": site.examples,
        "positions": site.positions,
        "positives": site.positives,
        "score": site.mean,
        "low": ends and ends.low,
        "high": ends and ends.high,
    }
    for anchor in ANCHORS:
        reference = by_key.get((site.client, site.trains, anchors.get(anchor, "")))
        versus = None if site.anchor else _against(site, reference)
        interval = versus and versus.interval
        row |= {
            f"minus {anchor}": versus and versus.mean,
            f"minus {anchor} low": interval and interval.low,
            f"minus {anchor} high": interval and interval.high,
        }
    return row


def _against(mine: Site | None, theirs: Site | None) -> Versus | None:
    """Their differences; None where no seed has both scores."""
    if mine is None or theirs is None:
        return None
    versus = Versus(mine, theirs)
    return versus if len(versus.differences) else None


def _support(numbers: Sequence[float | None]) -> str:
    known = [each for each in numbers if each is not None]
    return number(float(np.mean(known)), 0) if known else NOTHING


def _score(site: Site | None, metric: str) -> str:
    return NOTHING if site is None else number(site.mean, decimals_of(metric, site.mean))


def _versus(by_key: Mapping[_Key, Site], client: str, trains: bool, arm: str, local: str, metric: str) -> str:
    mine = by_key.get((client, trains, arm))
    versus = _against(mine, by_key.get((client, trains, local)))
    if mine is None or versus is None:
        return NOTHING
    return gain_text(versus.mean, versus.interval, metric, mine.mean)


def _note(results: Sequence[RunResult], metric: str, two_classes: bool) -> str:
    measure = measure_label(metric)
    said = (
        f"{capitalised(measure)} on each site's own held-out examples, for a site that never trains on all "
        "of its examples; the mean over the seeds in which it has a score. Brackets are 95 % t intervals over seeds "
        "for that site alone; with few held-out examples a site's difference is mostly chance."
    )
    named = next(filter(None, (run.counted_class or run.positive_class for run in results)), "")
    positives = f" Positives are the examples of {named!r}." if two_classes and named else ""
    more = len(arms_of(candidates(results))) > _MOST_ARMS
    return f"{said}{positives}{' All arms are in sites.json in MLflow.' if more else ''}"
