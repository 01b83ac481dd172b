"""The ledger: whatever travels is counted, by part, by client and both ways; and it can be decoded elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from federated.config.run import RunConfig
from federated.rounds import train_rounds
from federated.run.course import Course
from federated.run.setup import initial_state, prepare
from federated.segments import train
from federated.wire.ledger import joined, ledger_metrics, total_bytes, weighed
from federated.wire.payload_files import dump_folder
from tests.conftest import NORMALISED, config_of

ROOT = Path(__file__).parent.parent


def trained(config: RunConfig) -> Course:
    setup = prepare(config)
    return train(Course(initial_state(setup)), setup, config.rounds)


def test_two_parts_are_weighed_by_hand() -> None:
    """Payloads of 8 bytes of header and 10, 2 and 5 of content; the second client sends one part alone."""
    traffic = weighed([[("update", bytes(18)), ("control_variate", bytes(10))], [("update", bytes(13))]])
    assert {part: sizes.tolist() for part, sizes in traffic.items()} == {
        "update": [10, 5],
        "control_variate": [2, 0],
        "metadata": [16, 8],
    }
    assert total_bytes(traffic) == 41


def test_metrics_of_a_way_are_worked_by_hand() -> None:
    """Two clients with 28 and 13 bytes; 20 parameters would have been 80 bytes each."""
    shards = [weighed([[("update", bytes(18)), ("head", bytes(10))]]), weighed([[("update", bytes(13))]])]
    assert ledger_metrics("uplink", joined(shards), 20) == {
        "communication/uplink_bytes": 41,
        "communication/uplink_client_bytes_mean": 20.5,
        "communication/uplink_client_bytes_max": 28,
        "communication/uplink_ratio": 160 / 41,
        "communication/uplink/update_bytes": 15,
        "communication/uplink/head_bytes": 2,
        "communication/uplink/metadata_bytes": 24,
    }


def test_running_statistics_are_a_part_of_their_own(own: Callable[[str], str]) -> None:
    course = trained(config_of(model=f"{own(NORMALISED)}:model", compression={"uplink": "qsgd(4)"}))
    for _, metrics in course.history:
        parts = {k: v for k, v in metrics.items() if k.startswith("communication/uplink/")}
        assert parts["communication/uplink/statistics_bytes"] == 3 * 4 * 16
        assert parts["communication/uplink/metadata_bytes"] == 3 * 2 * 8
        assert sum(parts.values()) == metrics["communication/uplink_bytes"]
    assert course.state.uplink_bytes == sum(m["communication/uplink_bytes"] for _, m in course.history)


WAYS = [
    {"uplink": "none", "downlink": "float16"},
    {"uplink": "error_feedback(chain(top_k(0.05), qsgd(4), entropy))", "downlink": "difference(qsgd(4))"},
    {"uplink": "layer_wise(eden(2))", "downlink": "difference(chain(top_k(0.1), float16))"},
    {"uplink": "error_feedback(low_rank(2))", "downlink": "difference(low_rank(1))"},
]

ELSEWHERE = """
import sys
import torch
from safetensors.torch import save_file
from federated.config.run import RunConfig
from federated.wire.payload_files import dump_folder
from federated.aggregators import weighted_sum
from federated.rounds import aggregate
from federated.shards import ShardReport
from federated.run.clients.cohort import sample_cohort, weights_of
from federated.run.setup import initial_state, prepare

models = {}
for number, text in enumerate(sys.argv[2:]):
    config = RunConfig.model_validate_json(text)
    setup = prepare(config)
    state, size = initial_state(setup), setup.model.num_trainable
    for done in range(config.rounds):
        cohort, folder = sample_cohort(setup, done), dump_folder(config) / f"round-{done + 1:05d}"
        files = [file for client in cohort for file in folder.glob(f"uplink-{client}-*.bin")]
        decoded = [setup.parts.uplink.decode([file.read_bytes()], size)[0] for file in files]
        weights = weights_of(cohort, setup)
        total = weighted_sum(weights, torch.stack(decoded))
        report = ShardReport(total, {}, cohort, weights, 0.0, {}, 0, {}, {}, 0.0, 0.0)
        state = aggregate(setup, state, [report])
    models[str(number)] = state.parameters
save_file(models, sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.nightly
def test_payloads_on_disk_weigh_what_the_ledger_says_and_make_the_same_models_in_another_process(
    tmp_path: Path,
) -> None:
    configs, models = [], []
    for at, compression in enumerate(WAYS):
        config = config_of(compression={**compression, "dump": str(tmp_path / f"payloads-{at}")})
        state = trained(config).state
        for way, counted in (("uplink", state.uplink_bytes), ("downlink", state.downlink_bytes)):
            files = list(dump_folder(config).glob(f"round-*/{way}-*.bin"))
            assert sum(len(file.read_bytes()) for file in files) == counted
        configs.append(config.model_dump_json())
        models.append(state.parameters.numpy().tobytes())
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path / "models"), *configs]
    subprocess.run(command, check=True, cwd=ROOT, timeout=120)
    found = load_file(tmp_path / "models")
    assert [found[str(at)].numpy().tobytes() for at in range(len(WAYS))] == models


def dumped(
    folder: Path, uplink: str, shard_size: int | None = None, engine: str = "loop"
) -> dict[str, bytes]:
    """The uplink's payloads of the first round, by client."""
    setup = prepare(
        config_of(compression={"uplink": uplink, "dump": str(folder)}, rounds=1, engine={"name": engine})
    )
    cut = replace(setup, shard_size=shard_size or setup.shard_size)
    state = train_rounds(initial_state(cut), cut, 1)
    files = dump_folder(setup.config).glob("round-00001/uplink-*.bin")
    payloads = {file.name: file.read_bytes() for file in files}
    assert sum(map(len, payloads.values())) == state.uplink_bytes
    return payloads


@pytest.mark.parametrize("shard_size", [1, 2])
def test_however_the_cohort_is_cut_up_each_client_sends_the_same_bytes(
    shard_size: int, tmp_path: Path
) -> None:
    uplink = "chain(random_k(0.5), eden(2), entropy)"
    whole = dumped(tmp_path / "whole", uplink)
    assert len(set(whole.values())) == 3
    assert dumped(tmp_path / "cut", uplink, shard_size) == whole


def test_engines_send_the_same_coordinates_with_the_same_random_numbers(tmp_path: Path) -> None:
    """Their updates differ in rounding alone, and so do the payloads: the seed and the length are the same."""
    loop, stacked = (dumped(tmp_path / name, "random_k(0.5)", engine=name) for name in ("loop", "vectorised"))
    assert loop.keys() == stacked.keys()
    for client, payload in loop.items():
        assert payload[:16] == stacked[client][:16]
        numbers = [np.frombuffer(sent[16:], "<f4") for sent in (payload, stacked[client])]
        assert np.allclose(*numbers, atol=1e-6)
