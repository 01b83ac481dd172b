"""The terminal output of a study's history: the sentences, a row a study, and the path of the page."""

from pathlib import Path

from federated.report.versions.history import History
from federated.report.versions.history_table import history_table
from federated.report.versions.in_words import history_sentences
from flows.terminal.screen import Screen, few

_MOST_ARMS = 6


def show_history(history: History, page: Path, screen: Screen) -> None:
    """Print the table, what it says, and, on the last line, the path of the page."""
    table = history_table(history, _MOST_ARMS)
    rows, caption = few(table.rows, "studies")
    shown = type(table)(table.columns, rows).rich(f"{history.name}: history", texts=2, caption=caption)
    shown.columns[-1].justify = "left"
    screen.print(shown)
    screen.print(table.note, style="dim")
    screen.print()
    for sentence in history_sentences(history):
        screen.print(sentence, soft_wrap=True)
    screen.print()
    screen.print("Report:")
    screen.print(str(page), soft_wrap=True)
