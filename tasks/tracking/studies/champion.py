"""The best arm's model in the registry, and whether it takes the place of the present champion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from requests import RequestException
from sqlalchemy.exc import SQLAlchemyError

from federated.foundation.errors import BadInput
from federated.report import RunResult
from federated.report.costs.promises import (
    about_registered,
    epsilon_alone,
    promise_of,
    promise_sentences,
    weaker,
    within_epsilon,
)
from federated.report.findings.by_seed import best_arm
from federated.report.findings.results import within
from federated.report.findings.verdicts import Paired, compare_pairs
from federated.report.questions.constants import constant_of, worse_than_constant
from federated.report.questions.epsilons import promise_text
from federated.report.text.model_card import model_card
from federated.study.comparison import Comparison
from federated.study.looks import Looks
from federated.tuning.found import ArmTuning
from federated.tuning.words import in_words
from tasks.tracking.delivery.messages import show
from tasks.tracking.models.registry import (
    CHALLENGER,
    CHAMPION,
    give,
    logged_model_of,
    names_with_challengers,
    register,
    require_ours,
    version_with,
)
from tasks.tracking.reading.clients import with_clients
from tasks.tracking.reading.search import results_of_study
from tasks.tracking.reading.studies import Parent, parent_of_run
from tasks.tracking.runs import runs
from tasks.tracking.server.failures import is_away, is_gone, reason, refusal
from tasks.tracking.server.limits import tags_of

CARD = "model_card.md"
_CONSTANT = "constant_answer"
"""Tag of a version whose arm does not beat a constant answer: what that one gets."""


def register_best(
    parent: Parent, judged: Comparison, results: Sequence[RunResult], tuned: Sequence[ArmTuning] = ()
) -> str:
    """Register the model of a study's best arm, and decide whether it is the champion: what was done, in a line.

    Empty where nothing was registered. tuned: what arms chose before they ran.

    A store without a registry, one that denies access to it, and a model of this name that is not fedstudy's are said
    in a line and fail nothing. Raises what says that MLflow is away.
    """
    if judged.registry == "off":
        return ""
    try:
        if (version := _register(parent, judged, _among(judged, results), results, tuned)) is None:
            return ""
        decision = decide(version) if judged.registry == CHAMPION else _wait(version)
        runs.set_tags(parent.run.info.run_id, {"registered": f"{version.name}/{version.version}: {decision}"})
        said = f"{version.name}, version {version.version} in MLflow's model registry: {decision}"
        about = about_registered(results, version.tags.get("arm", ""), judged.epsilon)
        return f"{said}. {about}" if about else said
    except (BadInput, MlflowException, RequestException, SQLAlchemyError) as error:
        if is_away(error) and refusal(error) is None:
            raise
        show(f"the best arm's model is not in the registry: {reason(error)}")
        return ""


def _among(judged: Comparison, results: Sequence[RunResult]) -> Sequence[RunResult]:
    """The runs of the arms whose model may be registered."""
    return results if judged.epsilon is None else within_epsilon(results, judged.epsilon)


def _register(
    parent: Parent,
    judged: Comparison,
    among: Sequence[RunResult],
    results: Sequence[RunResult],
    tuned: Sequence[ArmTuning],
) -> ModelVersion | None:
    """among: the runs of the arms that are to be chosen from. results: of all arms."""
    robust = judged.interval == "robust"
    found = best_arm(among, robust=robust)
    if found is None:
        if judged.epsilon is not None:
            show(
                f"no model is in the registry: no arm promises comparison.epsilon: {judged.epsilon:g} or less"
            )
        return None
    arm, score, metric = found
    finished = [run for run in results if run.arm == arm and run.finished]
    run = finished[0]  # the first of the study's seeds that finished: no score chooses among them
    model_id = logged_model_of(run.run_id)
    if model_id is None:
        show(f"the best arm, {arm}, has no one model that could be registered")
        return None
    others = promise_sentences(results, robust=robust)
    chosen = next((each for each in tuned if each.arm == arm), None)
    name = parent.run.data.tags["study"]
    card = model_card(name, parent.description, with_clients(finished), run, others, chosen)
    runs.log_files(parent.run.info.run_id, {CARD: card})
    tags = {
        "study": run.study,
        "study_run": parent.run.info.run_id,
        "arm": arm,
        "seed": str(run.seed),
        "seed_chosen": "the first that finished",
        "data_digest": run.data_digest,
        "main_metric": metric,
        "score": f"{score:.6g}",
        "seeds": ", ".join(str(each.seed) for each in finished),
        "holdout": _holdout(run),
        _CONSTANT: _beside_constant(finished, arm, metric),
        **({"tuned": in_words(chosen.choice)} if chosen is not None and chosen.choice else {}),
    }
    promised = promise_of(finished)
    if promised.epsilon is not None:
        tags |= {"epsilon": promise_text(promised.epsilon), "epsilon_unit": promised.unit}
        tags |= {} if promised.delta is None else {"epsilon_delta": f"{promised.delta:g}"}
    return register(run.study, run.run_id, model_id, tags_of(tags), card)


def _beside_constant(results: Sequence[RunResult], arm: str, metric: str) -> str:
    """Empty where the arm is better than a constant answer, or nothing is known of one; else what that one gets."""
    constant = constant_of(results, arm, metric)
    return f"{constant:.4g}" if constant is not None and worse_than_constant(results, arm, metric) else ""


def _holdout(run: RunResult) -> str:
    stated = {name: value for name, value in run.parameters.items() if name.startswith("holdout")}
    return "; ".join(f"{name}={value}" for name, value in sorted(stated.items()))


def _wait(version: ModelVersion) -> str:
    decision = "challenger: waits for promote-champion"
    champion = version_with(version.name, CHAMPION)
    if champion is None or champion.version != version.version:
        give(CHALLENGER, version, decision)
    return decision


def promote(name: str | None = None) -> dict[str, str]:
    """Decide again on the challenger of a registered model, or of all that have one: name -> the decision.

    A study that went on with more seeds may decide what was open before. A model on which nothing can be decided does
    not stop the others. Raises BadInput where there is no such model, and where it is none of fedstudy's.
    """
    if name is None:
        try:
            names = names_with_challengers()
        except MlflowException as error:
            if is_away(error):
                raise
            raise BadInput(f"this MLflow has no model registry: {reason(error)}") from error
        return {each: _promoted(each) for each in names}
    challenger = version_with(name, CHALLENGER)
    if challenger is None and version_with(name, CHAMPION) is None:
        raise BadInput(f"model: no registered model {name!r} has a champion or a challenger")
    require_ours(name)
    return {name: "no challenger" if challenger is None else decide(challenger)}


def _promoted(name: str) -> str:
    try:
        return promote(name)[name]
    except (BadInput, MlflowException) as error:
        if is_away(error):
            raise
        return f"not decided: {reason(error)}"


def decide(version: ModelVersion) -> str:
    """Make a version the champion where it is the first, or better than the present one; else challenger. In words.

    No version becomes champion that is no better than a constant answer.
    """
    champion = version_with(version.name, CHAMPION)
    if champion is not None and champion.version == version.version:
        return "it is the champion"
    if constant := version.tags.get(_CONSTANT):
        score, metric = version.tags["score"], version.tags["main_metric"]
        wins, why = False, f"no better than a constant answer, {score} and {constant} in {metric}"
    elif champion is None:
        wins, why = True, "the first model of this name"
    else:
        wins, why = _against(version, champion)
    decision = f"{CHAMPION if wins else CHALLENGER}: {why}"
    give(CHAMPION if wins else CHALLENGER, version, decision)
    return decision


def _against(version: ModelVersion, champion: ModelVersion) -> tuple[bool, str]:
    """Whether the paired comparison says that a version is better than the champion, and why."""
    named = f"version {champion.version}"
    for tag, words in _SAME.items():
        if version.tags.get(tag) != champion.tags.get(tag):
            return False, f"not compared with {named}, which has {words}"
    if not all("study_run" in each.tags for each in (version, champion)):
        return False, f"not compared with {named}: of one of the two MLflow does not know the study"
    try:
        mine, theirs = (_results(each) for each in (version, champion))
        pair = _pair(version, mine, theirs)
    except (BadInput, MlflowException) as error:  # somebody deleted the study of either, or its file
        if isinstance(error, MlflowException) and not is_gone(error):
            raise
        return False, f"not compared with {named}: {reason(error)}"
    if pair.unpaired:
        return False, f"not paired with {named}: its clients hold other examples, or the seeds differ"
    if pair.estimate is None or pair.interval is None:
        return False, f"{pair.verdict} against {named}, {len(pair.seeds)} seeds"
    ends = f"{pair.estimate:+.4g} [{pair.interval.low:+.4g}, {pair.interval.high:+.4g}] in {pair.metric}"
    said = f"{pair.verdict} against {named}, {ends}, {len(pair.seeds)} seeds"
    if pair.verdict != "better":
        return False, said
    promises = promise_of(mine), promise_of(theirs)
    if less := weaker(*promises):
        return False, f"{said}, but it {less}"
    return True, "; ".join(filter(None, (said, epsilon_alone(*promises))))


_SAME = {
    "data_digest": "other data",
    "main_metric": "another main metric",
    "holdout": "other held-out examples",
}


def _pair(version: ModelVersion, mine: list[RunResult], theirs: list[RunResult]) -> Paired:
    """The arm of a version against that of the champion, by what MLflow holds now and the rules of its study."""
    parent = parent_of_run(version.tags["study_run"])
    judged = Comparison.model_validate(parent.stated.get("comparison") or {})
    names = (mine[0].arm, theirs[0].arm)
    looks, robust = Looks(judged.looks), judged.interval == "robust"
    metric = version.tags["main_metric"]
    return compare_pairs([*mine, *theirs], [names], metric, judged.delta, looks, robust=robust)[0]


def _results(version: ModelVersion) -> list[RunResult]:
    """The runs of a version's arm, named so that two versions are arms of two studies."""
    found = results_of_study(version.tags["study_run"])
    of_arm = [run for run in found if run.arm == version.tags["arm"]]
    if not of_arm:
        raise BadInput(f"the runs of version {version.version} of {version.name} are gone from MLflow")
    name = f"version {version.version}"
    return [replace(run, study=name, arm=within(name, run.arm)) for run in of_arm]
