"""A trial of every run of a study before the first one starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from federated.examples.examples import BadData
from federated.foundation.doing import doing
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.foundation.texts import listed, meant
from federated.metrics.by_client import CLIENTS
from federated.metrics.dictionary.stated import stated
from federated.metrics.names import metric_names
from federated.run.preparing.training.coalitions import check_coalitions
from federated.run.setup import Setup, prepare
from federated.study.names import faults_of_arms
from federated.study.study import Run, StudyConfig

_OF_CLIENTS = ("client", "unseen", "validation", "tuning", "tuning clients")
_POOLED = ("test", "training", *_OF_CLIENTS)
"""The sets whose measures are known before the first round."""


def check_runs(runs: Iterable[Run], look: Callable[[Run, Setup], None] | None = None) -> dict[str, str]:
    """Prepare every run and discard the result. Returns the runs that user code makes fail: name -> reason.

    If the first run of an arm fails, the arm's other runs are not tried. Raises BadInput where arms ask for the
    impossible, all of which it names, and where no run is left. look: is shown what was prepared of each run that can
    begin, as to prepare it again would take as long.
    """
    faults: dict[str, str] = {}
    tried: dict[str, str] = {}
    refused: dict[str, list[str]] = {}
    runs = list(runs)
    one_data_set = len({run.config.dataset_as_read for run in runs}) == 1
    for at, run in enumerate(runs, 1):
        if not (why := tried.get(run.arm, "")):
            try:
                with doing(f"checking {run.name} ({at} of {len(runs)})"):
                    why = _fault(run, one_data_set, look)
            except _Refused as error:
                why = str(error)
                refused.setdefault(why, []).append(_where(run, run.arm in tried))
                tried[run.arm] = why
            tried.setdefault(run.arm, why)
        if why:
            faults[run.name] = why
    if refused:
        raise BadInput(_of_arms(refused, tried))
    if faults and all(tried.values()):
        raise OwnCodeFailed("\n".join(dict.fromkeys(faults.values())))
    return faults


def check_study(study: StudyConfig, look: Callable[[Run, Setup], None] | None = None) -> dict[str, str]:
    """The same for all runs of a study. Raises BadInput too where it states a band of what is not measured."""

    def look_at(run: Run, setup: Setup) -> None:
        _check_measured(run.arm, study.expect.get(run.arm, ()), setup)
        if look is not None:
            look(run, setup)

    return check_runs(study.runs(), look_at)


def _check_measured(arm: str, metrics: Iterable[str], setup: Setup) -> None:
    sizes = {name: len(indices) for name, indices in setup.federation.held_out_sets().items()}
    allowed = metric_names(setup.scoring, sizes)
    for metric in metrics:
        known = stated(metric)
        spread = known is not None and known.statistic not in ("", CLIENTS)
        decided = known is not None and known.held_out in (_OF_CLIENTS if spread else _POOLED)
        if decided and metric not in allowed:
            hint = meant(metric, allowed)
            raise BadInput(
                f"expect: {arm}: {metric!r} is not measured here; {hint}allowed: {', '.join(allowed)}"
            )


def cannot_run(runs: Sequence[Run], faults: Mapping[str, str]) -> str:
    """The sentence on the arms of which no run can begin; empty where all can. faults: name of a run -> reason."""
    if not faults:
        return ""
    arms = dict.fromkeys(run.arm for run in runs)
    failing = [arm for arm in arms if all(run.name in faults for run in runs if run.arm == arm)]
    some = [
        arm
        for arm in arms
        if arm not in failing and any(run.name in faults for run in runs if run.arm == arm)
    ]
    parts = [f"{len(failing)} of {len(arms)} arms cannot run: {listed(failing, 10)}"] if failing else []
    parts += [f"some seeds cannot run: {listed(some, 10)}"] if some else []
    return f"{'; '.join(parts)}; `run` would run the others and end with exit code 1 too"


class _Refused(Exception):
    """A run that asks for the impossible; says why."""


def _where(run: Run, sound_before: bool) -> str:
    """The arm, and the seed where an earlier one had no fault."""
    return f"{run.arm} (seed {run.config.seed})" if sound_before else run.arm


def _of_arms(refused: Mapping[str, Sequence[str]], tried: Mapping[str, str]) -> str:
    """All that is refused, and what user code makes fail besides; without its arm where the study has but one.

    tried: arm -> why it fails, or "".
    """
    (what, (where, *_)), *_ = refused.items()
    if [where] == list(tried):
        return what
    every = {why: list(arms) for why, arms in refused.items()}
    for arm, why in tried.items():
        if why and why not in refused:
            every.setdefault(why, []).append(arm)
    return faults_of_arms(every)


def _fault(run: Run, one_data_set: bool, look: Callable[[Run, Setup], None] | None) -> str:
    """The reason why user code makes a run fail; empty where it does not. Raises _Refused.

    one_data_set: all runs share one data set, so that its errors belong to no particular arm, and are raised at once.
    """
    try:
        setup = prepare(run.config, rehearsal=True)
        check_coalitions(run.config, setup.federation, partial(prepare, rehearsal=True))
    except OwnCodeFailed as error:
        return str(error)
    except BadData as error:
        if one_data_set:
            raise
        raise _Refused(str(error)) from error
    except BadInput as error:
        raise _Refused(str(error)) from error
    if look is not None:
        look(run, setup)
    return ""
