"""The terminal display of a running study: a live display, or plain lines without a terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Lock
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from federated.foundation.errors import bounded
from federated.foundation.texts import in_a_line, shortened
from flows.terminal.progress import News, Notice, Progress, Status, listen_with
from flows.terminal.screen import Screen, styled
from flows.terminal.waiting import shown_while_waiting

if TYPE_CHECKING:
    from federated.study.study import Run, StudyConfig

_FIGURES = {
    "train/loss": "training loss {:.4f}",
    "generalisation/test_accuracy": "test accuracy {:.3f}",
    "generalisation/test_mse": "test MSE {:.4f}",
    "generalisation/test_r2": "test R2 {:.3f}",
}
"""What is shown of a run whose main metric is one of these; of others the training loss and the main metric."""


_LINES_A_SECOND = 5  # a line costs half a millisecond, which short rounds would notice
_REFRESHES_A_SECOND = 4
_LONGEST_NAME = 60


class Display:
    """A listener that shows the runs of one study."""

    def __init__(self, name: str, runs: "list[Run]", screen: Screen) -> None:
        self._screen = screen
        self._num_runs = len(runs)
        self._ended: dict[str, Status] = {}
        self._rounds_of = {run.name: run.config.rounds for run in runs}
        self._latest: dict[str, dict[str, float]] = {name: {} for name in self._rounds_of}
        self._unsaid: Progress | None = None
        self._next_line = 0.0
        self._done: dict[str, int] = dict.fromkeys(self._rounds_of, 0)
        self._tasks: dict[str, TaskID] = {}
        self._lock = Lock()
        self.bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeRemainingColumn(),
            console=screen,
            transient=True,
            refresh_per_second=_REFRESHES_A_SECOND,
        )
        self._all = self.bars.add_task(
            f"{_in_short(name)} rounds", total=sum(self._rounds_of.values()), figures=""
        )

    def __call__(self, news: News) -> None:
        """Show one piece of news."""
        with self._lock:
            if isinstance(news, Notice):
                self._screen.print(news.text, soft_wrap=True)
                return
            if not isinstance(news, Progress):
                from flows.terminal.forecast import show

                show(news, self._screen)
                return
            if news.status == "started":
                self._tasks[news.run] = self.bars.add_task(
                    f"  {_in_short(news.run)}", total=news.rounds, figures=""
                )
                return
            if news.status == "warning":
                warning = f" {news.run}: {bounded(news.message)}"
                self._screen.print(styled(("warning", "yellow"), warning), soft_wrap=True)
                return
            self._latest[news.run] = {**self._latest[news.run], **news.metrics}
            if self._num_runs == 1:
                self._say_rounds(news)
            self._advance(news)
            if news.status in ("finished", "failed"):
                self._end(news)

    def _advance(self, news: Progress) -> None:
        ended = news.status in ("finished", "failed")
        self._done[news.run] = self._rounds_of[news.run] if ended else news.round
        if news.run in self._tasks:
            figures = _figures(self._latest[news.run], news.main_metric)
            self.bars.update(self._tasks[news.run], completed=news.round, figures=figures)
        ways = ("communication/uplink_bytes_total", "communication/downlink_bytes_total")
        megabytes = sum(latest.get(way, 0.0) for latest in self._latest.values() for way in ways) / 1e6
        done = len(self._ended.keys() | ({news.run} if ended else set()))
        figures = f"{done} of {self._num_runs} runs, {megabytes:,.1f} MB sent"
        self.bars.update(self._all, completed=sum(self._done.values()), figures=figures)

    def _end(self, news: Progress) -> None:
        """Once for each run, unless one that failed is run again."""
        if self._ended.get(news.run) == news.status:
            return
        self._ended[news.run] = news.status
        if news.run in self._tasks:
            self.bars.remove_task(self._tasks.pop(news.run))
        if news.status == "finished":
            figures = f"{_figures(self._latest[news.run], news.main_metric)}, {news.seconds:.1f} s"
            mark, what = ("done", "green"), figures if news.metrics else news.message
        else:
            mark, what = ("failed", "red"), bounded(news.message)
        counted = f" {len(self._ended)}/{self._num_runs} {news.run}: {what}"
        self._screen.print(styled(mark, counted), soft_wrap=True)

    def _say_rounds(self, news: Progress) -> None:
        """A study of a single run has room for a line a round, said once its evaluation is there or not to come.

        Rounds that are shorter than a line is readable share one: the last round always has its own.
        """
        if self._unsaid and news.round > self._unsaid.round:
            self._say(self._unsaid)
        self._unsaid = None
        if news.status == "running" and news.round > 0:
            if any(name.startswith("generalisation/") for name in news.metrics):
                self._say(news)
            else:
                self._unsaid = news

    def _say(self, news: Progress) -> None:
        now = time.monotonic()
        if now < self._next_line and news.round < news.rounds:
            return
        self._next_line = now + 1 / _LINES_A_SECOND
        self._screen.print(
            f"round {news.round}/{news.rounds}: {_figures(news.metrics, news.main_metric)}", soft_wrap=True
        )


def say_start(study: "StudyConfig", screen: Screen) -> None:
    """Say what comes before the first news of a study, which takes seconds."""
    number = len(study.runs())
    runs = "one run" if number == 1 else f"{number} runs"
    screen.print(f"{study.name}: checking {runs}, starting Prefect", style="dim")
    if study.unjudged:
        screen.print(study.unjudged, style="yellow")


@contextmanager
def shown(name: str, runs: "list[Run]", screen: Screen) -> Iterator[None]:
    """Show the runs of a study during the block."""
    display = Display(name, runs, screen)
    listen_with(display)
    try:
        with display.bars if screen.is_terminal else nullcontext(), shown_while_waiting(screen, lines=True):
            yield
    finally:
        listen_with(None)


def _figures(metrics: dict[str, float], main_metric: str) -> str:
    shown = _FIGURES
    if main_metric and main_metric not in _FIGURES:
        from federated.metrics.names import metric_label  # with torch, which a run has by now

        shown = {"train/loss": _FIGURES["train/loss"], main_metric: f"{metric_label(main_metric)} {{:.4g}}"}
    parts = [text.format(metrics[name]) for name, text in shown.items() if name in metrics]
    if sent := metrics.get("communication/uplink_bytes_total"):
        parts.append(f"{sent / 1e6:,.3g} MB up")
    return ", ".join(parts)


def _in_short(name: str) -> str:
    """A name that leaves room for its bar."""
    return shortened(in_a_line(name), _LONGEST_NAME)
