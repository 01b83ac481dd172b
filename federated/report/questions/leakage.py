"""The findings of attacks in each arm: sentences in plain words, and tables with intervals over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from federated.report.findings.by_seed import interval_over_seeds
from federated.report.findings.results import RunResult, arms_of
from federated.report.statistics.paired import Interval
from federated.report.text.numbers_as_text import NOTHING, decimals_of, interval, with_interval
from federated.report.text.phrases import first_few
from federated.report.text.table import Table

_ATTACKS = {"loss": "loss threshold", "lira": "LiRA", "lira_offline": "LiRA offline"}
_TARGETS = {"membership": "the final model", "update_membership": "single updates"}
_FIGURES = {
    "auc": "AUC",
    "tpr_at_fpr_01": "found at 1 % false alarms",
    "tpr_at_fpr_001": "found at 0.1 % false alarms",
    "divergence_correlation": "rank correlation with label divergence",
}
_PSNR = {
    "privacy/inversion_psnr": "by search",
    "privacy/inversion_closed_form_psnr": "in closed form",
    "privacy/inversion_released_psnr": "as released, by search",
    "privacy/inversion_released_closed_form_psnr": "as released, in closed form",
}
_BLIND = "privacy/inversion_blind_psnr"
_LABELS = "privacy/inversion_label_accuracy"
_MOST = 6


class _Attack(NamedTuple):
    """An attack on one target, by the beginning of its metrics."""

    attack: str
    target: str

    @property
    def start(self) -> str:
        return f"privacy/{self.target}_{self.attack}_"

    @property
    def name(self) -> str:
        return f"{_ATTACKS[self.attack]} on {_TARGETS[self.target]}"


def membership_text(results: Sequence[RunResult]) -> Table | None:
    """A row for each arm and attack; None where no run was attacked."""
    runs = _with(results, "privacy/membership_")
    logged = {name for run in runs for name in run.metric_names}
    attacks = [_Attack(attack, target) for target in _TARGETS for attack in _ATTACKS]
    figures = [figure for figure in _FIGURES if any(each.start + figure in logged for each in attacks)]
    rows = [
        [arm, each.name, *(_cell(mine, each.start + figure) for figure in figures)]
        for arm in arms_of(runs)
        if (mine := _of(runs, arm))
        for each in attacks
        if any(each.start + "auc" in run.metric_names for run in mine)
    ]
    return Table(["arm", "attack", *(_FIGURES[figure] for figure in figures)], rows, _NOTE) if rows else None


def inversion_text(results: Sequence[RunResult]) -> Table | None:
    """A row for each arm: how near images come that are drawn again, in dB; None where none were."""
    runs = _with(results, "privacy/inversion_")
    if not runs:
        return None
    logged = {name for run in runs for name in run.metric_names}
    titles = {**_PSNR, _BLIND: "a guess", _LABELS: "classes read off"}
    shown = [metric for metric in titles if metric in logged]
    rows = [[arm, *(_cell(_of(runs, arm), metric) for metric in shown)] for arm in arms_of(runs)]
    return Table(["arm", *(titles[metric] for metric in shown)], rows, _NOTE_ON_IMAGES)


def leakage_sentences(results: Sequence[RunResult]) -> list[str]:
    """What a person without the field's terms needs: how much leaks, for whom, and what of images can be seen."""
    runs = _with(results, "privacy/membership_")
    model, update = (_said(runs, partial(_right, target=target)) for target in _TARGETS)
    outliers, images = _said(runs, _outliers), _said(_with(results, "privacy/inversion_"), _nearest)
    said = []
    if model:
        on_updates = f" Of single updates: {update}." if update else ""
        said.append(
            "Was this example trained on? Of a training and a held-out example of the same clients, the strongest "
            f"attack on the final model picks the right one in {model}; a guess is right in 50 %.{on_updates}"
        )
    if outliers:
        said.append(f"Do clients with unusual labels leak more? {outliers}.")
    if images:
        said.append(
            f"Can training images be drawn again from an update? The better attack comes as near as {images}. Above "
            "about 20 dB a small image is recognised at a glance."
        )
    return said


def _with(results: Sequence[RunResult], start: str) -> list[RunResult]:
    """The finished runs that have metrics which begin so."""
    return [
        run for run in results if run.finished and any(name.startswith(start) for name in run.metric_names)
    ]


def _of(runs: Sequence[RunResult], arm: str) -> list[RunResult]:
    return [run for run in runs if run.arm == arm]


def _said(runs: Sequence[RunResult], about: Callable[[Sequence[RunResult]], str]) -> str:
    """What is said of each arm, by name."""
    words = {arm: about(_of(runs, arm)) for arm in arms_of(runs)}
    return first_few([f"{arm} {word}" for arm, word in words.items() if word], _MOST)


def _cell(runs: Sequence[RunResult], metric: str) -> str:
    mean, ends = interval_over_seeds(runs, metric)
    return (
        NOTHING
        if mean is None
        else with_interval(mean, ends, 1 if "psnr" in metric else decimals_of(metric, mean))
    )


def _strongest(runs: Sequence[RunResult], target: str) -> tuple[_Attack, float, Interval | None] | None:
    """The attack with the largest mean AUC, and that with its interval."""
    found = [
        (each, mean, ends)
        for attack in _ATTACKS
        for each in [_Attack(attack, target)]
        for mean, ends in [interval_over_seeds(runs, f"{each.start}auc")]
        if mean is not None
    ]
    return max(found, key=lambda one: one[1], default=None)


def _right(runs: Sequence[RunResult], target: str) -> str:
    """`63.2 % [60.1, 66.3] by LiRA`."""
    strongest = _strongest(runs, target)
    if strongest is None:
        return ""
    attack, auc, ends = strongest
    of_hundred = interval(None if ends is None else (100 * ends.low, 100 * ends.high), 1)
    return f"{f'{100 * auc:.1f} % {of_hundred}'.rstrip()} by {_ATTACKS[attack.attack]}"


def _outliers(runs: Sequence[RunResult]) -> str:
    """By the strongest attack on the final model."""
    strongest = _strongest(runs, "membership")
    if strongest is None:
        return ""
    mean, ends = interval_over_seeds(runs, f"{strongest[0].start}divergence_correlation")
    if mean is None:
        return ""
    undecided = ends is None or ends.low <= 0 <= ends.high
    verdict = "not shown either way" if undecided else "yes" if mean > 0 else "no, they leak less"
    return f"{verdict} (rank correlation {with_interval(mean, ends, 2, signed=True)})"


def _nearest(runs: Sequence[RunResult]) -> str:
    """`25.1 dB (11.7 by a guess without any update)`, of the better attack."""
    means = [interval_over_seeds(runs, metric)[0] for metric in _PSNR]
    known, blind = [mean for mean in means if mean is not None], interval_over_seeds(runs, _BLIND)[0]
    return (
        f"{max(known):.1f} dB ({blind:.1f} by a guess without any update)"
        if known and blind is not None
        else ""
    )


_NOTE = (
    "Attacks after the last round, means with 95 % intervals over seeds. AUC: the chance that a training example "
    "scores higher than a held-out one of the same clients, 0.5 by guessing. An attack that fails proves nothing: "
    "another may not. Curves and single clients are in MLflow: leakage.json, leakage_roc.json and membership.png of "
    "each run."
)
_NOTE_ON_IMAGES = (
    "Peak signal over noise, in dB, of images drawn again from updates that few images are behind, and of the mean "
    "training image, which is guessed without any update; 120 is exact. Means with 95 % intervals over seeds."
)
