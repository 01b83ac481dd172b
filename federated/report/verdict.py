"""The verdict in words: which arm is best, what differs from the baseline, by how much, how sure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import get_args

from federated.evaluation import higher_is_better
from federated.report.by_seed import interval_over_seeds, outcomes_of
from federated.report.gap_closed import GapClosed, gap_closed
from federated.report.no_effect import identical_arms
from federated.report.paired import Paired, Verdict
from federated.report.results import RunResult, arms_of, candidates
from federated.report.statistics import MOST_SEEDS, Interval
from federated.report.style import metric_label

_DECIDED: tuple[Verdict, ...] = ("better", "worse", "no difference")


def sentences(results: Sequence[RunResult], pairs: Sequence[Paired]) -> list[str]:
    """What a person with two minutes should know, the most important first; where nothing finished, what still runs."""
    best = best_arm(results)
    if best is None:
        return _running(results)
    arm, mean, metric = best
    of_the_gap = _gap_sentences(gap_closed(results), arm)
    if len(arms_of(candidates(results))) == 1:
        alone = f"{arm} ends at {metric_label(metric)} {mean:.3f}; there is no other arm to compare it with."
        return [alone, *of_the_gap, *_lost(results)]
    said = [_headline(results, pairs, *best), *of_the_gap]
    if not pairs:
        why = "the baseline has no finished run, or another main metric"
        return [*said, f"Nothing is compared: {why}.", *_lost(results)]
    shared = [pair for pair in pairs if pair.mean is not None]
    by_verdict = {
        verdict: [pair for pair in shared if pair.verdict == verdict] for verdict in get_args(Verdict)
    }
    said += [_about(verdict, by_verdict[verdict]) for verdict in _DECIDED if by_verdict[verdict]]
    said += [same.sentence() for same in identical_arms(candidates(results))]
    said += [_about("inconclusive", found) for found in [by_verdict["inconclusive"]] if found]
    if without := [pair.arm for pair in pairs if pair.mean is None]:
        said.append(f"Not compared, for want of runs that finished with both: {'; '.join(without)}.")
    said += _lost(results)
    least = min((pair.count for pair in shared), default=5)
    if least < 5:
        seeds = f"{least} seed{'' if least == 1 else 's'} an arm"
        said.append(f"With {seeds}, only large and steady differences can be told from chance.")
    if unpaired := [pair for pair in shared if pair.unpaired]:
        others = "Some arms" if len(unpaired) < len(shared) else "The arms"
        said.append(
            f"{others} had other data or partitions than {unpaired[0].baseline}: they are compared without pairing "
            f"their seeds (Welch), and what differs may be the data."
        )
    return said


def best_arm(results: Sequence[RunResult]) -> tuple[str, float, str] | None:
    """(arm, its mean, main metric) of the best mean among arms with the study's first main metric; no anchor.

    What is not finite is no score.
    """
    rivals = candidates(results)
    scores = {arm: list(outcomes_of(rivals, arm).scores.values()) for arm in arms_of(rivals)}
    metrics = {run.arm: run.main_metric for run in rivals if scores[run.arm]}
    if not metrics:
        return None
    metric = next(iter(metrics.values()))
    means = {
        arm: sum(scores[arm]) / len(scores[arm]) for arm, measured in metrics.items() if measured == metric
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


def share_text(closed: GapClosed) -> str:
    """`0.84 [0.80, 0.88]` of the anchors' gap, `[−∞, ∞]` without bounds; in words where they do not differ."""
    if closed.share is None:
        return "anchors do not differ" if closed.seeds else "no shared seed"
    ends = "" if closed.interval is None else f" [{closed.interval.low:.2f}, {closed.interval.high:.2f}]"
    return f"{closed.share:.2f}{ends}".replace("-", "−").replace("inf", "∞")


def _gap_sentences(closed: dict[str, GapClosed], best: str) -> list[str]:
    """What the best arm closes of the gap between the anchors, and for whom there is no such gap."""
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


def verdict_text(pair: Paired) -> str:
    """As `_verdict_text`; said where seeds were not paired."""
    return _verdict_text(pair) + (" (not paired)" if pair.unpaired else "")


def _verdict_text(pair: Paired) -> str:
    """`no difference larger than 0.01`, or `inconclusive, about 4 more seeds needed`."""
    if pair.verdict == "no difference":
        return f"no difference larger than {pair.delta:g}"
    if pair.verdict == "no effect":
        return "no effect: identical to the baseline"
    if pair.verdict != "inconclusive":
        return pair.verdict
    if pair.mean is None:
        return "inconclusive, no shared seed"
    if pair.more_seeds is None:
        return f"inconclusive, more than {MOST_SEEDS} seeds needed"
    least = "at least" if pair.count < 3 else "about"
    return f"inconclusive, {least} {pair.more_seeds} more seed{'' if pair.more_seeds == 1 else 's'} needed"


def difference_text(pair: Paired) -> str:
    """`+0.012 [+0.003, +0.021]`; without an interval where there is none."""
    if pair.mean is None:
        return "–"
    return f"{signed(pair.mean)} {interval_text(pair.interval)}".rstrip()


def interval_text(interval: Interval | None) -> str:
    """`[+0.003, +0.021]`, or nothing."""
    return "" if interval is None else f"[{signed(interval.low)}, {signed(interval.high)}]"


def signed(value: float) -> str:
    """Three decimals and a sign; a zero has none."""
    return "0.000" if abs(value) < 0.0005 else f"{value:+.3f}".replace("-", "−")


def _headline(
    results: Sequence[RunResult], pairs: Sequence[Paired], arm: str, mean: float, metric: str
) -> str:
    """The best arm with its interval over seeds, and that it is not shown to be better where it is not."""
    _, interval = interval_over_seeds([run for run in results if run.arm == arm], metric)
    ends = "" if interval is None else f" [{interval.low:.3f}, {interval.high:.3f}]".replace("-", "−")
    unsure = [pair for pair in pairs if pair.arm == arm and pair.verdict != "better"]
    doubt = f"; not shown to be better than {unsure[0].baseline}" if unsure else ""
    score = f"{mean:.3f}".replace("-", "−")
    return f"Best mean {metric_label(metric)}: {arm}, {score}{ends}{doubt}."


def _about(verdict: Verdict, pairs: Sequence[Paired]) -> str:
    """One sentence on the arms that share a verdict, the largest differences first: not all are named."""
    pairs = sorted(pairs, key=lambda pair: -abs(pair.mean or 0.0))
    baseline, delta = pairs[0].baseline, pairs[0].delta
    named = "; ".join(f"{pair.arm} ({difference_text(pair)})" for pair in pairs[:3])
    more = f"; and {len(pairs) - 3} more" if len(pairs) > 3 else ""
    if verdict in ("better", "worse"):
        return f"{verdict.capitalize()} than {baseline}: {named}{more}."
    if verdict == "no difference":
        return f"No difference larger than {delta:g} from {baseline}: {named}{more}."
    return f"Inconclusive against {baseline}{_seeds_needed(pairs)}: {named}{more}."


def _seeds_needed(pairs: Sequence[Paired]) -> str:
    """`, about 1 to 4 more seeds would decide`; with fewer than three nobody knows by how much seeds differ."""
    needed = [pair.more_seeds for pair in pairs]
    if None in needed:
        return ""
    least, most = (end(filter(None, needed), default=1) for end in (min, max))
    seeds = f"{most} more seed{'' if most == 1 else 's'}"
    return (
        f", at least {seeds} needed"
        if any(pair.count < 3 for pair in pairs)
        else f", about {f'{least} to ' if least < most else ''}{seeds} would decide"
    )
