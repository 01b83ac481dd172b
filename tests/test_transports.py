"""The seam of transport, by two that are not shipped: one adds a frame, one lets the server read a sum alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from federated.compressors import COMPRESSORS, HEADER_BYTES, CohortState, Compressor, Trait
from federated.compressors.compressor import content_of, with_header
from federated.config.run import RunConfig
from federated.forecast import forecast_study
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.foundation.randomness import Purpose, generator
from federated.rounds import train_rounds
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from federated.study.study import Run
from federated.transports import TRANSPORTS, Sending, Transport
from tests.conftest import config_of

pytestmark = pytest.mark.usefixtures("home")

FRAME = 12
_STEP = 2.0**-16


def framed() -> Transport:
    """Each payload behind a frame that says round and client."""

    def frames(sending: Sending) -> list[bytes]:
        return [np.array([sending.done, client, 7], "<u4").tobytes() for client in sending.clients]

    def protect(payloads: Sequence[bytes], sending: Sending) -> list[bytes]:
        return [frame + payload for frame, payload in zip(frames(sending), payloads, strict=True)]

    def opened(travelled: Sequence[bytes], sending: Sending) -> list[bytes]:
        assert [payload[:FRAME] for payload in travelled] == frames(sending)
        return [payload[FRAME:] for payload in travelled]

    return Transport(protect, opened)


def integers_of(payload: bytes) -> np.ndarray:
    return np.frombuffer(payload, "<u4", offset=HEADER_BYTES)


def masked() -> Transport:
    """Every pair of a cohort shares a mask that one of them adds and the other takes away, modulo 2^32."""

    def masks(sending: Sending, client: int, size: int) -> np.ndarray:
        total = np.zeros(size, np.uint32)
        for other in set(sending.cohort.tolist()) - {client}:
            pair = (min(client, other), max(client, other))
            shared = generator(sending.seed, Purpose.NOISE, sending.done, *pair).integers(
                0, 2**32, size, np.uint32
            )
            total += shared if client < other else -shared
        return total

    def protect(payloads: Sequence[bytes], sending: Sending) -> list[bytes]:
        found = []
        for client, payload in zip(sending.clients.tolist(), payloads, strict=True):
            numbers = integers_of(payload)
            found.append(payload[:HEADER_BYTES] + (numbers + masks(sending, client, len(numbers))).tobytes())
        return found

    def opened(travelled: Sequence[bytes], sending: Sending) -> list[bytes]:
        total = np.sum([integers_of(payload) for payload in travelled], axis=0, dtype=np.uint32)
        return [travelled[0][:HEADER_BYTES] + total.tobytes()]

    return Transport(protect, opened, reveals="sum")


def integers() -> Compressor:
    """Multiples of 2^-16 as 32-bit integers in two's complement, so that payloads add up."""

    def encode(
        state: CohortState, deltas: Tensor, generators: Sequence[np.random.Generator]
    ) -> tuple[list[bytes], CohortState]:
        numbers = np.rint(deltas.numpy() / _STEP).astype(np.int64).astype(np.uint32)
        return [with_header(b"int4", deltas.shape[1], row.astype("<u4").tobytes()) for row in numbers], {}

    def decode(payloads: Sequence[bytes], num_parameters: int) -> Tensor:
        rows = [np.frombuffer(content_of(payload, b"int4", num_parameters), "<i4") for payload in payloads]
        return torch.from_numpy(np.stack(rows).astype(np.float32) * np.float32(_STEP))

    return Compressor(lambda clients, size: {}, encode, decode, frozenset({Trait.ADDITIVE}))


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRANSPORTS, "framed", framed)
    monkeypatch.setitem(TRANSPORTS, "masked", masked)
    monkeypatch.setitem(COMPRESSORS, "integers", integers)


def config(**changes: object) -> RunConfig:
    base = {"cohort": {"size": 3, "weighting": "uniform"}, "compression": {"uplink": "integers"}}
    return config_of(**{**base, **changes})


def trained(setup: Setup, rounds: int = 3) -> tuple[RunState, list[dict[str, float]]]:
    found: list[dict[str, float]] = []
    after = train_rounds(
        initial_state(setup), setup, rounds, measured=lambda _, metrics: found.append(metrics)
    )
    return after, found


