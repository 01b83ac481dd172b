"""What code of a person's own raises, in the middle, in one arm or at its import, is said by name."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from federated.forecast import forecast_study
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.rounds import train_rounds
from federated.run.checks import check_runs
from federated.run.setup import initial_state, prepare
from federated.study.study import Run
from federated.user_code.containment import contained, own_code_named
from tests.conftest import config_of
from tests.test_trials import HEAD, HOSTILE, _forward

DATA = {
    "generator": ("yield 1", r"load returned a generator; it must return"),
    "nothing": ("pass", r"load returned a NoneType"),
    "exit": ("sys.exit(3)", r"cannot be loaded: SystemExit: 3 \(own_"),
    "interrupt": ("raise KeyboardInterrupt", r"cannot be loaded: KeyboardInterrupt"),
    "other data each time": (
        "return np.random.rand(40, 3), np.arange(40) % 2",
        r"returns other data each time it is called; draw its random numbers from a generator with a seed",
    ),
    "default type": (
        "torch.set_default_dtype(torch.float64); return np.ones((40, 3)), np.arange(40) % 2",
        r"changes torch's default type",
    ),
}


@pytest.mark.parametrize("what", DATA)
def test_a_data_set_of_a_persons_own(what, own):
    body, message = DATA[what]
    name = own(f"import sys\nimport numpy as np\nimport torch\ndef load():\n    {body}\n")
    with pytest.raises(OwnCodeFailed, match=message):
        prepare(config_of(dataset=f"{name}:load", model="logistic"))
    assert torch.get_default_dtype() == torch.float32


DEALT = {
    "twice": ("return [[0, 1], [1, 2]]", "hands out example 1 more than once"),
    "outside": ("return [[0], [99999]]", "hands out an example outside"),
    "floats": ("return [np.array([0.0]), np.array([1.0])]", "whole numbers"),
    "too few clients": ("return [[0, 1]]", "clients: 6 were asked for"),
    "otherwise each time": (
        "return np.array_split(np.random.permutation(pool.size), 6)",
        "deals otherwise each time it is called with the same seed",
    ),
    "exit": ("sys.exit()", r"SystemExit \(own_"),
}


@pytest.mark.parametrize("what", DEALT)
def test_a_partitioner_of_a_persons_own(what, own):
    body, message = DEALT[what]
    name = own(f"import sys\nimport numpy as np\ndef deal(pool, num_clients, generator):\n    {body}\n")
    with pytest.raises(OwnCodeFailed, match=message):
        prepare(config_of(partitioner=f"{name}:deal"))


LATE = (
    HEAD
    + "import builtins\ncalls = []\n"
    + _forward(
        "calls.append(1)\n        if limit and len(calls) > limit[0]: {what}\n        return self.head(self.body(x))"
    )
    + "limit = []\n"
)


@pytest.mark.parametrize("what", ["sys.exit(0)", "raise KeyboardInterrupt", "raise StopIteration", "{}['x']"])
@pytest.mark.parametrize("threads", [1, 2])
def test_what_own_code_raises_in_the_middle_fails_the_run_and_names_the_code(what, threads, own):
    module = own(LATE.replace("{what}", what))
    setup = prepare(config_of(model=f"{module}:Net", orchestration={"threads": threads}))
    state = train_rounds(initial_state(setup), setup, 1)
    limit = __import__(module).limit
    limit.append(len(__import__(module).calls) + 3)
    with pytest.raises(OwnCodeFailed, match=rf"^model: {module}:Net: \w+.*\({module}\.py, line \d+\)$"):
        train_rounds(state, setup, 2)


def test_a_signal_passes_and_so_does_an_error_of_ours(own):
    module = own(
        "import signal\ndef wait():\n    signal.raise_signal(signal.SIGINT)\n    return sum(range(10**6))\n"
    )
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), contained("wait"):
            __import__(module).wait()
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(ZeroDivisionError), own_code_named(config_of()):
        1 / 0  # noqa: B018


def _runs(own, *sources):
    models = [f"{own(HEAD + source)}:Net" for source in sources]
    return [
        Run(f"arm {arm}", config_of(model=model, seed=seed))
        for arm, model in enumerate(["logistic", *models])
        for seed in (0, 1)
    ]


def test_the_arm_of_code_that_fails_is_named_and_the_others_are_not(own):
    runs = _runs(own, HOSTILE["squeezed"][0])
    faults = check_runs(runs)
    assert set(faults) == {"arm 1 · seed 0", "arm 1 · seed 1"}
    assert all("squeeze() drops the batch" in why for why in faults.values())
    (caution, *_) = forecast_study(runs, 1, faults).cautions
    assert caution == f"{faults['arm 1 · seed 0']} [arm 1]"


def test_where_no_arm_is_left_nothing_runs(own):
    runs = [run for run in _runs(own, HOSTILE["squeezed"][0], HOSTILE["tuple"][0]) if run.arm != "arm 0"]
    with pytest.raises(BadInput, match=r"squeeze\(\) drops[^\n]*\n[^\n]*got a tuple of 2"):
        check_runs(runs)


def test_what_a_study_asks_for_wrongly_ends_it_as_before():
    with pytest.raises(BadInput, match=r"^arm a: evaluation\.personalisation is evaluated"):
        check_runs([Run("a", config_of(evaluation={"personalisation": True})), Run("b", config_of())])


def test_all_arms_that_cannot_run_are_said_at_once_by_their_names(own):
    wrong = {"evaluation": {"personalisation": True}}
    runs = [
        Run("a · x", config_of(**wrong)),
        Run("a · x", config_of(seed=1, **wrong)),
        Run("sound", config_of()),
        *(Run(f"{at} more", config_of(rounds=at, **wrong)) for at in range(2, 6)),
        _runs(own, HOSTILE["squeezed"][0])[2],
    ]
    with pytest.raises(BadInput) as error:
        check_runs(runs)
    first, *lines = str(error.value).splitlines()
    assert first == "6 arms cannot run:"
    assert [line.partition(": ")[0] for line in lines] == ["- a · x; 2 more; 3 more and 2 more", "- arm 1"]
    assert "squeeze()" in lines[1]


def test_a_probe_that_fails_is_a_caution_and_the_other_arms_are_foreseen(own):
    module = own(LATE.replace("{what}", "sys.exit(0)"))
    runs = [Run("sound", config_of()), Run("late", config_of(model=f"{module}:Net"))]
    check_runs(runs)
    __import__(module).limit.append(len(__import__(module).calls) + 1)
    made = forecast_study(runs)
    assert [arm.arm for arm in made.arms] == ["sound"]
    assert made.unforeseen == 1
    assert any(
        re.match(r"forecast: not of this arm, because its probe failed: .*SystemExit.* \[late\]$", said)
        for said in made.cautions
    )


def test_a_forecast_that_cannot_be_made_at_all_is_a_caution(tmp_path, monkeypatch):
    monkeypatch.setattr("federated.forecast.forecast.overheads", lambda: 1 / 0)
    made = forecast_study([Run("a", config_of())])
    assert (made.arms, made.unforeseen) == ((), 1)
    assert made.cautions == ("forecast: none, because it failed: ZeroDivisionError: division by zero",)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "torch.set_default_dtype(torch.float64)",
            "changes torch's default type from torch.float32 to torch.float64",
        ),
        ("sys.exit(0)", r"SystemExit: 0 \(own_"),
        ("raise KeyboardInterrupt", r"KeyboardInterrupt \(own_"),
    ],
)
def test_a_module_that_cannot_be_imported_as_it_should_is_refused_by_name(line, said, own):
    module = own(f"import sys\nimport torch\ndef Net(shape, outputs):\n    pass\n{line}\n")
    for _ in range(2):  # and not only the first time
        with pytest.raises(OwnCodeFailed, match=f"{module}:Net'?:? .*{said}"):
            prepare(config_of(model=f"{module}:Net"))
    assert torch.get_default_dtype() == torch.float32


def test_own_code_cannot_end_the_process_at_once_and_others_can(own):
    done = subprocess.run(
        [sys.executable, "-c", f"import {own(EXITS)} as own; own.go()"],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (5, "contained\n")


EXITS = """
import os
from federated.user_code.containment import contain_exits
def go():
    contain_exits()
    contain_exits()
    try:
        os._exit(0)
    except SystemExit:
        print("contained", flush=True)
    eval(compile("os._exit(5)", "<not theirs>", "eval"))
