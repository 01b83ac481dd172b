"""What compressors take of whole rounds of a workload, beside the training of the same rounds."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import NamedTuple

from benchmarks.data import is_real
from benchmarks.workloads import WORKLOADS
from federated.run.course import Course
from federated.run.setup import initial_state, prepare
from federated.segments import train

ROUNDS = 12
CODECS = ("none", "top_k(0.01)", "qsgd(4)")


class Share(NamedTuple):
    """Medians over the rounds but the first, in seconds; quality: measuring what is lost is in the compression."""

    workload: str
    name: str
    clients: int
    training: float
    compression: float
    real: bool

    @property
    def a_client(self) -> float:
        """Seconds of compression a client."""
        return self.compression / self.clients


def share_of_rounds(workload: str, codec: str, folder: Path, rounds: int = ROUNDS) -> Share:
    """Some rounds of a workload with this uplink on one thread; bounding, counting and measuring are compression."""
    config = WORKLOADS[workload].config(
        folder, rounds, compression={"uplink": codec}, orchestration={"threads": 1}
    )
    setup = prepare(config)
    _, *later = (metrics for _, metrics in train(Course(initial_state(setup)), setup, rounds).history)

    def median(name: str) -> float:
        return statistics.median(metrics[name] for metrics in later)

    training, compression = median("system/training_seconds"), median("system/compression_seconds")
    return Share(workload, codec, setup.trainers.cohort_size, training, compression, is_real(folder))
