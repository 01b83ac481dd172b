"""Studies of a person's own table that are ended in the middle of training, and go on."""

from __future__ import annotations

import gzip
import os
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.faults.fault import Came, Fault, NotHere, Place, wait_for
from benchmarks.faults.looking import Values, lost, values

_STUDY = """\
name: faults
base:
  dataset: {name: table, path: voices.csv, target: sex, client: "subject#", drop: [motor_UPDRS, total_UPDRS]}
  partitioner: by_client
  model: "mlp(hidden=[16])"
  cohort: {size: 10}
  rounds: 150
seeds: [0, 1]
axes: {algorithm: [fedavg, "fedavg(server_learning_rate=0.5)"]}
"""


def cut_short(number: int, workers: int, whole_group: bool = False) -> Callable[[Place], Came]:
    """A signal while the second run trains, then --resume; against the values of a study that nothing disturbed.

    whole_group: to all processes of the study, as a terminal sends it.
    """

    def inject(place: Place) -> Came:
        file = _study(place)
        study = place.start("run", file, "--workers", str(workers))
        place.wait_until_said(study, "done 1/4")
        wait_for(lambda: any(place.home.glob("checkpoints/*.safetensors")))
        (os.killpg if whole_group else os.kill)(study.pid, number)
        code = study.wait()
        resumed, said = place.flows("run", file, "--resume", "--workers", str(workers))
        kept = f"{said.count('finished before')} runs not run again"
        same = "equal bit for bit to" if values(place) == _undisturbed() else "not equal to"
        how = f"exit code {code}; --resume: exit code {resumed}, {kept}"
        return Came(f"{how}, all metrics {same} those of an undisturbed study", lost(place))

    return inject


@cache
def _undisturbed() -> Values:
    with TemporaryDirectory(prefix="fault-") as folder:
        place = Place(Path(folder))
        try:
            code, said = place.flows("run", _study(place))
            assert code == 0, said
            return values(place)
        finally:
            place.end()


def _study(place: Place) -> str:
    """The study file, beside a table of voices of patients."""
    data = os.environ.get("FEDSTUDY_TEST_DATA")
    if not data:
        raise NotHere("FEDSTUDY_TEST_DATA is not set")
    packed = Path(data, "parkinsons-telemonitoring", "parkinsons_updrs.data.gz")
    (place.folder / "voices.csv").write_bytes(gzip.decompress(packed.read_bytes()))
    (place.folder / "study.yaml").write_text(_STUDY, encoding="utf-8")
    return str(place.folder / "study.yaml")


_HOW = "an own table; {} while the second of four runs trains, then `--resume`"
FAULTS = [
    Fault("kill -9 in the middle of training", _HOW.format("the signal"), cut_short(signal.SIGKILL, 1)),
    Fault("kill -9 with `--workers 2`", _HOW.format("to the command"), cut_short(signal.SIGKILL, 2)),
    Fault("SIGTERM in the middle of training", _HOW.format("the signal"), cut_short(signal.SIGTERM, 1)),
    Fault("SIGTERM with `--workers 2`", _HOW.format("to the command"), cut_short(signal.SIGTERM, 2)),
    Fault(
        "Ctrl-C in the middle of training",
        _HOW.format("SIGINT to all its processes"),
        cut_short(signal.SIGINT, 1, whole_group=True),
    ),
    Fault(
        "Ctrl-C with `--workers 2`",
        _HOW.format("SIGINT to all its processes"),
        cut_short(signal.SIGINT, 2, whole_group=True),
    ),
    Fault(
        "terminal closed with `--workers 2`",
        _HOW.format("SIGHUP to all its processes"),
        cut_short(signal.SIGHUP, 2, whole_group=True),
    ),
]