"""


FITS_NOT = """
import numpy as np
from enum import Enum
from typing import Annotated
from pydantic import Field
from torch import nn
from federated.algorithms import ALGORITHMS, Algorithm
from federated.compressors import COMPRESSORS, Compressor, Trait
from federated.foundation.errors import BadInput
from federated.networks import NETWORKS
from federated.privacy import PRIVACY

class Kind(Enum):
    plain = "plain"

Width = Annotated[int, Field(gt=0)]

def model(shape, outputs, kind: Kind = Kind.plain, width: Width = 1):
    if width > 9:
        raise BadInput("too wide")
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[-1] ** 2, outputs))
def schedule(width: Width = 1):
    return lambda done, rounds: 1.0
def algorithm(votes: Width = 1) -> Algorithm:
    return ALGORITHMS["fedavg"]()._replace(votes=votes > 1)
def compressor(width: Width = 1) -> Compressor:
    codec = COMPRESSORS["none"]()
    return codec._replace(traits=codec.traits | {Trait.DIFFERENCE}) if width > 1 else codec
def privacy(width: Width = 1):
    return PRIVACY["none"]()
def network(width: Width = 1):
    return NETWORKS["4g"]()
def dataset(width: Width = 1):
    return np.ones((3, 4), "f"), np.arange(3)
def partitioner(pool, num_clients, generator, width: Width = 1):
    return np.array_split(np.arange(pool.size), num_clients)
"""


NOT_TAKEN = [
    ("model", {"kind": "other"}, "kind: input should be 'plain', got 'other'"),
    ("model", {"width": 10}, "BadInput: too wide"),
    ("algorithm", {"votes": 2}, "the votes of sign"),
    ("compression.uplink", {"width": 2}, "an update is a difference already"),
    ("dataset", {}, "has 1 example"),
    *(
        (field, {"votes" if field == "algorithm" else "width": 0}, "input should be greater than 0, got 0")
        for field in (
            "model",
            "local.schedule",
            "algorithm",
            "compression.uplink",
            "compression.downlink",
            "privacy",
            "network",
            "dataset",
            "partitioner",
        )
    ),
]


@pytest.mark.parametrize(("field", "arguments", "said"), NOT_TAKEN, ids=str)
def test_what_only_running_code_refuses_fails_its_arm_alone(field, arguments, said, own):
    factory = {"local.schedule": "schedule"}.get(field, "compressor" if "." in field else field)
    choice = {"name": f"{own(FITS_NOT)}:{factory}", **arguments}
    first, _, rest = field.partition(".")
    bad = Run("bad", config_of(**{first: {rest: choice} if rest else choice}))
    faults = check_runs([Run("sound", config_of()), bad])
    assert set(faults) == {"bad · seed 0"}
    assert said in faults["bad · seed 0"]
    assert field.partition(".")[2] in faults["bad · seed 0"]
    with pytest.raises(BadInput, match=re.escape(said)):
        check_runs([bad])
