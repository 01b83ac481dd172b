"""Versions of a study in sentences: the arms that changed, how much, and what the versions differ in besides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from federated.foundation.texts import shortened
from federated.report.findings.identical_arms import differing
from federated.report.findings.results import RunResult
from federated.report.findings.verdicts import Paired, Verdict
from federated.report.text.phrases import (
    capitalised,
    counted,
    difference_text,
    every,
    first_few,
    seeds_needed,
)
from federated.report.text.sentences import is_equal, reservations
from federated.report.versions.arm_by_arm import own_name, same_arms, without_partner
from federated.report.versions.version import Version, short

_KINDS: dict[Verdict, str] = {
    "worse": "worse",
    "better": "better",
    "inconclusive": "inconclusive",
    "no difference": "without a difference that matters",
    "no effect": "identical",
}
"""Verdict -> its word in the count of arms, what needs attention first."""
_LONGEST_VALUE = 40


def version_sentences(
    results: Sequence[RunResult],
    pairs: Sequence[Paired],
    versions: Sequence[Version],
    *,
    robust: bool = False,
) -> list[str]:
    """The changes of every later version against the first, then their origin and the limits of the comparison."""
    runs = {run.arm: run for run in reversed(results)}
    said: list[str] = []
    for later in versions[1:]:
        of_later = [pair for pair in pairs if runs[pair.arm].study == later.label]
        said += _changes(of_later, versions[0].label, later.label)
        said += _by_verdict(of_later, runs)
    return [
        *said,
        f"{'; '.join(f'{version.label}: {version.said}' for version in versions)}.",
        *_tuned(versions),
        *_besides(results, versions),
        *_uncertain_code(results, versions),
        *_alone(results, versions),
        *reservations(results, pairs, robust=robust),
    ]


def _changes(pairs: Sequence[Paired], first: str, later: str) -> list[str]:
    """The number of arms by verdict; of identical ones alone, that nothing changed.

    An arm without a seed that finished in both is none of them: `reservations` names it.
    """
    pairs = [pair for pair in pairs if pair.estimate is not None]
    if not pairs:
        return [f"No arm of {later} can be compared with {first}."]
    counts = Counter(pair.verdict for pair in pairs)
    if counts["no effect"] == len(pairs):
        arms = f"{capitalised(every(len(pairs), 'arm'))} {'is' if len(pairs) == 1 else 'are'}"
        return [
            f"Nothing changed from {first} to {later}. {arms} identical, with every seed and to the last bit."
        ]
    kinds = [f"{counts[verdict]} {words}" for verdict, words in _KINDS.items() if counts[verdict]]
    changed = len(pairs) - counts["no effect"]
    return [f"{changed} of {counted(len(pairs), 'arm')} changed from {first} to {later}: {', '.join(kinds)}."]


def _by_verdict(pairs: Sequence[Paired], runs: dict[str, RunResult]) -> list[str]:
    """A sentence for each verdict that names the arms with their differences, the largest first."""
    said = []
    for verdict in ("worse", "better", "inconclusive", "no difference"):
        of_it = [p for p in pairs if p.verdict == verdict and p.estimate is not None and not is_equal(p)]
        if of_it:
            of_it.sort(key=lambda pair: -abs(pair.estimate or 0.0))
            named = first_few([f"{own_name(runs[pair.arm])} ({difference_text(pair)})" for pair in of_it])
            outlook = f" {seeds_needed(of_it)}" if verdict == "inconclusive" else ""
            said.append(f"{_title(verdict, of_it)}: {named}.{outlook}".rstrip())
    if equal := [pair for pair in pairs if is_equal(pair)]:
        named = first_few([own_name(runs[pair.arm]) for pair in equal])
        said.append(f"Same score with every seed, although the models differ: {named}.")
    return said


def _title(verdict: Verdict, pairs: Sequence[Paired]) -> str:
    return (
        f"No difference larger than {pairs[0].delta:g}"
        if verdict == "no difference"
        else verdict.capitalize()
    )


def _besides(results: Sequence[RunResult], versions: Sequence[Version]) -> list[str]:
    """The recorded differences of arms that are compared: settings, data, partitions, own code, packages.

    Of versions without a run of one arm and seed in both nothing is said.
    """
    first, *others = versions
    said = []
    for later in others:
        pairs = list(_pairs_of_runs(results, versions, later.label))
        if not pairs:
            continue
        found = [
            *_settings(results, versions, later.label),
            *_of_runs(pairs),
            *(
                f"{name} ({first.environment[name]}; {value})"
                for name, value in later.environment.items()
                if not name.startswith("git_") and first.environment.get(name, value) != value
            ),
        ]
        between = f"{first.label} and {later.label}"
        other_code = first.commit and later.commit and first.commit != later.commit
        if found:
            besides = "Beside their commits, " if other_code else ""
            said.append(f"{besides}{between} differ in {first_few(found, 6)}.")
        else:
            same, unknown = _known(pairs, first, later)
            code = ", so that their code alone differs" if other_code and not unknown else ""
            not_known = f"; not recorded: {', '.join(unknown)}" if unknown else ""
            said.append(f"{between} have the same {', '.join(same)}{code}{not_known}.")
    return said


def _known(
    pairs: Sequence[tuple[RunResult, RunResult]], first: Version, later: Version
) -> tuple[list[str], list[str]]:
    """What is recorded of both versions, so that it could be compared, and what is not."""
    recorded = {
        "settings": True,
        "data": _both_know([(mine.data_digest, other.data_digest) for mine, other in pairs]),
        "partitions": _both_know([(mine.partition, other.partition) for mine, other in pairs]),
        "packages and machine": bool(first.environment and later.environment),
    }
    known = [name for name, both in recorded.items() if both]
    return known, [name for name in recorded if name not in known]


def _both_know(digests: Sequence[tuple[str, str]]) -> bool:
    """Whether it is recorded, and of no run in one version alone; anchors have no partition."""
    return any(map(all, digests)) and all(bool(mine) == bool(other) for mine, other in digests)


def _pairs_of_runs(
    results: Sequence[RunResult], versions: Sequence[Version], later: str
) -> Iterator[tuple[RunResult, RunResult]]:
    """(run of the first version, run of the later one) of every arm and seed that both have."""
    by_arm = {(run.arm, run.seed): run for run in results}
    for arm, reference in same_arms(results, versions):
        for run in results:
            if run.arm == arm and run.study == later and (other := by_arm.get((reference, run.seed))):
                yield other, run


def _settings(results: Sequence[RunResult], versions: Sequence[Version], later: str) -> list[str]:
    """`rounds (2; 3)`, of every setting in which some arm differs from itself."""
    of_later = {run.arm for run in results if run.study == later}
    found: dict[str, str] = {}
    for arm, reference in same_arms(results, versions):
        if arm in of_later:
            for path, values in differing(results, [reference, arm]).items():
                found.setdefault(path, "; ".join(shortened(value, _LONGEST_VALUE) for value in values))
    return [f"{path} ({values})" for path, values in found.items()]


def _of_runs(pairs: Sequence[tuple[RunResult, RunResult]]) -> list[str]:
    """What the runs of some seed differ in that no setting says."""
    data = any(_differ(mine.data_digest, other.data_digest) for mine, other in pairs)
    hands = any(_differ(mine.partition, other.partition) for mine, other in pairs)
    own = dict.fromkeys(
        f"code of your own ({mine.own_code or 'none'}; {other.own_code or 'none'})"
        for mine, other in pairs
        if mine.own_code != other.own_code
    )
    return [
        *(["their data, by digest"] if data else []),
        *(["the partitions of the data among the clients"] if hands and not data else []),
        *own,
    ]


def _differ(mine: str, other: str) -> bool:
    return bool(mine and other) and mine != other


def _uncertain_code(results: Sequence[RunResult], versions: Sequence[Version]) -> list[str]:
    """The versions whose commit does not say all of the code that ran."""
    said = []
    if dirty := [version.label for version in versions if version.dirty]:
        said.append(
            f"The working tree of {_listed(dirty)} had uncommitted changes, so the commit is not all of the code."
        )
    for version in versions:
        runs = [run for run in results if run.study == version.label]
        others = [run for run in runs if _differ(run.commit, version.commit)]
        if others:
            commits = ", ".join(dict.fromkeys(short(run.commit) for run in others))
            said.append(
                f"{len(others)} of the {counted(len(runs), 'run')} of {version.label} were trained at another commit, "
                f"{commits}, as `--resume` keeps finished runs."
            )
    return said


def _tuned(versions: Sequence[Version]) -> list[str]:
    """Which versions compare arms that chose their values first."""
    tuned = [version.label for version in versions if version.tuned]
    stated = [version.label for version in versions if not version.tuned]
    if not tuned:
        return []
    if not stated:
        return [f"The arms of {_listed(tuned)} chose their values first, each time anew."]
    return [
        f"The arms of {_listed(tuned)} chose their values first; those of {_listed(stated)} ran as they were stated."
    ]


def _alone(results: Sequence[RunResult], versions: Sequence[Version]) -> list[str]:
    """The arms that no other version has, or that it judges by another metric."""
    return [
        f"Only {label} has {first_few(arms)}." for label, arms in without_partner(results, versions).items()
    ]


def _listed(names: Iterable[str]) -> str:
    return " and ".join(names)
