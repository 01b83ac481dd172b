"""Report: everything that a report is made of. Immutable; its sections and figures read from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice

from federated.report.across.methods import Across, across
from federated.report.bill.bill import Bill, bill_of_all, bills
from federated.report.bill.tuning import tuning_bills
from federated.report.costs.bytes_and_seconds import Costs, costs
from federated.report.costs.forecast_against_fact import Foreseen
from federated.report.costs.front import BEHIND, Place, pareto, problems_of, units_of
from federated.report.expected.figures import Figure, figures_of
from federated.report.findings.arms import ArmSummary, compare
from federated.report.findings.left_out import LeftOut, left_out
from federated.report.findings.ranking import Ranked, ranked
from federated.report.findings.rerun import study_command
from federated.report.findings.results import RunResult, arms_of, compared
from federated.report.findings.strokes import NOT_DRAWN, Stroke, arm_strokes
from federated.report.findings.verdicts import DELTA, EVERY_STUDYS_LOOKS, Paired, compare_paired
from federated.report.joining.found import Joining
from federated.report.joining.joining import joining_of
from federated.report.questions.answers import Answer, answers
from federated.report.questions.plain_words import plain_words
from federated.report.text.scored_on import scored_on
from federated.report.text.sentences import sentences
from federated.report.text.table import Table
from federated.report.tuning.before_and_after import (
    Tuned,
    differences_table,
    pairs_before,
    tuning_sentences,
)
from federated.report.versions.arm_by_arm import compare_versions
from federated.report.versions.differences import version_sentences
from federated.report.versions.version import Version
from federated.study.further.bands import Bands
from federated.study.further.prices import Prices
from federated.study.looks import Looks

MOST_ARMS_DRAWN = 40
"""More lines and rows in one picture are not told apart."""


@dataclass(frozen=True)
class Report:
    """The question and the findings of a study.

    question: text of the study file. baseline, delta, looks_taken, robust: how arms are judged, see `compare_paired`.
    target: of the main metric, instead of the study's own. links: text -> address, such as the study's page in MLflow.
    environment: versions and machine. stated_commands: study -> what ran it, where that is known.
    partitions: what a picture of a partition shows -> PNG; partitions_note: of those without one. reconstructions:
    whose update a picture of images drawn again is of -> PNG. foreseen: the forecast against what the study took, where
    there was one. expect: the bands that the study states for figures of its arms. versions: the studies
    in their order, where all are of one name: each arm is compared with that of the first. prices: of the bill. tuned:
    what arms chose before they ran, and their runs without it; None where none did.
    """

    name: str
    results: Sequence[RunResult]
    description: str = ""
    question: str = ""
    baseline: str | None = None
    delta: float = DELTA
    looks_taken: Looks = EVERY_STUDYS_LOOKS
    robust: bool = False
    target: float | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    stated_commands: Mapping[str, str] = field(default_factory=dict)
    partitions: Mapping[str, bytes] = field(default_factory=dict)
    partitions_note: str = ""
    reconstructions: Mapping[str, bytes] = field(default_factory=dict)
    foreseen: Foreseen | None = None
    expect: Bands = field(default_factory=dict)
    versions: Sequence[Version] = ()
    prices: Prices | None = None
    tuned: Tuned | None = None

    @property
    def all_results(self) -> Sequence[RunResult]:
        """Every run, those of untuned arms too."""
        return self.results if self.tuned is None else (*self.results, *self.tuned.untuned)

    @cached_property
    def whole_bill(self) -> Bill | None:
        """The bill of all finished runs; None where there is none."""
        return bill_of_all(self.all_results, self.prices)

    @cached_property
    def tuning_bills(self) -> list[Bill]:
        """The bill of each arm's tuning; [] where none was tuned."""
        return [] if self.tuned is None else tuning_bills(self.tuned.arms, self.prices)

    @cached_property
    def differences(self) -> Table:
        """Each comparison with the baseline before tuning and after it; without rows where nothing was tuned."""
        if self.tuned is None:
            return Table((), ())
        return differences_table(self.tuned, self.results, self.pairs_before, self.pairs)

    @cached_property
    def pairs_before(self) -> list[Paired]:
        """The comparisons of the arms as they were stated before they were tuned; [] where none was."""
        if self.tuned is None:
            return []
        return pairs_before(self.tuned, self.pairs, self.delta, self.looks_taken, robust=self.robust)

    @property
    def studies(self) -> list[str]:
        """The studies whose runs it compares; mostly one."""
        return list(dict.fromkeys(run.study for run in self.results)) or [self.name]

    @property
    def commands(self) -> list[str]:
        """The commands that run each study again."""
        return [study_command(study, self.stated_commands.get(study, "")) for study in self.studies]

    @cached_property
    def arms(self) -> list[ArmSummary]:
        """One summary an arm, in first-seen order."""
        return compare(self.results, self.delta)

    @cached_property
    def figures(self) -> list[Figure]:
        """The figures with a band, each within it or not."""
        return figures_of(self.results, self.expect)

    @cached_property
    def pairs(self) -> list[Paired]:
        """Every other arm against the baseline, or against the same arm of the first version; raises BadInput as
        `compare_paired` does.
        """
        if self.versions:
            return compare_versions(
                self.results, self.versions, self.delta, self.looks_taken, robust=self.robust
            )
        return compare_paired(self.results, self.baseline, self.delta, self.looks_taken, robust=self.robust)

    @cached_property
    def across(self) -> Across | None:
        """The arms over several data sets; None where there is one, or where studies of one name are versions."""
        return None if self.versions else across(self.results)

    @cached_property
    def answers(self) -> list[Answer]:
        """Both questions: one model for everybody, and better than what each client has alone; [] without anchors."""
        return answers(self.results, self.delta, self.looks_taken, robust=self.robust)

    @cached_property
    def verdict(self) -> list[str]:
        """The answer in words: first for a person without the field's terms, then every comparison."""
        if self.versions:
            return version_sentences(self.results, self.pairs, self.versions, robust=self.robust)
        plain = plain_words(self.results, self.answers, robust=self.robust)
        answered = any(answer.of_best is not None for answer in self.answers)
        return [
            *plain,
            *sentences(self.results, self.pairs, self.delta, robust=self.robust, answered=answered),
            *([] if self.tuned is None else tuning_sentences(self.tuned, self.pairs_before, self.pairs)),
        ]

    @cached_property
    def left_out(self) -> list[LeftOut]:
        """The scores of sites that were left out in turn, an entry for each arm; empty where none were."""
        return left_out(self.results)

    @cached_property
    def joining(self) -> list[Joining]:
        """What joining does for each site and each site for the others, an entry for each arm that was judged so."""
        return joining_of(self.results, self.delta, self.looks_taken, robust=self.robust)

    @property
    def scored_on(self) -> str:
        """The held-out examples behind the scores, and by what arms were tuned, in words; empty where not known."""
        return " ".join(
            filter(None, [scored_on(self.results), "" if self.tuned is None else self.tuned.chosen_by])
        )

    @cached_property
    def places(self) -> dict[str, Place]:
        """Arm -> its place on or behind the Pareto front."""
        return pareto(
            compare(compared(self.results), self.delta),
            problems_of(self.results),
            units_of(self.results),
        )

    @cached_property
    def ranking(self) -> list[Ranked]:
        """The rows of the ranked table."""
        return ranked(self.results, self.pairs, self.delta)

    @cached_property
    def costs(self) -> Costs:
        """The cost of each arm until the target."""
        return costs(self.results, self.target)

    @cached_property
    def bills(self) -> list[Bill]:
        """The bill of one training of each arm with a finished run, priced where there are prices."""
        return bills(self.results, self.prices)

    @cached_property
    def looks(self) -> dict[str, Stroke]:
        """Arm -> how it is drawn, the same in the tables, the pictures and the interactive charts."""
        return {**dict.fromkeys(arms_of(self.results), NOT_DRAWN), **arm_strokes(self.drawn.results)}

    @cached_property
    def drawn(self) -> Report:
        """The same of the arms that pictures have room for: the baseline, anchors, the front, the best others.

        Without those that leave a site out in turn, which are no rivals and have a table of their own.
        """
        rivals = compared(self.results)
        if len(arms_of(rivals)) <= MOST_ARMS_DRAWN:
            return self if len(rivals) == len(self.results) else replace(self, results=tuple(rivals))
        anchors = [run.arm for run in self.results if run.anchor]
        best_first = [row.arm for row in self.ranking]
        front = [arm for arm in best_first if arm in self.places and self.places[arm] not in BEHIND]
        baseline = [pair.baseline for pair in self.pairs[:1]]
        if self.versions:
            baseline = [arm for pair in self.pairs for arm in (pair.baseline, pair.arm)]
        kept = set(islice(dict.fromkeys([*baseline, *anchors, *front, *best_first]), MOST_ARMS_DRAWN))
        return replace(self, results=tuple(run for run in rivals if run.arm in kept))

    @property
    def drawn_pairs(self) -> list[Paired]:
        """The comparisons of the arms that are drawn, as among all arms."""
        shown = set(arms_of(self.drawn.results))
        return [pair for pair in self.pairs if pair.arm in shown]

    @property
    def not_drawn(self) -> str:
        """The arms that the figures leave out, in words; empty where they show all."""
        shown, every = (len(arms_of(runs)) for runs in (self.drawn.results, compared(self.results)))
        return (
            ""
            if shown == every
            else f"{shown} of {every:,} arms are shown: the baseline, the Pareto front and the best"
        )
