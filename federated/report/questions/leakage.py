"""The findings of attacks in each arm: sentences in plain words, and tables with intervals over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from federated.report.findings.by_seed import interval_over_seeds
from federated.report.findings.results import RunResult, arms_of
from federated.report.text.numbers_as_text import NOTHING, decimals_of, interval, with_interval
from federated.report.text.phrases import first_few
from federated.report.text.table import Table

_ATTACKS = {"loss": "loss threshold", "lira": "LiRA", "lira_offline": "LiRA offline"}
_ORDER = ("lira_offline", "lira", "loss")
"""The attack that sentences are of, whatever was found: the first that all arms have."""
_TARGETS = {"membership": "the final model", "update_membership": "updates"}
_IN_ONE = "privacy/{}_updates_in_one"
_FIGURES = {
    "auc": "AUC",
    "tpr_at_fpr_01": "found at 1 % false alarms",
    "tpr_at_fpr_001": "found at 0.1 % false alarms",
    "divergence_correlation": "rank correlation with label divergence",
}
_READ = {
    "privacy/inversion_psnr": "by search",
    "privacy/inversion_closed_form_psnr": "in closed form",
}
_RELEASED = {
    "privacy/inversion_released_psnr": "by search",
    "privacy/inversion_released_closed_form_psnr": "in closed form",
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

    def name(self, runs: Sequence[RunResult]) -> str:
        """With what is attacked in these runs: `LiRA on single updates`."""
        on = _read_as(runs, self.target) if self.target == "update_membership" else _TARGETS[self.target]
        return f"{_ATTACKS[self.attack]} on {on}"


def membership_text(results: Sequence[RunResult]) -> Table | None:
    """A row for each arm and attack; None where no run was attacked."""
    runs = _with(results, "privacy/membership_")
    logged = {name for run in runs for name in run.metric_names}
    attacks = [_Attack(attack, target) for target in _TARGETS for attack in _ATTACKS]
    figures = [figure for figure in _FIGURES if any(each.start + figure in logged for each in attacks)]
    rows = [
        [arm, each.name(mine), *(_cell(mine, each.start + figure) for figure in figures)]
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
    released = {metric: f"as released, {words}" for metric, words in _RELEASED.items()}
    titles = {**_READ, **released, _BLIND: "a guess", _LABELS: "classes read off"}
    shown = [metric for metric in titles if metric in logged]
    rows = [[arm, *(_cell(_of(runs, arm), metric) for metric in shown)] for arm in arms_of(runs)]
    return Table(["arm", *(titles[metric] for metric in shown)], rows, _NOTE_ON_IMAGES)


def leakage_sentences(results: Sequence[RunResult]) -> list[str]:
    """What a person without the field's terms needs: how much leaks, for whom, and what of images can be seen."""
    runs = _with(results, "privacy/membership_")
    chosen = {target: _beforehand(runs, target) for target in _TARGETS}
    model, update = (_said(runs, partial(_right, attack=attack)) for attack in chosen.values())
    outliers, images = (
        _said(runs, partial(_outliers, attack=chosen["membership"])),
        _said(_with(results, "privacy/inversion_"), _nearest),
    )
    said = []
    if model:
        on_updates = f" On updates as the server reads them: {update}." if update else ""
        said.append(
            "Was this example trained on? Of a training and a held-out example of the same clients, an attack on the "
            f"final model, the same for all arms, picks the right one in {model}; a guess is right in 50 %.{on_updates}"
        )
    if outliers:
        said.append(f"Do clients with unusual labels leak more? {outliers}.")
    if images:
        said.append(
            f"Can training images be drawn again from updates? {images}. Above about 20 dB a small image is recognised "
            "at a glance."
        )
    return said


def not_measured(results: Sequence[RunResult]) -> list[str]:
    """The runs in which an attack failed, with the reason, in a sentence; [] where none did."""
    failed = [f"{run.arm}, seed {run.seed} ({run.leakage_failed})" for run in results if run.leakage_failed]
    return [f"Trained, and not measured whole: {first_few(failed, _MOST)}."] if failed else []


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


