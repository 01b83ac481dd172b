"""The history of a study as one self-contained HTML file."""

from __future__ import annotations

from federated.report.figures.style import png
from federated.report.page.templates import templates
from federated.report.text.phrases import counted
from federated.report.versions.history import History
from federated.report.versions.history_table import history_table
from federated.report.versions.in_words import history_sentences
from federated.report.versions.picture import MOST_PANELS, history_picture


def history_html(history: History, description: str = "") -> str:
    """The whole page. All text is escaped. description: the question of the newest study."""
    figure, table = history_picture(history), history_table(history)
    more = len(history.trends) - MOST_PANELS
    return (
        templates()
        .get_template("history.html")
        .render(
            name=history.name,
            description=description,
            sentences=history_sentences(history),
            picture=None if figure is None else png(figure),
            left_out=f" {counted(more, 'more arm')} in the table alone." if more > 0 else "",
            table=table,
            rows=list(zip(table.rows, reversed(history.studies), strict=True)),
        )
    )
