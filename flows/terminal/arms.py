"""The arms of a study as `preview` shows them: what each would run, what it trains and promises, and warnings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rich.table import Table as RichTable

from federated.config.run import RunConfig
from federated.forecast import cautions, of_delta, promise_sentences, with_arms
from federated.foundation.texts import listed
from federated.report.text.table import Table
from federated.run.preparing.promise import Promise
from federated.run.setup import Setup
from federated.study.study import Run
from flows.terminal.screen import few

_MOST_PARAMETERS = 6
_COLUMNS = ("arm", "rounds", "clients a round", "parameters", "float32 model, MB")


class Arm(NamedTuple):
    """What is kept of the setup of an arm's first run that can begin: a setup takes seconds to make for a large model.

    row: of the table of arms. trained: which parameters are trained, in a sentence; "" for all. cautions: sentences.
    """

    config: RunConfig
    row: Sequence[str]
    trained: str
    promise: Promise | None
    cautions: Sequence[str]


def arm_of(run: Run, setup: Setup, default_delta: float | None) -> Arm:
    """What is shown of an arm. default_delta: of the comparison."""
    rounds, cohort = str(run.config.rounds), str(setup.trainers.cohort_size)
    megabytes = f"{4 * setup.model.num_sendable / 1e6:.3f}"
    return Arm(
        run.config,
        [run.arm, rounds, cohort, _parameters(setup), megabytes],
        _trained(setup),
        setup.promise,
        [*cautions(setup), *of_delta(setup, default_delta)],
    )


def arms_table(runs: Iterable[Run], arms: Mapping[str, Arm]) -> RichTable:
    """Every arm; of one of which no run can begin, its rounds alone."""
    shown, caption = few({run.arm: run for run in runs}.values(), "arms")
    rows = [arms[run.arm].row if run.arm in arms else _cannot_begin(run) for run in shown]
    return Table(_COLUMNS, rows).rich("What would run", caption=caption)


def trained_sentences(arms: Mapping[str, Arm]) -> list[str]:
    """Which parameters are trained, of each part of a model that is asked for."""
    return list(dict.fromkeys(arm.trained for arm in arms.values() if arm.trained))


def promises(arms: Mapping[str, Arm]) -> list[str]:
    """What is promised in the first seed of each arm, with its noise; nothing where no arm promises anything."""
    promised = {name: arm.promise for name, arm in arms.items() if arm.promise is not None}
    nothing = [name for name in arms if name not in promised]
    if not promised:
        return []
    unprotected = with_arms({"privacy: nothing is promised": nothing}, len(arms)) if nothing else []
    return [*promise_sentences(promised, {name: arm.config for name, arm in arms.items()}), *unprotected]


def warnings_of(arms: Mapping[str, Arm]) -> list[str]:
    """Warnings about settings in the first seed of each arm that cannot work or are likely a mistake."""
    said: dict[str, list[str]] = {}
    for name, arm in arms.items():
        for sentence in arm.cautions:
            said.setdefault(sentence, []).append(name)
    return with_arms(said, len(arms))


def _cannot_begin(run: Run) -> list[str]:
    return [run.arm, str(run.config.rounds), "cannot run: see the warnings", "–", "–"]


def _parameters(setup: Setup) -> str:
    """`1,089`, or `1,071 + 18 running statistics`, which travel with them; `650 of 5,018` where others are frozen."""
    trained, frozen = setup.model.num_trainable, setup.whole_model.num_frozen
    statistics = setup.model.num_sendable - trained
    among = f" of {trained + frozen:,}" if frozen else ""
    return f"{trained:,}{among}" + (f" + {statistics:,} running statistics" if statistics else "")


def _trained(setup: Setup) -> str:
    if (part := setup.config.trained.label()) == "full":
        return ""
    return f"trained: {part}: {listed([name for name, _ in setup.model.layout], _MOST_PARAMETERS)}"
