"""A trial of every run of a study before the first one starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from federated.examples.examples import BadData
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.foundation.texts import listed
from federated.run.setup import prepare
from federated.study.study import Run


def check_runs(runs: Iterable[Run]) -> dict[str, str]:
    """Prepare every run and discard the result. Returns the runs that user code makes fail: name -> reason.

    If the first run of an arm fails, the arm's other runs are not tried. Raises BadInput, naming the run, where the
    study asks for the impossible, and where no run is left.
    """
    faults: dict[str, str] = {}
    tried: dict[str, str] = {}
    runs = list(runs)
    one_data_set = len({run.config.dataset_as_read for run in runs}) == 1
    for run in runs:
        if not (why := tried.get(run.arm, "")):
            why = _fault(run, one_data_set)
            tried.setdefault(run.arm, why)
        if why:
            faults[run.name] = why
    if faults and all(tried.values()):
        raise OwnCodeFailed("\n".join(dict.fromkeys(faults.values())))
    return faults


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


def _fault(run: Run, one_data_set: bool) -> str:
    """The reason why user code makes a run fail; empty where it does not.

    one_data_set: all runs share one data set, so that its errors belong to no particular arm.
    """
    try:
        prepare(run.config, rehearsal=True)
    except OwnCodeFailed as error:
        return str(error)
    except BadData as error:
        if one_data_set:
            raise
        raise BadInput(f"{run.name}: {error}") from error
    except BadInput as error:
        raise BadInput(f"{run.name}: {error}") from error
    return ""
