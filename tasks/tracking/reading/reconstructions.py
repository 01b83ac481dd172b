"""Pictures of images that were drawn again from updates, fetched from the runs that logged them."""

from __future__ import annotations

from collections.abc import Sequence

from federated.report import RunResult
from federated.report.findings.results import arms_of
from tasks.tracking.reading.artifacts import bytes_of

_PICTURE = "inversion.png"
_MEASURED = "privacy/inversion_psnr"
_MOST = 8


def reconstruction_pictures(results: Sequence[RunResult]) -> dict[str, bytes]:
    """Arm and seed -> the picture of its first seed, of the first eight arms whose updates were inverted."""
    attacked = [run for run in results if run.finished and _MEASURED in run.metric_names]
    pictures: dict[str, bytes] = {}
    for arm in arms_of(attacked)[:_MOST]:
        run = min((run for run in attacked if run.arm == arm), key=lambda run: run.seed)
        if (png := bytes_of(run.run_id, _PICTURE)) is not None:
            pictures[f"{arm}, seed {run.seed}"] = png
    return pictures
