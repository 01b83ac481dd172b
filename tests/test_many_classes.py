"""Ten thousand classes: what is measured of them is as of few, and takes little memory beside the outputs."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from federated.config.run import RunConfig
from federated.forecast.workload import evaluation_mb
from federated.metrics import row_blocks
from federated.metrics.by_client import are_finite
from federated.metrics.calibration import reliability
from federated.metrics.scoring import scoring_of
from federated.metrics.tasks import CLASSIFICATION
from federated.run.setup import prepare

MEASURE = """
import resource, torch
from federated.metrics.calibration import reliability
from federated.metrics.by_client import are_finite
from federated.metrics.scoring import scoring_of
from federated.metrics.tasks import CLASSIFICATION
scoring = scoring_of(CLASSIFICATION)
outputs, targets = torch.zeros(4_000, 10_000), torch.arange(4_000)
scoring.measured(scoring.predictions(outputs[:10], targets[:10])), reliability(outputs[:10], targets[:10])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert are_finite(outputs)
measured, table = scoring.measured(scoring.predictions(outputs, targets)), reliability(outputs, targets)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_measuring_copies_no_more_than_a_few_rows():
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    # The outputs are 153 MB; in float64, with their softmax beside, they would be 600.
    assert float(done.stdout) < 150


@pytest.mark.parametrize("at_a_time", [1, 7, 30])
def test_rows_measured_a_few_at_a_time_are_as_measured_all_at_once(monkeypatch, at_a_time):
    scoring, numbers = scoring_of(CLASSIFICATION), torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(50, 7, generator=numbers), torch.randint(7, (50,), generator=numbers)
    whole = scoring.measured(scoring.predictions(outputs, targets)), reliability(outputs, targets)
    monkeypatch.setattr(row_blocks, "AT_A_TIME", at_a_time)
    parts = scoring.measured(scoring.predictions(outputs, targets)), reliability(outputs, targets)
    for one, other in zip((*whole[0].values(), *whole[1]), (*parts[0].values(), *parts[1]), strict=True):
        np.testing.assert_array_equal(one, other)
    assert are_finite(outputs)
    outputs[49, 6] = torch.inf
    assert not are_finite(outputs)


def test_no_outputs_are_measured_as_none():
    scoring = scoring_of(CLASSIFICATION)
    assert scoring.measured(scoring.predictions(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))) == {}
    assert len(reliability(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)).shares) == 0


def test_the_forecast_knows_the_outputs_of_the_largest_set():
    config = {"dataset": "digits", "model": "logistic", "clients": 2, "rounds": 1}
    setup = prepare(RunConfig.model_validate({**config, "evaluation": {"training_examples": 100}}))
    assert len(setup.federation.test) > 100
    # ten outputs of four bytes for each example, and once more while batches are put together
    assert evaluation_mb(setup) == pytest.approx(2 * len(setup.federation.test) * 10 * 4 / 1e6)
