"""The verdict in sentences: the best arm, the differences from the baseline, and their certainty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import get_args

import numpy as np

from federated.metrics.names import higher_is_better, metric_label
from federated.report.findings.by_seed import below_the_mean, interval_over_seeds, outcomes_of
from federated.report.findings.gap_closed import GapClosed, gap_closed
from federated.report.findings.identical_arms import identical_arms
from federated.report.findings.phrases import difference_text, interval_text, seeds_needed, share_text, signed
from federated.report.findings.results import RunResult, arms_of, candidates
from federated.report.findings.verdicts import Paired, Verdict
from federated.report.statistics.by_ranks import centre
from federated.report.statistics.paired import ROUNDING, at_once

_FEW = 10
"""Seeds below which only a difference of several standard deviations is found among several arms."""

_MOST_SCORES = 5

_DECIDED: tuple[Verdict, ...] = ("better", "worse", "no difference")


def sentences(results: Sequence[RunResult], pairs: Sequence[Paired], *, robust: bool = False) -> list[str]:
    """The main findings, the most important first; where nothing finished, the runs still in progress."""
    best = best_arm(results, robust=robust)
    if best is None:
        return _running(results)
    arm, mean, metric = best
    of_the_gap = _gap_sentences(gap_closed(results, at_once(_rivals(results, metric))), arm)
    of_the_gap += below_the_mean(results, metric)
    if len(arms_of(candidates(results))) == 1:
        alone = f"{arm} ends at {metric_label(metric)} {mean:.3f}; there is no other arm to compare it with."
        return [alone, *of_the_gap, *_about_own_models(results), *_lost(results)]
    said = [_headline(results, pairs, *best, robust), *of_the_gap, *_picked(pairs)]
    said += _about_own_models(results)
    if not pairs:
        why = "the baseline has no finished run, or another main metric"
        return [*said, f"Nothing is compared: {why}.", *_lost(results)]
    shared = [pair for pair in pairs if pair.estimate is not None]
    by_verdict = {
        verdict: [pair for pair in shared if pair.verdict == verdict] for verdict in get_args(Verdict)
    }
    said += [_about(verdict, by_verdict[verdict]) for verdict in _DECIDED if by_verdict[verdict]]
    said += [same.sentence() for same in identical_arms(candidates(results))]
    said += [_about("inconclusive", found) for found in [by_verdict["inconclusive"]] if found]
    said += _equal_scores(shared)
    if without := [pair.arm for pair in pairs if pair.estimate is None]:
        said.append(f"Not compared, for want of runs that finished with both: {'; '.join(without)}.")
    said += _outliers(shared)
    said += _lost(results)
    said += _few_seeds(by_verdict["inconclusive"])
    if unpaired := [pair for pair in shared if pair.unpaired]:
        others = "Some arms" if len(unpaired) < len(shared) else "The arms"
        said.append(
            f"{others} had other data or partitions than {unpaired[0].baseline}: they are compared without pairing "
            f"their seeds ({'Mann and Whitney' if robust else 'Welch'}), and what differs may be the data."
        )
    return said


def _equal_scores(pairs: Sequence[Paired]) -> list[str]:
    """The arms whose scores are the baseline's with every seed, though their models are not."""
    equal = [
        pair
        for pair in pairs
        if pair.steady and pair.verdict != "no effect" and abs(pair.estimate or 0.0) <= ROUNDING
    ]
    if not equal:
        return []
    named = "; ".join(f"{pair.arm} ({pair.count} seed{'' if pair.count == 1 else 's'})" for pair in equal[:3])
    more = f"; and {len(equal) - 3} more" if len(equal) > 3 else ""
    return [f"The same score as {equal[0].baseline} with every seed, from other models: {named}{more}."]


def _outliers(pairs: Sequence[Paired]) -> list[str]:
    """The seeds that Student's intervals were not made for."""
    far = [pair for pair in pairs if pair.outlying]
    if not far:
        return []
    named = "; ".join(f"{pair.arm} (seed {', '.join(map(str, pair.outlying[:3]))})" for pair in far[:3])
    more = f"; and {len(far) - 3} more" if len(far) > 3 else ""
    return [
        f"Far from the other seeds, where t intervals and tests are not to be trusted: {named}{more}; "
        "comparison.interval: robust judges by ranks."
    ]


