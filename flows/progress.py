"""Progress messages of a run, and the listener that receives them."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from federated.forecast import Forecast

_LOG = logging.getLogger(__name__)

Status = Literal["started", "running", "finished", "failed", "warning"]


@dataclass(frozen=True)
class Progress:
    """One piece of news about a run.

    metrics: what was measured in its round; message: why it failed, why it ended early, or what went
    wrong beside it, though it goes on (a warning, whose round means nothing).
    """

    run: str
    status: Status
    round: int
    rounds: int
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class Notice:
    """A line for the person."""

    text: str


News: TypeAlias = "Progress | Forecast | Notice"
"""Of a run while it goes on; of a study before its first run; of what a person should know."""
Listener = Callable[[News], None]


def _nobody(news: News) -> None:
    """Outside the command line nobody watches; Prefect and MLflow have it all, but for lines for a person."""
    if isinstance(news, Notice):
        _LOG.warning(news.text)


_listener: Listener = _nobody


def listen_with(listener: Listener | None) -> None:
    """From now on, tell this listener of every run in this process; None: tell nobody."""
    global _listener
    _listener = listener or _nobody


def notify(line: str) -> None:
    """Tell the person."""
    tell(Notice(line))


def tell(news: News) -> None:
    """Pass a piece of news on."""
    _listener(news)
