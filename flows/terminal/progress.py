"""Progress messages of a run, and the listener that receives them."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from federated.forecast import Forecast

_LOG = logging.getLogger(__name__)

Status = Literal["started", "running", "finished", "failed", "warning"]


@dataclass(frozen=True)
class Progress:
    """A progress message of a run.

    metrics: the metrics of its round. main_metric: the one that its arm is compared by.
    message: the reason why it failed or ended early, or a warning while it continues, whose round has no meaning.
    """

    run: str
    status: Status
    round: int
    rounds: int
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    message: str = ""
    main_metric: str = ""


@dataclass(frozen=True)
class Notice:
    """A line for the user."""

    text: str


News: TypeAlias = "Progress | Forecast | Notice"
"""The progress of a run; the forecast of a study before its first run; a line for the user."""
Listener = Callable[[News], None]


def _log_notices(news: News) -> None:
    """The listener outside the command line. Logs only lines for the user; Prefect and MLflow have the rest."""
    if isinstance(news, Notice):
        _LOG.warning(news.text)


_listener: Listener = _log_notices


def listen_with(listener: Listener | None) -> None:
    """Set the listener for every run in this process; None: no listener."""
    global _listener
    _listener = listener or _log_notices


@contextmanager
def told_too(listener: Listener) -> Iterator[None]:
    """Tell another listener as well during the block."""
    first = _listener

    def both(news: News) -> None:
        first(news)
        listener(news)

    listen_with(both)
    try:
        yield
    finally:
        listen_with(first)


def notify(line: str) -> None:
    """Show a line to the user."""
    tell(Notice(line))


def tell(news: News) -> None:
    """Pass a message to the listener."""
    _listener(news)
