"""Studies in which a person's own code fails: before a run, and in the middle of one."""

import pytest

from federated.config.run import RunConfig
from federated.study.study import StudyConfig
from flows.federated_study import StudyFailed, federated_study
from tasks.checkpoints import checkpoint_path
from tasks.tracking.server.store import connect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("prefect_server", "home"),
]

# Net fails as it is told once it has learnt for a while, which no trial does; Flat fails at once.
SOURCE = """
import os, sys
from torch import nn

class Flat(nn.Module):
    def __init__(self, input_shape, num_outputs):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, num_outputs))

    def forward(self, x):
        return self.net(x).squeeze()

class Late(Flat):
    def __init__(self, input_shape, num_outputs, how):
        super().__init__(input_shape, num_outputs)
        self.how, self.first = how, self.net[1].weight.detach().clone()

    def forward(self, x):
        if self.training and (self.net[1].weight - self.first).abs().max() > 0.8:
            match self.how:
                case "exit": sys.exit(0)
                case "at once": os._exit(0)
                case "interrupt": raise KeyboardInterrupt
                case "stop": raise StopIteration
        return self.net(x)
"""
HOW = {
    "exit": "SystemExit: 0",
    "at once": "SystemExit: 0",
    "interrupt": "KeyboardInterrupt",
    "stop": "StopIteration",
}


@pytest.mark.parametrize(
    ("workers", "granularity", "ways"),
    [(1, "segment", list(HOW)), pytest.param(2, "stage", ["exit", "stop"], marks=pytest.mark.nightly)],
)
@pytest.mark.nightly
def test_the_arms_of_code_that_fails_are_marked_and_the_others_run(own, workers, granularity, ways):
    module = own(SOURCE)
    models = ["logistic", f"{module}:Flat", *({"name": f"{module}:Late", "how": how} for how in ways)]
    base = {
        "dataset": "digits",
        "model": "logistic",
        "clients": 4,
        "local": {"batch_size": 16, "learning_rate": 0.3},
        "rounds": 12,
        "evaluation": {"every": 2},
        "orchestration": {"granularity": granularity},
    }
    study = StudyConfig.model_validate({"name": "late", "base": base, "axes": {"model": models}})
    with pytest.raises(StudyFailed) as caught:
        federated_study(study, workers=workers)
    results = {result.arm: result for result in caught.value.outcome.results}
    assert {arm: result.status for arm, result in results.items()} == {
        "logistic": "FINISHED",
        "Flat": "FAILED",
        **{f"Late(how={how})": "FAILED" for how in ways},
    }
    said = str(caught.value)
    assert said.startswith(f"{len(ways) + 1} of {len(ways) + 2} runs failed: Flat · seed 0: model: ")
    assert "squeeze() drops the batch's dimension" in results["Flat"].message
    for how in ways:
        line = f"model: {module}:Late: {HOW[how]} ({module}.py, line "
        assert line in results[f"Late(how={how})"].message
        assert line in said
        assert results[f"Late(how={how})"].rounds_done >= 2  # what was measured before is there
        config = RunConfig.model_validate({**base, "model": {"name": f"{module}:Late", "how": how}})
        assert checkpoint_path(config).exists()
    assert connect().get_run(caught.value.outcome.parent_run_id).info.status == "FAILED"