def _few_seeds(inconclusive: Sequence[Paired]) -> list[str]:
    """The limits of few seeds, and a note that some arms were not judged yet."""
    if not inconclusive:
        return []
    said, least = [], min(pair.count for pair in inconclusive)
    if least < _FEW:
        seeds = f"{least} seed{'' if least == 1 else 's'} an arm"
        said.append(f"With {seeds}, only large and steady differences can be told from chance.")
    if waiting := [pair for pair in inconclusive if 0 < pair.judged < pair.count]:
        counts = f"the first {waiting[0].judged} of {waiting[0].count} seeds"
        said.append(
            f"Judged by {counts}: verdicts are taken at fixed numbers of seeds, so that seeds may be added "
            "in rising order."
        )
    return said


def best_arm(results: Sequence[RunResult], *, robust: bool = False) -> tuple[str, float, str] | None:
    """(arm, its score, main metric) of the best among arms with the study's first main metric; no anchor.

    By means, or robust: by the estimates of Hodges and Lehmann, as differences are then.

    What is not finite is no score.
    """
    rivals = candidates(results)
    scores = {arm: list(outcomes_of(rivals, arm).scores.values()) for arm in arms_of(rivals)}
    metrics = {run.arm: run.main_metric for run in rivals if scores[run.arm]}
    if not metrics:
        return None
    metric = next(iter(metrics.values()))
    means = {
        arm: centre(np.array(scores[arm]), robust=robust)
        for arm, measured in metrics.items()
        if measured == metric
    }
    choose = max if higher_is_better(metric) else min
    arm = choose(means, key=lambda name: means[name])
    return arm, means[arm], metric


def _lost(results: Sequence[RunResult]) -> list[str]:
    """The arms that lost some of their runs, the most first: what is said of them is said of those that were left."""
    with_some = {run.arm for run in results if run.finished}
    lost = _named([run for run in results if run.arm in with_some and run.failed], results)
    said = [f"Runs that failed are in no number here, and may be the worse ones: {lost}."] if lost else []
    return [*said, *_running(results)]


def _running(results: Sequence[RunResult]) -> list[str]:
    """The arms with runs that nobody has ended yet."""
    named = _named([run for run in results if run.running], results)
    return [f"Still running, and so in no number here: {named}."] if named else []


def _named(some: Sequence[RunResult], results: Sequence[RunResult]) -> str:
    """`a (2 of 5); b (1 of 5)`: the arms of some of the results, those with the most of them first; three at most."""
    counts = Counter(run.arm for run in some)
    runs = Counter(run.arm for run in results)
    named = "; ".join(f"{arm} ({count} of {runs[arm]})" for arm, count in counts.most_common(3))
    return named + (f"; and {len(counts) - 3} more" if len(counts) > 3 else "")


def _gap_sentences(closed: dict[str, GapClosed], best: str) -> list[str]:
    """The share of the anchors' gap that the best arm closes, and the arms without such a gap."""
    said = []
    if best in closed and closed[best].share is not None:
        share, gap = share_text(closed[best]), closed[best].gap
        said.append(f"{best} closes {share} of the gap between local and centralised training ({gap:.3f}).")
    if alike := [each for each in closed.values() if each.share is None and each.seeds]:
        named = "; ".join(
            f"{each.arm} ({signed(each.gap or 0.0)} {interval_text(each.ends)}".rstrip() + ")"
            for each in alike[:3]
        )
        more = f"; and {len(alike) - 3} more" if len(alike) > 3 else ""
        said.append(
            "Centralised training is not better than local by more than noise, so there is no gap to close: "
            f"{named}{more}."
        )
    return said


def _rivals(results: Sequence[RunResult], metric: str) -> int:
    """Arms with a score in this main metric, among which the best was picked."""
    scored = [run for run in candidates(results) if run.main_metric == metric and run.finished]
    return sum(bool(outcomes_of(scored, arm).scores) for arm in arms_of(scored))