@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold"])
@pytest.mark.parametrize("uplink", ["none", "error_feedback(top_k(0.1))"])
def test_a_frame_changes_the_bytes_and_nothing_else(algorithm: str, uplink: str) -> None:
    changes = {"algorithm": algorithm, "compression": {"uplink": uplink, "uplink_beside": "none"}}
    plain, before = trained(prepare(config(**changes)))
    state, after = trained(prepare(config(**changes, transport="framed")))
    assert torch.equal(state.parameters, plain.parameters)
    assert state.uplink_bytes - plain.uplink_bytes == 3 * 3 * FRAME
    assert state.downlink_bytes == plain.downlink_bytes
    for old, new in zip(before, after, strict=True):
        update = "communication/uplink/update_bytes"
        assert new[update] - old[update] == 3 * FRAME
        assert new["communication/uplink_nmse"] == old["communication/uplink_nmse"]


def test_the_forecast_counts_the_frames() -> None:
    stated = config(transport="framed")
    state, _ = trained(prepare(stated), stated.rounds)
    (arm,) = forecast_study([Run("arm", stated)]).arms
    assert arm.uplink.expected == state.uplink_bytes


@pytest.mark.parametrize("shard_size", [1, 2, 3])
def test_a_sum_is_all_that_is_read_and_all_that_is_needed(shard_size: int) -> None:
    """Masks cancel over the whole cohort, however it is cut into shards."""
    plain, before = trained(prepare(config()))
    setup = replace(prepare(config(transport="masked")), shard_size=shard_size)
    state, after = trained(setup)
    assert torch.allclose(state.parameters, plain.parameters, rtol=0, atol=2 * _STEP)
    assert state.uplink_bytes == plain.uplink_bytes
    assert [each["train/cohort_clients"] for each in after] == [
        each["train/cohort_clients"] for each in before
    ]


def test_what_travels_says_nothing_of_a_single_client(tmp_path) -> None:
    """Masked integers are spread over their whole range, whatever they hide; the plain ones are all small."""
    folders = []
    for transport in ("plain", "masked"):
        stated = config(transport=transport, rounds=1)
        stated = stated.model_copy(
            update={"compression": stated.compression.model_copy(update={"dump": tmp_path / transport})}
        )
        trained(prepare(stated), 1)
        folders.append(sorted((tmp_path / transport).glob("*/round-00001/uplink-*-update.bin")))
    for plain, hidden in zip(*folders, strict=True):
        assert np.abs(integers_of(plain.read_bytes()).view("<i4")).max() < 2**20
        shares = integers_of(hidden.read_bytes()) / 2**32
        assert abs(shares.mean() - 0.5) <= 5 / np.sqrt(12 * shares.size)


def test_lost_clients_share_no_masks() -> None:
    stated = config(
        transport="masked", cohort={"size": 3, "weighting": "uniform", "sampling": "unreliable(uniform, 0.4)"}
    )
    plain, _ = trained(prepare(stated.model_copy(update={"transport": config().transport})))
    state, found = trained(prepare(stated))
    assert torch.allclose(state.parameters, plain.parameters, rtol=0, atol=2 * _STEP)
    assert sum(metrics["train/lost_clients"] for metrics in found) > 0


def test_running_statistics_cannot_travel_where_the_server_reads_a_sum(own: Callable[[str], str]) -> None:
    name = own(
        "from torch import nn\n"
        "def normed(shape, outputs):\n"
        "    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, outputs))\n"
    )
    with pytest.raises(BadInput, match="transport: masked lets the server read a sum alone"):
        prepare(config(transport="masked", model=f"{name}:normed", local={"batch_size": None}))


def test_the_plain_transport_leaves_keys_of_runs_as_they_were() -> None:
    assert config_of().run_key() == config_of(transport="plain").run_key() == "b9e39dc402c4"
    assert config_of(transport="framed").run_key() != config_of().run_key()
    assert config_of(transport="framed").anchor_key() == config_of().anchor_key()
    with pytest.raises(ValueError, match="transport would have no effect"):
        config_of(training="local", transport="framed")


OWN = """
from federated.transports import Transport
def short() -> Transport:
    return Transport(lambda payloads, sending: [b""], lambda payloads, sending: list(payloads))
def forgetful() -> Transport:
    return Transport(lambda payloads, sending: list(payloads), lambda payloads, sending: [b"x" for _ in payloads])
def half() -> Transport:
    return Transport(lambda payloads, sending: list(payloads), lambda p, s: list(p), reveals="half")
"""


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("short", "protect must return a list of 2 payloads of bytes"),
        ("forgetful", "open does not return the payloads that were protected"),
        ("half", "reveals must be 'each' or 'sum', got 'half'"),
    ],
)
def test_a_transport_of_ones_own_is_held_to_the_contract(
    factory: str, message: str, own: Callable[[str], str]
) -> None:
    with pytest.raises(OwnCodeFailed, match=message):
        prepare(config_of(transport=f"{own(OWN)}:{factory}"))
