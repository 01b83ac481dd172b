"""Studies read, previewed, run and compared from Python, as the command line does it.

Heavy libraries are imported at the first call, after their settings.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federated.foundation.masking import masked_errors
from federated.machine.folders import require_home
from flows.notebook.outcome import Outcome
from flows.prefect_runtime.runtime import configure, prefect_api, settings_of_now
from flows.startup.beginning import command_begins
from flows.terminal.display import say_start
from flows.terminal.screen import console

if TYPE_CHECKING:
    from federated.study.study import StudyConfig

_PROJECT = Path(__file__).parents[2]


class RunsFailed(RuntimeError):
    """Some runs of the study failed. outcome: of the others; None where MLflow is away."""

    def __init__(self, message: str, outcome: Outcome | None) -> None:
        super().__init__(message)
        self.outcome = outcome


class OutcomeWaits(RuntimeError):
    """The study ran, but MLflow is away, which has the results: `./fedstudy sync` compares them when it is back."""


def read(
    study: str | Path,
    settings: Mapping[str, Any] | None = None,
    seeds: Iterable[int] | None = None,
    arms: Sequence[str] = (),
    allow_code: Sequence[str] = (),
) -> StudyConfig:
    """Read a study file and check every run of it. Raises BadInput with a line for each thing that is wrong.

    settings: `{"rounds": 5, "local.learning_rate": 0.05}`, changes of the base run. seeds: instead of the file's.
    arms: run these alone. allow_code: modules or packages elsewhere than beside the file whose code the study may use.
    """
    _settle()
    from federated.study.study import read_study
    from federated.user_code.source import allow

    file = Path(study)
    allow(allow_code, file.parent)
    stated = [f"{path}={json.dumps(value, default=_plain)}" for path, value in (settings or {}).items()]
    config = read_study(file, stated, None if seeds is None else [int(seed) for seed in seeds])
    return config.only(arms) if arms else config


def preview(study: StudyConfig | str | Path) -> None:
    """Show what would run, who would hold what and how unlike the clients are; no run is started."""
    config = _config(study)
    from flows.terminal.preview import show_preview

    screen = console()
    if faults := show_preview(config, screen):
        screen.print(faults, style="yellow", soft_wrap=True)


def run(study: StudyConfig | str | Path, *, workers: int = 1, resume: bool = False) -> Outcome:
    """Run a study: every arm with every seed, then the comparison.

    workers: runs at a time, each in a process of its own; in a script, as opposed to a notebook, more than one need
    `if __name__ == "__main__":` around the call. resume: go on from the checkpoints of runs that did not finish, in the
    same MLflow runs. An interrupt ends the study as Ctrl-C in the shell does. Raises BadInput before anything runs,
    RunsFailed at the end where runs failed, and OutcomeWaits where MLflow is away.
    """
    _settle()
    command_begins()
    require_home()
    screen = console()
    with masked_errors(), settings_of_now(), prefect_api() as prefect:
        config = _config(study)
        say_start(config, screen)
        from flows.study_run import run_study

        try:
            outcome, failure = run_study(config, prefect, workers, resume, screen, "`run(..., resume=True)`")
        except KeyboardInterrupt as interrupt:
            raise interrupt.with_traceback(None)  # noqa: B904 - of what was interrupted a notebook would show pages
    made = None if outcome is None else Outcome(outcome)
    if failure:
        raise RunsFailed(failure, made)
    if made is None:
        raise OutcomeWaits(
            f"{config.name} ran; its comparison waits for MLflow: `./fedstudy sync`, then compare()"
        )
    return made


def compare(
    *studies: str,
    network: str | None = None,
    target: float | None = None,
    baseline: str | None = None,
    delta: float | None = None,
    prices: str | Path | None = None,
) -> Outcome:
    """The outcome of the newest study of a name, or of several studies side by side, from what MLflow holds.

    studies: names of studies that were run; NAME@WHICH is an earlier one, by the start of its commit or id, or by its
    date. network: time the rounds on it, such as "3g". target: score whose price is compared. baseline: an arm, or
    "best". delta: the smallest difference that matters. prices: a YAML file, instead of the study's. Raises BadInput.
    """
    _settle()
    from flows.study_comparison import compare_studies

    with masked_errors():
        file = None if prices is None else Path(prices)
        return Outcome(compare_studies(studies, console(), network, target, baseline, delta, file))


def _settle() -> None:
    """Use the home of `./fedstudy`, and the settings of the command line."""
    if not os.environ.get("FEDSTUDY_HOME"):
        os.environ["FEDSTUDY_HOME"] = str(_PROJECT / "var")
    configure()


def _config(study: StudyConfig | str | Path) -> StudyConfig:
    return read(study) if isinstance(study, str | Path) else study


def _plain(value: Any) -> Any:
    """A value that JSON does not know: a number of numpy's, or a path."""
    return value.item() if hasattr(value, "item") else os.fspath(value)
