"""What is refused of scaling out before anything runs, the queue of orders, what travels, and what a kill leaves."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from federated.config.engine import Engine
from federated.config.run import RunConfig
from federated.foundation.addresses import host_and_port
from federated.foundation.errors import BadInput
from federated.run.clients.order import ShardOrder
from federated.study.study import Run
from tasks.scale_out.crew import reason_of
from tasks.scale_out.queue import Queue
from tasks.scale_out.stages import check_scale_out
from tasks.scale_out.travel import packed, unpacked
from tests.test_shards import bits

ROOT = Path(__file__).parents[1]
RAY: dict[str, Any] = {"scale_out": "ray", "workers": 2}
CONTENT: dict[str, Any] = {"dataset": "digits", "model": "logistic", "clients": 4, "rounds": 1}


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ({"workers": 2}, "workers 2 has an effect with scale_out: ray alone"),
        ({"address": "auto"}, "address auto has an effect with scale_out: ray alone"),
        ({"gpus_per_worker": 0.5}, "gpus_per_worker 0.5 has an effect with scale_out: ray alone"),
        ({"scale_out": "ray"}, "scale_out: ray needs workers, the number of its processes, such as 2"),
        ({**RAY, "workers": 0}, "greater than 0"),
        ({**RAY, "gpus_per_worker": -1}, "greater than or equal to 0"),
        (
            {**RAY, "gpus_per_worker": 1.5},
            "1.5 is neither a share of one GPU, such as 0.5, nor a whole number",
        ),
        ({**RAY, "address": "head"}, "address 'head' is none of local, auto and the host:port of a Ray head"),
        ({**RAY, "address": "ray://head:10001"}, "is none of local, auto"),
        ({**RAY, "address": "head:65536"}, "is none of local, auto"),
        ({"scale_out": "dask", "workers": 2}, "Input should be 'ray'"),
    ],
)
def test_settings_that_cannot_be_are_refused_when_they_are_read(engine: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Engine(**engine)


def test_an_address_is_a_host_and_a_port() -> None:
    assert host_and_port("10.0.0.7:6379") == ("10.0.0.7", 6379)
    assert host_and_port("head-1.lan:1") == ("head-1.lan", 1)
    assert host_and_port("[::1]:6379") == ("::1", 6379)
    assert [host_and_port(text) for text in ("head", "head:", ":1", "head:0", "a b:1", "u@h:1")] == [None] * 6


def refused(**changes: Any) -> str:
    config = RunConfig.model_validate({**CONTENT, "engine": RAY, **changes})
    with pytest.raises(BadInput) as error:
        check_scale_out([Run("run", config)])
    assert "\n" not in str(error.value)
    return str(error.value)


def test_without_the_package_there_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert refused() == (
        "engine.scale_out: ray needs the package ray, which is not installed: make ray installs it"
    )
    check_scale_out([Run("run", RunConfig.model_validate(CONTENT))])


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra `make ray` is not installed")
def test_what_the_machine_cannot_do_is_refused_before_anything_runs() -> None:
    assert refused(orchestration={"granularity": "stage"}).startswith(
        "orchestration.granularity: stage makes"
    )
    assert refused(device="cpu", engine={**RAY, "gpus_per_worker": 1}).startswith(
        "engine.gpus_per_worker: 1 GPUs"
    )
    few = torch.cuda.device_count()
    assert refused(engine={**RAY, "workers": 2 * few + 2, "gpus_per_worker": 0.5}).startswith(
        f"engine.gpus_per_worker: {2 * few + 2} workers with 0.5 each need {few + 1} GPUs, and there are {few}"
    )
    assert refused(engine={**RAY, "workers": 2 * few + 2, "gpus_per_worker": 0.6}).startswith(
        f"engine.gpus_per_worker: {2 * few + 2} workers with 0.6 each need {2 * few + 2} GPUs, and there are {few}"
    )
    with socket.socket() as bound:  # which nobody listens at
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        said = refused(engine={**RAY, "address": address})
    assert said.startswith(f"engine.address: no Ray head answers at {address}: Connection refused; start one")


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra `make ray` is not installed")
def test_two_clusters_in_one_study_are_refused() -> None:
    engines = ({**RAY, "address": "local"}, {**RAY, "address": "10.0.0.7:6379"})
    runs = [Run("run", RunConfig.model_validate({**CONTENT, "engine": engine})) for engine in engines]
    with pytest.raises(
        BadInput, match=r"a study uses one Ray cluster, and this one names 10\.0\.0\.7:6379, local"
    ):
        check_scale_out(runs)


def orders(number: int, asked: list[int]) -> Iterator[ShardOrder]:
    for at in range(number):
        asked.append(at)
        yield ShardOrder(at, torch.zeros(1), {}, np.array([at]), np.ones(1), {}, np.array([at]))


def test_answers_come_in_the_orders_order_and_few_orders_are_ahead_of_them() -> None:
    asked: list[int] = []
    queue = Queue(orders(5, asked), ahead=3)
    out = [taken for _ in range(9) if (taken := queue.take()) is not None]
    assert [at for at, _ in out] == [0, 1, 2] == asked
    queue.answer(2, "c")
    queue.answer(1, "b")
    assert list(queue.ready()) == []
    queue.give_back(*out[0])
    again = queue.take()
    assert again is not None
    assert again[1] is out[0][1]
    queue.answer(0, "a")
    assert list(queue.ready()) == ["a", "b", "c"]
    assert not queue.done
    rest = [taken for _ in range(9) if (taken := queue.take()) is not None]
    assert [at for at, _ in rest] == [3, 4]
    queue.answer(4, "e")
    queue.answer(3, "d")
    assert list(queue.ready()) == ["d", "e"]
    assert queue.done


def test_values_travel_to_the_bit_and_arrive_as_copies() -> None:
    value = {
        "several": [torch.arange(6.0).view(2, 3).T, (torch.tensor(3.0), torch.zeros(0, 4))],
        "types": (torch.tensor([True]), torch.tensor([2**60]), torch.tensor([1e-300], dtype=torch.float64)),
        "others": (np.arange(3), b"bytes", "text", 1, 0.5, None),
    }
    sent = packed(value)
    assert bits(unpacked(sent, torch.device("cpu"))) == bits(value)
    arrived = unpacked(sent, torch.device("cpu"))["several"][0]
    arrived += 1
    assert bits(unpacked(sent, torch.device("cpu"))) == bits(value)
    half = torch.tensor([1.5, -2.0], dtype=torch.bfloat16)
    assert torch.equal(unpacked(packed(half), torch.device("cpu")), half)


def test_of_what_ray_says_of_a_lost_process_its_reason_is_told() -> None:
    """As Ray 2.60 says it."""
    killed = (
        "The actor died unexpectedly before finishing this task.\n\tclass_name: T\n\tpid: 1\n"
        "The actor is dead because it was killed by `ray.kill`.\n"
    )
    assert reason_of(RuntimeError(killed)) == "The actor is dead because it was killed by `ray.kill`."
    unmade = (
        "The actor died because of an error raised in its creation task, \x1b[36mray::T.__init__()\x1b[39m (pid=1)\n"
        "  File x\nModuleNotFoundError: No module named 'tasks'"
    )
    assert reason_of(RuntimeError(unmade)) == "ModuleNotFoundError: No module named 'tasks'"


_KILLED = """
import json, subprocess, sys, time
from tasks.scale_out.cluster import connect
ray = connect("local")
print(json.dumps({"nodes": [node["NodeManagerAddress"] for node in ray.nodes()]}), flush=True)
time.sleep(600)
"""


def below(folder: Path) -> list[int]:
    """The processes whose command names this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and str(folder) in (entry / "cmdline").read_text():
                found.append(int(entry.name))
        except OSError:  # it has ended
            continue
    return found


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra `make ray` is not installed")
def test_a_killed_study_leaves_no_process_of_ray_and_its_files_go_with_the_next() -> None:
    """The folder has a short name, as the path of a socket has at most 107 characters."""
    home = Path(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    command = [sys.executable, "-c", _KILLED]
    environment = {**os.environ, "FEDSTUDY_HOME": str(home)}
    try:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
        ) as driver:
            assert driver.stdout is not None
            assert json.loads(driver.stdout.readline())["nodes"] == ["127.0.0.1"]
            assert below(home)
            driver.send_signal(signal.SIGKILL)
        until = time.monotonic() + 60
        while (left := below(home)) and time.monotonic() < until:
            time.sleep(0.1)
        assert not left
        assert [each.name for each in home.joinpath("ray").iterdir()] == [str(driver.pid)]
    finally:
        subprocess.run(["rm", "-rf", str(home)], check=True)
