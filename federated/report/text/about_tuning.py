"""The tuning of an arm in lines: what it chose of which values, on what, how sure that is, and what it took."""

from __future__ import annotations

from federated.metrics.names import metric_label
from federated.report.text.numbers_as_text import number
from federated.report.text.phrases import counted
from federated.tuning.found import ArmTuning
from federated.tuning.words import certainty, chosen_in_words, shown, trials_in_words


def tuning_lines(found: ArmTuning) -> list[str]:
    """Of an arm that tried something; [] of one that had nothing to choose."""
    if not found.trials:
        return []
    cost = found.cost
    trainings = counted(found.trainings, "training")
    took = f"It took {trainings}: {cost.rounds:,} rounds, {number(cost.megabytes)} MB up and down"
    promised = f", and epsilon {cost.epsilon:.3g} by basic composition, which no epsilon below includes"
    return [*_choice(found), f"{took}{promised if cost.epsilon else ''}"]


def _choice(found: ArmTuning) -> list[str]:
    if not found.choice:
        return [chosen_in_words(found)]
    best = found.best_first[0]
    return [
        *(
            f"{path}: {shown(value)}, chosen of {found.space[path]}; the study states {shown(found.stated.get(path))}"
            for path, value in found.choice.items()
        ),
        f"Chosen by {metric_label(found.metric)}, on examples that judge nothing: {trials_in_words(found)} trials, the "
        f"best {len(found.finalists)} of them again with {counted(len(best.scores), 'further seed')}, of which it had "
        f"{number(best.mean)} ({certainty(found)})",
    ]
