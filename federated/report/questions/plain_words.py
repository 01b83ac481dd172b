"""The answers in plain words: one to three sentences that a person without the field's terms understands."""

from __future__ import annotations

from collections.abc import Sequence

from federated.config.training import Anchor
from federated.metrics.names import higher_is_better
from federated.report.findings.results import RunResult, arms_of, candidates
from federated.report.findings.verdicts import Paired, Verdict
from federated.report.questions.amounts import gain_text, level_text, measure_label
from federated.report.questions.answers import ALONE, EVERYBODY, Answer, ArmAnswer, client_word
from federated.report.questions.constants import (
    beats_constant,
    best_against_constant,
    constant_of,
    gains_on_constant,
)
from federated.report.questions.together import Together, together
from federated.report.text.phrases import counted, first_few, seeds_needed
from federated.report.text.scored_on import percent

_MOST_NAMED = 5

_VERDICTS: dict[Verdict, str] = {
    "better": "Better together than alone",
    "worse": "Better alone than together",
    "no difference": "Together about as good as alone",
    "no effect": "Together the same as alone",
    "inconclusive": "Together or alone is not decided",
}


def plain_words(results: Sequence[RunResult], found: Sequence[Answer], *, robust: bool = False) -> list[str]:
    """The answer to both questions, the most important sentence first; [] without anchors and a constant's defeat."""
    said, word = _constant_first(results, robust=robust), client_word(results)
    by_name = {answer.name: answer for answer in found}
    alone, everybody = by_name.get(ALONE.format(client=word)), by_name.get(EVERYBODY)
    losers: list[str] = []
    if alone is not None and alone.of_best is not None:
        best = alone.of_best
        counts = _counts(results, best, word)
        said += [*_alone(alone, best, counts, word), *_otherwise(alone, best), *_pooled(alone, best, word)]
        losers = _losers(counts, word)
    if everybody is not None and everybody.of_best is not None:
        same = alone is not None and alone.best == everybody.best
        named = "" if same else _named(everybody.of_best, everybody)
        said.append(_everybody(everybody, everybody.of_best, word) + named)
        if alone is None:
            said.append(_how_to_ask(results, word))
    return [*said, *losers]


def _counts(results: Sequence[RunResult], best: ArmAnswer, word: str) -> Together | None:
    if "local" not in best.against:
        return None
    pair = best.against["local"]
    return together(results, pair.arm, pair.baseline, by_name=word == "site")


def _alone(answer: Answer, best: ArmAnswer, counts: Together | None, word: str) -> list[str]:
    """Together against alone, on own held-out examples."""
    if "local" not in best.against:
        return []
    pair, local = best.against["local"], best.anchors["local"]
    alike = answer.metric.endswith("_mean")
    reach = (
        f"on average over {word}s they reach"
        if alike
        else f"over the examples of all {word}s together they reach"
    )
    levels = (
        f"{level_text(best.level.mean, answer.metric)} {answer.measure} instead of "
        f"{level_text(local.mean, answer.metric)}"
    )
    return [
        f"{_headline(pair)}: on their own held-out examples, {_how_many(counts, word, answer.measure)}"
        f"{reach} {levels}, {_gained(pair)}."
        f"{_named(best, answer)}"
    ]


def _pooled(answer: Answer, best: ArmAnswer, word: str) -> list[str]:
    """Federated training against all data in one place, on own held-out examples."""
    if "centralised" not in best.against:
        return []
    pair, reference = best.against["centralised"], best.anchors["centralised"]
    alike = f"on average over {word}s" if answer.metric.endswith("_mean") else "all of them together"
    where = "there" if "local" in best.against else f"on their own held-out examples, {alike}"
    return [
        f"With all data in one place they would reach {level_text(reference.mean, answer.metric)} {where}: "
        f"federated training {_against(pair)}."
    ]


def _otherwise(answer: Answer, best: ArmAnswer) -> list[str]:
    """The arms in which the answer on own held-out examples is another one than in the best arm."""
    if "local" not in best.against:
        return []
    stated = _headline(best.against["local"])
    others = [arm.against["local"] for arm in answer.arms if "local" in arm.against]
    named = [
        f"{pair.arm}, {_headline(pair)[:1].lower()}{_headline(pair)[1:]} "
        f"({gain_text(pair.estimate, pair.interval, pair.metric)})"
        for pair in others
        if pair.estimate is not None and _headline(pair) != stated
    ]
    return [f"The answer is another one in other arms: {first_few(named)}."] if named else []


def _headline(pair: Paired) -> str:
    """`Better together than alone`; what the seeds suggest is said where they suggest something."""
    if pair.verdict == "inconclusive" and (leaning := _leaning(pair)):
        return f"Probably {'better together than alone' if leaning > 0 else 'better alone than together'}"
    return _VERDICTS[pair.verdict]


def _leaning(pair: Paired) -> int:
    """1 or -1 where the interval of an undecided comparison holds no 0, so that it looks better or worse; else 0."""
    if pair.interval is None or pair.interval.low <= 0 <= pair.interval.high:
        return 0
    sign = 1 if higher_is_better(pair.metric) else -1
    return sign if pair.interval.low > 0 else -sign


def _everybody(answer: Answer, best: ArmAnswer, word: str) -> str:
    """One model for everybody, on the central test set; of an arm whose clients have their own, that it is none."""
    who = (
        f"No single model for everybody: on parts of the central test set the {word}s' own models reach"
        if best.own_models
        else "One model for everybody: on the central test set federated training reaches"
    )
    said = f"{who} {level_text(best.level.mean, answer.metric)} {answer.measure}"
    parts = [
        f"{_NAMES[anchor].format(word=word)} {level_text(best.anchors[anchor].mean, answer.metric)} "
        f"(federated training {_against(pair)})"
        for anchor, pair in best.against.items()
    ]
    return f"{said}, {' and '.join(parts)}."