def _beforehand(runs: Sequence[RunResult], target: str) -> _Attack | None:
    """The first of a fixed order that all arms have, as the best of several AUCs is above 0.5 by chance alone."""
    arms = [_of(runs, arm) for arm in arms_of(runs)]
    attacks = [_Attack(attack, target) for attack in _ORDER]
    attacked = [arm for arm in arms if any(_has(arm, each) for each in attacks)]
    return next((each for each in attacks if attacked and all(_has(arm, each) for arm in attacked)), None)


def _has(runs: Sequence[RunResult], attack: _Attack) -> bool:
    return any(f"{attack.start}auc" in run.metric_names for run in runs)


def _right(runs: Sequence[RunResult], attack: _Attack | None) -> str:
    """`63.2 % [60.1, 66.3] by LiRA`, of updates with how many of them the server can read as one."""
    if attack is None:
        return ""
    auc, ends = interval_over_seeds(runs, f"{attack.start}auc")
    if auc is None:
        return ""
    of_hundred = interval(None if ends is None else (100 * ends.low, 100 * ends.high), 1)
    read = f" ({_read_as(runs, attack.target)})" if attack.target == "update_membership" else ""
    return f"{f'{100 * auc:.1f} % {of_hundred}'.rstrip()} by {_ATTACKS[attack.attack]}{read}"


def _read_as(runs: Sequence[RunResult], target: str) -> str:
    """`single updates`, or `the sum of 5 updates`; `updates` where runs differ or do not say."""
    found = {run.final(_IN_ONE.format(target)) for run in runs}
    (count,) = found if len(found) == 1 else (None,)
    if count is None:
        return "updates"
    return "single updates" if count == 1 else f"the sum of {count:,.0f} updates"


def _outliers(runs: Sequence[RunResult], attack: _Attack | None) -> str:
    if attack is None:
        return ""
    mean, ends = interval_over_seeds(runs, f"{attack.start}divergence_correlation")
    if mean is None:
        return ""
    undecided = ends is None or ends.low <= 0 <= ends.high
    verdict = "not shown either way" if undecided else "yes" if mean > 0 else "no, they leak less"
    return f"{verdict} (rank correlation {with_interval(mean, ends, 2, signed=True)})"


def _nearest(runs: Sequence[RunResult]) -> str:
    """`120.0 dB in closed form and 14.2 dB by search from single updates, as the server reads them, and 7.7 dB by
    search from the released step of the model (11.0 dB by a guess without any update)`."""
    read, released, blind = (_each(runs, metrics) for metrics in (_READ, _RELEASED, {_BLIND: ""}))
    if not read or not blind:
        return ""
    others = f", and {' and '.join(released)} from the released step of the model" if released else ""
    return (
        f"{' and '.join(read)} from {_read_as(runs, 'inversion')}, as the server reads them{others} ({blind[0]} by a "
        "guess without any update)"
    )


def _each(runs: Sequence[RunResult], metrics: Mapping[str, str]) -> list[str]:
    """`120.0 dB in closed form`: every attack that was made, the nearest first."""
    means = {words: interval_over_seeds(runs, metric)[0] for metric, words in metrics.items()}
    known = [(mean, words) for words, mean in means.items() if mean is not None]
    return [f"{mean:.1f} dB {words}".rstrip() for mean, words in sorted(known, reverse=True)]


_NOTE = (
    "Attacks after the last round, means with 95 % intervals over seeds. AUC: the chance that a training example "
    "scores higher than a held-out one of the same clients, 0.5 by guessing; the largest of several AUCs is above that "
    "by chance alone. An attack that fails proves nothing: "
    "another may not. Curves and single clients are in MLflow: leakage.json, leakage_roc.json and membership.png of "
    "each run."
)
_NOTE_ON_IMAGES = (
    "Peak signal over noise, in dB, of images drawn again from updates that few images are behind, and of the mean "
    "training image, which is guessed without any update; 120 is exact. Means with 95 % intervals over seeds. The "
    "search matches one plain gradient: other optimisers, several local steps and control variates stand in its way, "
    "which is no protection from an attack made for them."
)