def _picked(pairs: Sequence[Paired]) -> list[str]:
    """That a baseline was picked for its score."""
    if not any(pair.picked for pair in pairs):
        return []
    return [
        f"{pairs[0].baseline} was picked as baseline for its score, which is likely to be worse with other seeds; "
        "intervals of differences and verdicts hold for all pairs of arms at once."
    ]


def _headline(
    results: Sequence[RunResult], pairs: Sequence[Paired], arm: str, mean: float, metric: str, robust: bool
) -> str:
    """The best arm with its interval over seeds, and that it is not shown to be better where it is not.

    Of the best of several that are equal, an interval for itself alone covers the mean in 82 to 87 % of cases.
    """
    rivals = _rivals(results, metric)
    runs = [run for run in results if run.arm == arm]
    _, interval = interval_over_seeds(runs, metric, at_once(rivals), robust=robust)
    ends = "" if interval is None else f" [{interval.low:.3f}, {interval.high:.3f}]".replace("-", "−")
    if ends and rivals > 1:
        ends += f", which allows for the choice among {rivals}"
    unsure = [pair for pair in pairs if pair.arm == arm and pair.verdict != "better"]
    doubt = f"; not shown to be better than {unsure[0].baseline}" if unsure else ""
    score = f"{mean:.3f}".replace("-", "−")
    what = f"Best {metric_label(metric)} by ranks" if robust else f"Best mean {metric_label(metric)}"
    return f"{what}: {arm}, {score}{ends}{doubt}."


def _about(verdict: Verdict, pairs: Sequence[Paired]) -> str:
    """One sentence on the arms that share a verdict, the largest differences first: not all are named."""
    pairs = sorted(pairs, key=lambda pair: -abs(pair.estimate or 0.0))
    baseline, delta = pairs[0].baseline, pairs[0].delta
    named = "; ".join(f"{pair.arm} ({difference_text(pair)})" for pair in pairs[:3])
    more = f"; and {len(pairs) - 3} more" if len(pairs) > 3 else ""
    if verdict in ("better", "worse"):
        return f"{verdict.capitalize()} than {baseline}: {named}{more}."
    if verdict == "no difference":
        return f"No difference larger than {delta:g} from {baseline}: {named}{more}."
    return f"Inconclusive against {baseline}{seeds_needed(pairs)}: {named}{more}."


def _about_own_models(results: Sequence[RunResult]) -> list[str]:
    """The test data of arms whose clients have their own models, and every arm's score on the clients' own data.

    A central test set is divided among clients, and so has a spread over them, only where each has a model of its own.
    """
    finished = [run for run in candidates(results) if run.finished]
    own = [run for run in finished if run.final(f"{run.main_metric}_mean") is not None]
    if not own:
        return []
    metric, arms = own[0].main_metric, arms_of(own)
    on_own = metric.replace("/test_", "/client_")
    said = (
        f"{_first_few(arms)}: every client is scored with a model of its own, and {metric_label(metric)} is on a part "
        "of the central test set, which is not drawn from the client's own data"
    )
    scores = {arm: _mean_of(finished, arm, on_own) for arm in (*arms, *arms_of(finished))}
    measured = [f"{arm} {score:.3f}" for arm, score in scores.items() if score is not None]
    if not measured:
        return [f"{said}. On clients' own data nothing is measured: state holdout.client, such as 0.2."]
    return [f"{said}. On clients' own held-out examples ({metric_label(on_own)}): {_first_few(measured)}."]


def _mean_of(results: Sequence[RunResult], arm: str, metric: str) -> float | None:
    found = [run.final(metric) for run in results if run.arm == arm]
    values = [value for value in found if value is not None]
    return float(np.mean(values)) if values else None


def _first_few(words: Sequence[str]) -> str:
    more = f"; and {len(words) - _MOST_SCORES} more" if len(words) > _MOST_SCORES else ""
    return "; ".join(words[:_MOST_SCORES]) + more
