"""The terminal output on how the data of a study were read."""

from collections.abc import Iterable

from federated.federation.data_table import HEADER, DataRead
from federated.report.text.table import Table
from flows.terminal.screen import Screen


def show_data(data: Iterable[DataRead], screen: Screen, whole: bool) -> None:
    """A line a data set: the task that was found and the inputs; whole: also what became of each column."""
    for one in data:
        screen.print(f"data         {one.label}: {one.found}", soft_wrap=True)
        if whole and one.rows:
            columns = Table(HEADER, one.rows)
            screen.print(columns.rich("How each column was read (model inputs: over all rows)", texts=3))