_NAMES: dict[Anchor, str] = {"centralised": "all data in one place", "local": "the model of a {word} alone"}


def _how_many(counts: Together | None, word: str, measure: str) -> str:
    """`5 of 7 sites do better with federated training than alone; `, by which measure where that is another one."""
    if counts is None:
        return ""
    counted_by = measure_label(counts.metric)
    which = f"{word}s{_of_all(counts, counted_by)} do better{'' if counted_by == measure else f' by {counted_by}'}"
    if counts.by_name:
        how_many = f"{counts.better} of {counts.clients} {which}"
    elif counts.better == counts.clients:
        how_many = f"all {which}"
    else:
        how_many = f"{percent(counts.better / counts.clients)} of the {which}"
    return f"{how_many} with federated training than alone; "


def _of_all(counts: Together, measure: str) -> str:
    """` for which AUROC is defined (of 10)`, where there are others."""
    if not counts.undefined:
        return ""
    every = counts.clients + counts.undefined
    of = f"of {every}" if counts.by_name else f"{percent(counts.clients / every)} of all"
    return f" for which {measure} is defined ({of})"


def _gained(pair: Paired) -> str:
    """`+1.2 points [+0.3, +2.1]`, and what is missing where it decides nothing."""
    if pair.estimate is None:
        return "without a seed that both finished"
    said = gain_text(pair.estimate, pair.interval, pair.metric)
    if pair.verdict == "inconclusive":
        return f"{said}: {_undecided(pair)}"
    return said


def _against(pair: Paired) -> str:
    """`is worse, −2.0 points [−2.5, −1.5]`."""
    if pair.estimate is None:
        return "is not compared, as no seed finished with both"
    said = gain_text(pair.estimate, pair.interval, pair.metric)
    if pair.verdict == "inconclusive" and (leaning := _leaning(pair)):
        return f"is probably {'better' if leaning > 0 else 'worse'}, {said}, but these seeds do not decide"
    word = {
        "better": "better",
        "worse": "worse",
        "no difference": "about as good",
        "no effect": "the same",
        "inconclusive": "not shown to differ",
    }[pair.verdict]
    return f"is {word}, {said}"


def _undecided(pair: Paired) -> str:
    """The seeds that are missing."""
    outlook = seeds_needed([pair]).rstrip(".")
    return f"{outlook[:1].lower()}{outlook[1:]}" if outlook else "these seeds do not decide"


def _named(best: ArmAnswer, answer: Answer) -> str:
    """The arm that is spoken of, where the study has several."""
    return f" (Best arm: {best.level.arm}.)" if len(answer.arms) > 1 else ""


def _losers(counts: Together | None, word: str) -> list[str]:
    """The sites that do worse together, by name; none where they have no names."""
    if counts is None or not counts.by_name or not counts.losing:
        return []
    named = [f"{each.client} ({_lost(each.mean, counts.metric)})" for each in counts.losing]
    verb = f"{word}s do" if len(named) > 1 else f"{word} does"
    beyond = counts.beyond_noise
    noise = (
        f"{beyond or 'none'} of them by more than the noise between seeds"
        if len(named) > 1
        else ("by more than the noise between seeds" if beyond else "within the noise between seeds")
    )
    return [f"{len(named)} {verb} worse together than alone, {noise}: {first_few(named, _MOST_NAMED)}."]


def _lost(value: float, metric: str) -> str:
    """`−5.4 points`; with the measure where lower is better or the unit is its own: `MSE +3.20`."""
    said = gain_text(value, None, metric)
    return said if "points" in said and higher_is_better(metric) else f"{measure_label(metric)} {said}"


def _how_to_ask(results: Sequence[RunResult], word: str) -> str:
    open_question = f"Whether this is better than what each {word} has alone is not known, because"
    if any(float(run.parameters.get("holdout.client") or 0) > 0 for run in results):
        return f"{open_question} the measure is not defined on the examples that each {word} keeps to be tested on."
    return f"{open_question} no {word} keeps examples of its own to be tested on: set holdout.client, such as 0.2."


def _constant_first(results: Sequence[RunResult], *, robust: bool) -> list[str]:
    """The first sentence of a study whose best arm does not beat an answer that is the same for every example."""
    best = best_against_constant(results, robust=robust)
    if best is None:
        return []
    arm, metric, gain, interval = best
    if beats_constant(results, arm, metric):
        return []
    rivals = arms_of([run for run in candidates(results) if run.main_metric == metric])
    nobody = not any(beats_constant(results, rival, metric) for rival in rivals)
    reached = level_text(constant_of(results, arm, metric), metric)
    same = f"a constant answer: giving every example the same answer reaches {reached}, the best arm, {arm}"
    if gain <= 0:
        who = "No arm beats" if nobody else "The best arm does not beat"
        return [f"{who} {same}, {level_text(_score(results, arm, metric), metric)}."]
    who = "No arm is" if nobody else "The best arm is not"
    seeds = counted(len(gains_on_constant(results, arm, metric)), "seed")
    return [f"{who} shown to beat {same}, is better by {gain_text(gain, interval, metric)} with {seeds}."]


def _score(results: Sequence[RunResult], arm: str, metric: str) -> float | None:
    found = [run.final(metric) for run in results if run.arm == arm and run.finished]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known else None
