"""The terminal output at the end of a study: the comparison, the verdict, links to details, and the disk use."""

from dataclasses import replace

from federated.machine.folders import home_in_words
from federated.report import text_table
from federated.report.bill import bill_table
from federated.report.expected.figures import in_short, missed
from federated.report.findings.results import arms_of
from federated.report.joining.in_words import joining_sentences, joining_table
from federated.report.questions.epsilons import epsilon_sentences
from federated.report.questions.leakage import leakage_sentences, not_measured
from federated.report.questions.tables import of_best_arms, questions_table
from federated.report.text.left_out import left_out_sentences
from federated.report.text.phrases import chances_table
from federated.report.tuning.before_and_after import choices_table
from flows.terminal.screen import Screen
from tasks.tracking.server.store import ui_address
from tasks.tracking.studies.comparison import StudyOutcome

_LONGEST_LINK = 200
"""Characters of an address that a terminal shows; longer links are in the report."""


def show_disk(screen: Screen) -> None:
    """Print what the home takes, and how to make room."""
    screen.print(
        f"disk: {home_in_words()}; `./fedstudy clean` lists what can go", style="dim", soft_wrap=True
    )


def show_outcome(outcome: StudyOutcome, screen: Screen) -> None:
    """Print the comparison, the verdict and, on the last line, the path of the report."""
    report = outcome.found
    shown = set(arms_of(report.drawn.results))
    arms = text_table([arm for arm in report.arms if arm.arm in shown], full=False)
    screen.print(arms.rich(f"{report.name}: mean ± standard deviation over seeds"))
    if report.scored_on:
        screen.print(report.scored_on)
    if report.not_drawn:
        screen.print(f"{report.not_drawn}; all are in the report", style="dim")
    costs = report.costs.text
    on_the_way = replace(costs, rows=[row for row in costs.rows if row[0] in shown])
    screen.print(on_the_way.rich("Cost to reach a target"))
    screen.print(costs.note, style="dim")
    if report.bills:
        bills = [each for each in report.bills if each.of in shown]
        bill = bill_table(bills, report.whole_bill, report.prices, tuning=report.tuning_bills)
        screen.print(bill.rich("Bill"))
        screen.print(bill.note, style="dim")
    if report.tuned is not None:
        for title, found in (
            ("Before and after tuning", report.differences),
            ("What each arm chose", choices_table(report.tuned)),
        ):
            screen.print(found.rich(title))
            screen.print(found.note, style="dim")
        for warning in report.tuned.warnings:
            screen.print(f"warning: {warning}", style="yellow", soft_wrap=True)
    if outcome.foreseen is not None:
        screen.print(outcome.foreseen.table.rich("Forecast and actual cost"))
    if report.answers:
        asked = questions_table(of_best_arms(report.answers))
        screen.print(asked.rich("Both questions"))
        screen.print(asked.note, style="dim")
    if report.joining:
        screen.print(joining_table(report.joining).rich("Join or not", texts=1))
        screen.print(joining_table(report.joining).note, style="dim")
    screen.print()
    for sentence in missed(report.figures):
        screen.print(sentence, style="bold red", soft_wrap=True)
    if report.figures and not missed(report.figures):
        screen.print(f"{in_short(report.figures)}.")
    for sentence in report.verdict:
        screen.print(sentence)
    if (beside := chances_table([pair for pair in report.pairs if pair.arm in shown])) is not None:
        screen.print()
        screen.print(beside.rich("Probabilities beside the verdicts"))
        screen.print(beside.note, style="dim")
    for sentence in report.across.sentences if report.across is not None else ():
        screen.print(sentence, soft_wrap=True)
    screen.print()
    for sentence in [
        *epsilon_sentences(report.results),
        *leakage_sentences(report.results),
        *not_measured(report.results),
        *left_out_sentences(report.left_out),
        *joining_sentences(report.joining),
    ]:
        screen.print(sentence)
    if outcome.registered:
        screen.print(f"Model    {outcome.registered}", soft_wrap=True)
    screen.print(f"MLflow   {ui_address()}")
    for text, address in report.links.items():
        if len(address) <= _LONGEST_LINK:
            screen.print(f"{text}: {address}", soft_wrap=True)
    screen.print("Report:")
    screen.print(str(outcome.report), soft_wrap=True)
