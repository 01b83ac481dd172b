"""Each site alone, with all others, and the federation without it, on the same held-out examples of the site."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

import numpy as np

from federated.metrics.names import higher_is_better
from federated.report.findings.results import RunResult, arms_of, candidates, has_withdrawn
from federated.report.joining.differences import Rules, judged_together, outlying_low
from federated.report.joining.found import Apart, Copy, Joined, Joining, Left
from federated.report.joining.matters import delta_in
from federated.report.joining.megabytes import megabytes_of_run, megabytes_of_sites
from federated.report.joining.shapley import values_of
from federated.report.questions.answers import anchors_of
from federated.report.questions.sites import SCORE, client_rows, site_metric
from federated.study.arm_labels import WITHDRAWN
from federated.study.looks import Looks

Scores = Mapping[int, Mapping[str, float]]
"""Seed -> site -> its score."""

_OF_ONE_ARM = (WITHDRAWN, "name")
"""Overrides in which an arm differs from itself without a site."""


def joining_of(
    results: Sequence[RunResult], delta: float, looks: Looks, *, robust: bool = False
) -> list[Joining]:
    """One entry for each arm from which sites have withdrawn in turn, with a finished run and a table of clients."""
    found = []
    for arm in arms_of(candidates(results)):
        runs = [run for run in results if run.arm == arm]
        without = _withdrawn_from(results, runs[0])
        if without and any(run.finished and run.clients for run in runs):
            metric, main = site_metric(runs, runs[0].main_metric), runs[0].main_metric
            rules = Rules(metric, delta_in(metric, main, delta, runs), looks, robust)
            found.append(_of_arm(results, runs, without, rules))
    return [each for each in found if each.joined or each.left]


def withdrawn_sites(run: RunResult) -> tuple[str, ...]:
    """The sites that have withdrawn from a run, by name."""
    stated = run.parameters.get(WITHDRAWN, ())
    return tuple(ast.literal_eval(stated) if isinstance(stated, str) else stated)


def scores_of(runs: Sequence[RunResult], metric: str) -> Scores:
    """The scores of participating sites in the finished runs of one arm, those withdrawn included."""
    return {
        run.seed: {
            str(row["client"]): float(row[SCORE])
            for row in client_rows(run, metric)
            if row["takes_part"] and row[SCORE] is not None
        }
        for run in runs
        if run.finished and run.clients
    }


def _withdrawn_from(results: Sequence[RunResult], whole: RunResult) -> dict[tuple[str, ...], list[RunResult]]:
    """Those that leave -> the runs of an arm without them."""
    found: dict[tuple[str, ...], list[RunResult]] = {}
    for run in results:
        if has_withdrawn(run) and not has_withdrawn(whole) and _family(run) == _family(whole):
            found.setdefault(withdrawn_sites(run), []).append(run)
    return found


def _family(run: RunResult) -> tuple[object, ...]:
    shared = [(path, label) for path, label in run.overrides.items() if path not in _OF_ONE_ARM]
    return run.study, run.anchor, run.main_metric, tuple(shared)


def _of_arm(
    results: Sequence[RunResult],
    runs: Sequence[RunResult],
    without: Mapping[tuple[str, ...], Sequence[RunResult]],
    rules: Rules,
) -> Joining:
    together = scores_of(runs, rules.metric)
    sites = [sites[0] for sites in without if len(sites) == 1]
    local = anchors_of(results, runs[0].arm).get("local", "")
    by_themselves = [run for run in results if run.arm == local]
    alone = scores_of(by_themselves, rules.metric)
    return Joining(
        runs[0].arm,
        rules.metric,
        rules.delta,
        _joined(sites, alone, together, megabytes_of_sites(runs), rules),
        _left(together, without, rules),
        _copies(without),
        _apart(without, rules),
        values_of(runs, rules),
        delta_of=runs[0].main_metric,
        one_round=any(run.best_by for run in by_themselves),
    )


def _joined(
    sites: Sequence[str], alone: Scores, together: Scores, megabytes: Mapping[str, float], rules: Rules
) -> list[Joined]:
    seeds = sorted(alone.keys() & together.keys())
    shared = {
        site: [seed for seed in seeds if site in alone[seed] and site in together[seed]] for site in sites
    }
    shared = {site: seeds for site, seeds in shared.items() if seeds}
    before = {site: np.array([alone[seed][site] for seed in seeds]) for site, seeds in shared.items()}
    after = {site: np.array([together[seed][site] for seed in seeds]) for site, seeds in shared.items()}
    gains = judged_together([after[site] - before[site] for site in shared], rules)
    return [
        Joined(site, float(before[site].mean()), float(after[site].mean()), gain, megabytes.get(site))
        for site, gain in zip(shared, gains, strict=True)
    ]


def _left(
    together: Scores, without: Mapping[tuple[str, ...], Sequence[RunResult]], rules: Rules
) -> list[Left]:
    finished = {sites: [run for run in runs if run.finished] for sites, runs in without.items()}
    finished = {sites: runs for sites, runs in finished.items() if runs}
    lost = {sites: _lost(together, scores_of(runs, rules.metric), sites) for sites, runs in finished.items()}
    others = judged_together([each[0] for each in lost.values()], rules)
    itself = judged_together([each[1] for each in lost.values()], rules)
    return [
        Left(
            sites,
            of_others,
            of_itself,
            float(np.mean([run.rounds_done for run in runs])),
            float(np.mean([megabytes_of_run(run) for run in runs])),
            _mean([run.seconds for run in runs if run.seconds is not None]),
        )
        for (sites, runs), of_others, of_itself in zip(finished.items(), others, itself, strict=True)
    ]


def _lost(together: Scores, without: Scores, leaving: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """With all minus without, for each seed that both have: the mean over those that remain, and over those that left.

    A site without a score in either is in neither mean.
    """
    others, themselves = [], []
    for seed in sorted(together.keys() & without.keys()):
        both = together[seed].keys() & without[seed].keys()
        lost = {site: together[seed][site] - without[seed][site] for site in sorted(both)}
        mine = [value for site, value in lost.items() if site in leaving]
        theirs = [value for site, value in lost.items() if site not in leaving]
        others += [float(np.mean(theirs))] if theirs else []
        themselves += [float(np.mean(mine))] if mine else []
    return np.array(others), np.array(themselves)


def _apart(without: Mapping[tuple[str, ...], Sequence[RunResult]], rules: Rules) -> list[Apart]:
    """Sites whose score by a model that was trained without them is an outlier, over the seeds that finished."""
    scores = {
        leaving[0]: _mean(
            [of[leaving[0]] for of in scores_of(runs, rules.metric).values() if leaving[0] in of]
        )
        for leaving, runs in without.items()
        if len(leaving) == 1
    }
    known = {site: score for site, score in scores.items() if score is not None}
    sign = 1 if higher_is_better(rules.metric) else -1
    low = outlying_low({site: sign * score for site, score in known.items()}, rules.delta)
    return [
        Apart(site, known[site], float(np.mean([known[other] for other in known if other != site])))
        for site in low
    ]


def _copies(without: Mapping[tuple[str, ...], Sequence[RunResult]]) -> list[Copy]:
    """The sites that the runs call copies of another, by their tables of clients."""
    found: dict[str, Copy] = {}
    for run in (run for runs in without.values() for run in runs if run.finished):
        for row in client_rows(run):
            if row.get("copy_of"):
                found.setdefault(
                    str(row["client"]),
                    Copy(str(row["client"]), str(row["copy_of"]), float(row["copied_share"])),
                )
    return list(found.values())


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
