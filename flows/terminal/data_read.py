"""The terminal output on how the data of a study were read."""

from collections.abc import Iterable

from rich.table import Table

from federated.federation.data_table import HEADER, DataRead
from flows.terminal.screen import Screen


def show_data(data: Iterable[DataRead], screen: Screen, whole: bool) -> None:
    """A line a data set: the task that was found and the inputs; whole: also what became of each column."""
    for one in data:
        screen.print(f"data         {one.label}: {one.found}", soft_wrap=True)
        if whole and one.rows:
            screen.print(_columns(one))


def _columns(one: DataRead) -> Table:
    table = Table(title="How each column was read (model inputs: over all rows)", title_justify="left")
    for at, title in enumerate(HEADER):
        table.add_column(title, justify="left" if at < 3 else "right", overflow="fold")
    for row in one.rows:
        table.add_row(*row)
    return table
