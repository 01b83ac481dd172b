"""The findings of a study in sentences: the best arm, the differences from the baseline, and their certainty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import get_args

from federated.metrics.names import metric_label
from federated.report.costs.promises import promise_sentences
from federated.report.findings.by_seed import best_arm, interval_over_seeds, num_rivals
from federated.report.findings.gap_closed import gap_closed
from federated.report.findings.identical_arms import identical_arms
from federated.report.findings.results import RunResult, arms_of, candidates, has_withdrawn
from federated.report.findings.verdicts import DELTA, Paired, Verdict
from federated.report.statistics.paired import LEVEL, ROUNDING, at_once
from federated.report.text.about_anchors import constant_sentences, gap_sentences
from federated.report.text.about_personal import about_own_models
from federated.report.text.numbers_as_text import decimals_of, number
from federated.report.text.phrases import counted, difference_text, first_few, seeds_needed

_FEW = 10
"""Seeds below which only a difference of several standard deviations is found among several arms."""


def sentences(
    results: Sequence[RunResult],
    pairs: Sequence[Paired],
    delta: float = DELTA,
    *,
    robust: bool = False,
    answered: bool = False,
) -> list[str]:
    """The main findings, the most important first; where nothing finished, the runs still in progress.

    answered: whether `plain_words` before them answer "one model for everybody", and so name an only arm's score.
    """
    best = best_arm(results, robust=robust)
    if best is None:
        return _running(results)
    arm, _, metric = best
    closed = gap_closed(results, at_once(num_rivals(results, metric)), delta)
    between = gap_sentences(results, closed, arm)
    baseline = pairs[0].baseline if pairs else ""
    about_own = about_own_models(results, baseline, robust=robust)
    if len(arms_of(candidates(results))) == 1:
        alone = [] if answered else [_only(results, *best)]
        constants = constant_sentences(results, metric, without=arm)
        return [*alone, *about_own, *constants, *between, *_left_out(results)]
    constants = constant_sentences(results, metric)
    promised = promise_sentences(results, robust=robust)
    said = [_headline(results, pairs, *best, robust), *promised, *_picked(pairs), *about_own, *constants]
    if not pairs:
        why = "it has no finished run, or no other arm has its main metric"
        return [*said, *between, f"No arm is compared with the baseline: {why}.", *_left_out(results)]
    return [*said, *_comparisons(results, pairs), *between, *reservations(results, pairs, robust=robust)]


def _only(results: Sequence[RunResult], arm: str, mean: float, metric: str) -> str:
    """The score of the one arm that has no rival."""
    others = any(run.left_out or has_withdrawn(run) for run in results)
    why = "the other arms leave a site out each" if others else "the study has no other arm"
    label = metric_label(metric)
    return f"{arm} reaches a {label} of {number(mean, decimals_of(metric, mean))}; {why}."


def _comparisons(results: Sequence[RunResult], pairs: Sequence[Paired]) -> list[str]:
    """A sentence a verdict, and the arms that are identical or have the same scores."""
    shared = [pair for pair in pairs if pair.estimate is not None]
    equal = [pair for pair in shared if is_equal(pair)]  # said once, by their seeds
    by_verdict = {
        verdict: [pair for pair in shared if pair.verdict == verdict and pair not in equal]
        for verdict in get_args(Verdict)
    }
    decided: tuple[Verdict, ...] = ("better", "worse", "no difference")
    said = [_about(verdict, by_verdict[verdict]) for verdict in decided if by_verdict[verdict]]
    said += [same.sentence() for same in identical_arms(candidates(results))]
    if by_verdict["inconclusive"]:
        said.append(_about("inconclusive", by_verdict["inconclusive"]))
    if equal:
        named = first_few([f"{pair.arm} ({counted(pair.count, 'seed')})" for pair in equal])
        said.append(
            f"Same score as {shared[0].baseline} with every seed, although the models differ: {named}."
        )
    return said


def is_equal(pair: Paired) -> bool:
    """Whether an arm has the baseline's score with every seed, and models that are not identical."""
    return pair.steady and pair.verdict != "no effect" and abs(pair.estimate or 0.0) <= ROUNDING


def reservations(results: Sequence[RunResult], pairs: Sequence[Paired], *, robust: bool = False) -> list[str]:
    """The limits of the comparisons: missing seeds, outliers, failures, few seeds, other data."""
    said = []
    shared = [pair for pair in pairs if pair.estimate is not None]
    if without := [pair.arm for pair in pairs if pair.estimate is None]:
        said.append(
            f"Not compared, because no seed finished with both the arm and the baseline: {'; '.join(without)}."
        )
    if far := [pair for pair in shared if pair.outlying]:
        named = [f"{pair.arm} (seed {', '.join(map(str, pair.outlying[:3]))})" for pair in far]
        said.append(
            f"Seeds far from the others: {first_few(named)}. The intervals and tests assume normal differences and are "
            "unreliable for these arms; comparison.interval: robust uses ranks instead."
        )
    said += _left_out(results)
    said += _few_seeds([pair for pair in shared if pair.verdict == "inconclusive"])
    if unpaired := [pair for pair in shared if pair.unpaired]:
        others = "Some arms" if len(unpaired) < len(shared) else "The arms"
        said.append(
            f"{others} were trained on other data or partitions than {unpaired[0].baseline}. Their seeds are therefore "
            f"not paired ({'Mann-Whitney' if robust else 'Welch'} test), and the data may explain the difference."
        )
    return said


