"""Every comparison with the baseline before tuning and after it, and what each arm chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from federated.metrics.names import metric_label
from federated.report.findings.by_seed import interval_over_seeds
from federated.report.findings.results import RunResult, arms_of
from federated.report.findings.verdicts import Paired, compare_paired
from federated.report.text.numbers_as_text import NOTHING, decimals_of, number
from federated.report.text.phrases import difference_text, first_few
from federated.report.text.table import Table
from federated.study.looks import Looks
from federated.study.tuning.tuned import tuned_of
from federated.tuning.found import ArmTuning, Cost
from federated.tuning.words import certainty, chosen_in_words, in_words, trials_in_words


@dataclass(frozen=True)
class Tuned:
    """The tuning of a study. arms: what each found. before: the runs of the arms as they were stated, each under the
    name of its tuned form. untuned: those of them that are no tuned arm's too, under their own names.
    """

    arms: Sequence[ArmTuning]
    before: Sequence[RunResult]
    untuned: Sequence[RunResult] = ()

    @property
    def cost(self) -> Cost:
        """Of all arms."""
        return sum((arm.cost for arm in self.arms), Cost())

    @property
    def chosen_by(self) -> str:
        """By what the arms chose their values, in a sentence."""
        metrics = " or ".join(dict.fromkeys(metric_label(arm.metric) for arm in self.arms))
        return f"Each arm chose its values by {metrics}, with the same effort and on examples that judge nothing."

    @property
    def warnings(self) -> list[str]:
        """For each arm that could not choose, and for each whose choice is at the end of its space."""
        without = [chosen_in_words(arm) for arm in self.arms if arm.trials and not arm.choice]
        return without + [
            f"{arm.arm}: the choice of {', '.join(arm.edges)} is at the edge of its space "
            f"({', '.join(arm.space[path] for path in arm.edges)}), so a better one may lie beyond; widen it"
            for arm in self.arms
            if arm.edges
        ]


def apart(results: Sequence[RunResult]) -> tuple[list[RunResult], list[RunResult]]:
    """(the runs that are compared, those of arms as they were stated before they were tuned)."""
    untuned = [run for run in results if tuned_of(run.arm)]
    return [run for run in results if not tuned_of(run.arm)], untuned


def tuned_among(
    arms: Sequence[ArmTuning], compared: Sequence[RunResult], untuned: Sequence[RunResult]
) -> Tuned:
    """The tuning of a study. compared, untuned: its runs, see `apart`. An arm that chose what was stated
    is the same before."""
    before = [replace(run, arm=tuned_of(run.arm)) for run in untuned]
    known = {run.arm for run in before}
    order = {arm: at for at, arm in enumerate(arms_of(compared))}
    every = [*before, *(run for run in compared if run.arm not in known)]
    return Tuned(arms, sorted(every, key=lambda run: order.get(run.arm, len(order))), untuned)


def pairs_before(
    tuned: Tuned, after: Sequence[Paired], delta: float, looks: Looks, *, robust: bool
) -> list[Paired]:
    """The comparisons of the arms as they were stated, with the baseline that they have after tuning."""
    baseline = after[0].baseline if after else None
    if baseline is None or baseline not in arms_of(tuned.before):
        return []
    return compare_paired(tuned.before, baseline, delta, looks, robust=robust)


def differences_table(
    tuned: Tuned, results: Sequence[RunResult], before: Sequence[Paired], after: Sequence[Paired]
) -> Table:
    """A row for each arm, the baseline first: its score and its difference from the baseline, before and after.

    results: the runs that are compared.
    """
    if not after:
        return Table((), ())
    baseline, metric, label = after[0].baseline, after[0].metric, metric_label(after[0].metric)
    first, last = ({pair.arm: pair for pair in pairs} for pairs in (before, after))

    def scores(arm: str) -> list[str]:
        means = [_mean(tuned.before, arm, metric), _mean(results, arm, metric)]
        return [number(mean, decimals_of(metric, mean)) for mean in means]

    rows = [
        [baseline, *scores(baseline), NOTHING, "baseline", NOTHING, "baseline"],
        *([arm, *scores(arm), *_difference(first.get(arm)), *_difference(last[arm])] for arm in last),
    ]
    note = (
        f"Differences are arm minus {baseline}, paired by seed, on the data that judge; each side is corrected for its "
        "comparisons. Before: every arm as the study file states it. After: with its own choice. Intervals are over "
        "seeds: that another search might have chosen otherwise is not in them."
    )
    columns = ("arm", f"{label} before", f"{label} after", "difference before", "verdict before")
    return Table((*columns, "difference after", "verdict after"), rows, note)


def _mean(results: Sequence[RunResult], arm: str, metric: str) -> float | None:
    """Over the seeds that finished."""
    return interval_over_seeds([run for run in results if run.arm == arm], metric)[0]


def _difference(pair: Paired | None) -> list[str]:
    if pair is None or pair.estimate is None:
        return [NOTHING, NOTHING]
    return [difference_text(pair), pair.verdict]


def tuning_sentences(tuned: Tuned, before: Sequence[Paired], after: Sequence[Paired]) -> list[str]:
    """The verdicts that are other ones once every arm has chosen its values, and the arms whose choice was not sure; []
    where nothing is compared before.
    """
    first = {pair.arm: pair for pair in before if pair.estimate is not None}
    pairs = [(first[pair.arm], pair) for pair in after if pair.arm in first and pair.estimate is not None]
    if not pairs:
        return []
    changed = [
        f"{now.arm} (as stated {was.verdict}, {difference_text(was)}; tuned {now.verdict}, {difference_text(now)})"
        for was, now in pairs
        if was.verdict != now.verdict
    ]
    baseline = after[0].baseline
    unsure = _unsure(tuned)
    if changed:
        return [
            f"Tuning all arms alike changes the verdict against {baseline} on {first_few(changed)}.",
            *unsure,
        ]
    return [f"Tuning all arms alike changes no verdict against {baseline}.", *unsure]


def _unsure(tuned: Tuned) -> list[str]:
    arms = [arm.arm for arm in tuned.arms if any(gain <= 0 for gain in arm.runner_up)]
    if not arms:
        return []
    return [
        f"The choice of {first_few(arms)} was not sure: another finalist was as good or better with some of the "
        "further seeds, so another search may choose otherwise."
    ]


def choices_table(tuned: Tuned) -> Table:
    """A row for each arm: its choice, how sure it is, and what it cost."""
    rows = [
        [
            arm.arm,
            in_words(arm.choice) or "as it is stated",
            in_words(arm.stated),
            trials_in_words(arm),
            f"{arm.best_first[0].mean:.4g}" if arm.choice else "–",
            certainty(arm),
            str(arm.trainings),
            *_spent(arm.cost),
        ]
        for arm in tuned.arms
    ]
    counts = [
        sum(counts) for counts in ([len(a.trials) for a in tuned.arms], [a.trainings for a in tuned.arms])
    ]
    whole = ["all", "", "", str(counts[0]), "", "", str(counts[1]), *_spent(tuned.cost)]
    columns = (
        *("arm", "chose", "stated", "trials", "score", "how sure", "trainings"),
        *("rounds", "MB", "seconds", "epsilon"),
    )
    private = tuned.cost.epsilon > 0
    note = (
        "Scores are of the tuning part, with seeds that are none of the study's: all trials share one seed, the best "
        "are run again with further seeds, and these alone choose. The best score of many trials is too good; the "
        "score here is of the further seeds. Trainings are those of trials and finalists; a trial with the values "
        "of an earlier one was not trained again."
    )
    note += (
        " Each training of a trial spends its own epsilon; the sum is by basic composition and is not in the epsilon "
        "of the arms."
        if private
        else ""
    )
    cut = len(columns) if private else len(columns) - 1
    return Table(columns[:cut], [row[:cut] for row in [*rows, whole]], note)


def _spent(cost: Cost) -> list[str]:
    epsilon = f"{cost.epsilon:.3g}" if cost.epsilon else NOTHING
    return [f"{cost.rounds:,}", number(cost.megabytes), f"{cost.seconds:,.0f}", epsilon]
