"""The terminal output at the end of a study: the comparison, the verdict, and links to details."""

from rich.table import Table

from federated.report import text_table
from federated.report.findings.results import arms_of
from flows.terminal.screen import Screen
from tasks.tracking.server.store import ui_address
from tasks.tracking.studies.comparison import StudyOutcome


def show_outcome(outcome: StudyOutcome, screen: Screen) -> None:
    """The comparison, and where to look further."""
    report = outcome.found
    shown = set(arms_of(report.drawn.results))
    header, rows = text_table([arm for arm in report.arms if arm.arm in shown], full=False)
    _show_table(
        f"{report.name}: mean ± standard deviation over seeds, on held-out data", header, rows, screen
    )
    if report.not_drawn:
        screen.print(f"{report.not_drawn}; all are in the report", style="dim")
    on_the_way = [row for row in report.costs.rows if row[0] in shown]
    _show_table("On the way to a target", report.costs.header, on_the_way, screen)
    screen.print(report.costs.note, style="dim")
    if outcome.foreseen is not None:
        _show_table("Forecast and fact", outcome.foreseen.header, outcome.foreseen.rows, screen)
    for sentence in report.verdict:
        screen.print(sentence)
    screen.print(f"report       {outcome.report}", soft_wrap=True)
    screen.print(f"MLflow       {ui_address()}")
    for text, address in report.links.items():
        screen.print(f"{text.removesuffix(' in MLflow').lower():<12} {address}", soft_wrap=True)


def _show_table(title: str, header: list[str], rows: list[list[str]], screen: Screen) -> None:
    shown_table = Table(title=title, title_justify="left")
    for name in header:
        shown_table.add_column(name, justify="left" if name == "arm" else "right", overflow="fold")
    for row in rows:
        shown_table.add_row(*row)
    screen.print(shown_table)