def _headline(
    results: Sequence[RunResult], pairs: Sequence[Paired], arm: str, mean: float, metric: str, robust: bool
) -> str:
    """The best arm with its interval over seeds, and whether it is shown to be better than the baseline.

    Of the best of several that are equal, an interval for itself alone covers the mean in 82 to 87 % of cases.
    """
    rivals = num_rivals(results, metric)
    runs = [run for run in results if run.arm == arm]
    _, ends = interval_over_seeds(runs, metric, at_once(rivals), robust=robust)
    what = f"Best {metric_label(metric)} by ranks" if robust else f"Best mean {metric_label(metric)}"
    decimals = decimals_of(metric, mean)
    said = f"{what}: {arm}, {number(mean, decimals)}"
    if ends is not None:
        corrected = f", corrected for picking the best of {rivals} arms" if rivals > 1 else ""
        low, high = (number(end, decimals) for end in ends)
        said += f" ({100 * LEVEL:.0f} % interval {low} to {high}{corrected}{_elsewhere(runs, metric, rivals, robust)})"
    unsure = [pair for pair in pairs if pair.arm == arm and pair.verdict != "better"]
    return (
        f"{said}; not shown to be better than the baseline, {unsure[0].baseline}." if unsure else f"{said}."
    )


def _elsewhere(runs: Sequence[RunResult], metric: str, rivals: int, robust: bool) -> str:
    """The other interval of the same arm, which tables and charts have, where it is another."""
    mean, ends = interval_over_seeds(runs, metric)
    if mean is None or ends is None or not (robust or rivals > 1):
        return ""
    decimals = decimals_of(metric, mean)
    of_mean = f"the mean is {number(mean, decimals)}, " if robust else ""
    low, high = (number(end, decimals) for end in ends)
    return f"; in tables and charts, of this arm alone, {of_mean}{low} to {high}"


def _about(verdict: Verdict, pairs: Sequence[Paired]) -> str:
    """One sentence on the arms that share a verdict, the largest differences first: not all are named."""
    pairs = sorted(pairs, key=lambda pair: -abs(pair.estimate or 0.0))
    baseline = f"the baseline, {pairs[0].baseline}"
    named = first_few([f"{pair.arm} ({difference_text(pair)})" for pair in pairs])
    if verdict in ("better", "worse"):
        return f"{verdict.capitalize()} than {baseline}: {named}."
    if verdict == "no difference":
        return f"No difference larger than {pairs[0].delta:g} from {baseline}: {named}."
    return f"Inconclusive against {baseline}: {named}. {seeds_needed(pairs)}".rstrip()


def _picked(pairs: Sequence[Paired]) -> list[str]:
    """A warning that the baseline was picked for its score."""
    if not any(pair.picked for pair in pairs):
        return []
    return [
        f"The baseline, {pairs[0].baseline}, was picked because it has the best score, so its score is likely to be "
        "worse with other seeds. Intervals and verdicts are corrected for all pairs of arms."
    ]


def _few_seeds(inconclusive: Sequence[Paired]) -> list[str]:
    """The limits of few seeds, and a note on seeds that were not used yet."""
    if not inconclusive:
        return []
    said, least = [], min(pair.count for pair in inconclusive)
    if least < _FEW:
        seeds = counted(least, "seed")
        said.append(
            f"With {seeds} for each arm, only large and consistent differences stand out from chance."
        )
    if waiting := [pair for pair in inconclusive if 0 < pair.judged < pair.count]:
        said.append(
            f"Verdicts use the first {waiting[0].judged} of {waiting[0].count} seeds: they are taken at fixed numbers "
            "of seeds, so that adding seeds does not raise the error rate."
        )
    return said


def _left_out(results: Sequence[RunResult]) -> list[str]:
    """The arms that lost some of their runs, those with the most first, and the runs still in progress."""
    with_some = {run.arm for run in results if run.finished}
    failed = [run for run in results if run.arm in with_some and run.failed]
    said = (
        [
            f"Failed runs are left out of every number, which may flatter their arms: {_by_arm(failed, results)}."
        ]
        if failed
        else []
    )
    return [*said, *_running(results)]


def _running(results: Sequence[RunResult]) -> list[str]:
    """The arms with runs that have not ended."""
    running = [run for run in results if run.running]
    return [f"Still running and left out of every number: {_by_arm(running, results)}."] if running else []


def _by_arm(some: Sequence[RunResult], results: Sequence[RunResult]) -> str:
    """`a (2 of 5); b (1 of 5)`: the arms of some of the results, those with the most of them first."""
    counts, runs = Counter(run.arm for run in some), Counter(run.arm for run in results)
    return first_few([f"{arm} ({count} of {runs[arm]})" for arm, count in counts.most_common()])
