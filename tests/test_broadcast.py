"""The downlink: whole models, and differences with what a first send and missed rounds cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from federated.compressors.none import none
from federated.config.run import RunConfig
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.course import Course
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from federated.segments import train
from federated.wire.downlink import broadcast
from tests.conftest import NORMALISED, config_of


def setup_of(downlink: str, **changes: object) -> Setup:
    return prepare(config_of(compression={"downlink": downlink}, **changes))


def moved(state: RunState, done: int) -> RunState:
    """The state a round later, its model a step on."""
    step = torch.randn(state.parameters.numel(), generator=torch.Generator().manual_seed(done)) * 0.01
    return replace(state, round=state.round + 1, parameters=state.parameters + step)


class Client:
    """What a client does with what it is sent: the independent half, from payloads alone."""

    def __init__(self, setup: Setup) -> None:
        self.setup, self.model = setup, torch.zeros(0)

    def receive(self, parcel: list[tuple[str, bytes]]) -> None:
        size = self.setup.model.num_trainable
        for part, payload in parcel:
            if part == "model":
                self.model = none().decode([payload], size)[0]
            elif part == "difference":
                self.model = self.model + self.setup.parts.downlink.decode([payload], size)[0]


COHORTS = [[0, 1, 2], [0, 1], [0, 3], [1, 2, 3], [0, 4], [2], [0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize(
    "downlink", ["difference(qsgd(4))", "difference(top_k(0.05))", "difference(low_rank(1))"]
)
def test_every_client_has_the_model_it_is_said_to_have(downlink: str) -> None:
    setup = setup_of(downlink)
    state, clients = initial_state(setup), [Client(setup) for _ in range(6)]
    for done, cohort in enumerate(COHORTS):
        sent = broadcast(setup, state, cohort)
        for client, parcel in zip(cohort, sent.parcels, strict=True):
            clients[client].receive(list(parcel))
            assert clients[client].model.numpy().tobytes() == sent.model.numpy().tobytes()
        state = moved(replace(state, server={"downlink": sent.remembered}), done)


def test_a_first_send_is_whole_and_a_client_that_missed_rounds_gets_what_it_missed() -> None:
    """Sends of about P/5 bytes (top 5 % of 32-bit floats): three are shorter than 4 P, and so is every replay here."""
    setup = setup_of("difference(qsgd(4))")
    state, whole = initial_state(setup), 8 + 4 * setup.initial_parameters.numel()
    kinds = []
    for done, cohort in enumerate(COHORTS):
        sent = broadcast(setup, state, cohort)
        kinds.append([[part for part, _ in parcel] for parcel in sent.parcels])
        assert all(sum(len(payload) for _, payload in parcel) <= whole for parcel in sent.parcels)
        state = moved(replace(state, server={"downlink": sent.remembered}), done)
    model, one = ["model"], ["difference"]
    assert kinds == [
        [model, model, model],
        [one, one],
        [one, model],
        [one * 2, one * 3, one],
        [one * 2, model],
        [one * 2],
        [one * 2, one * 3, one, one * 3, one * 2, model],
    ]


def test_what_is_longer_than_the_whole_model_is_not_replayed() -> None:
    """Half precision is half a model: one payload is worth it, two together are not."""
    setup = setup_of("difference(float16)")
    state = initial_state(setup)
    for done, cohort in enumerate([[0, 1], [0], [0, 1]]):
        sent = broadcast(setup, state, cohort)
        state = moved(replace(state, server={"downlink": sent.remembered}), done)
    assert [[part for part, _ in parcel] for parcel in sent.parcels] == [["difference"], ["model"]]


def test_the_payloads_that_are_kept_are_shorter_than_a_model() -> None:
    setup = setup_of("difference(qsgd(8))")
    state, whole = initial_state(setup), 8 + 4 * setup.initial_parameters.numel()
    for done in range(12):
        sent = broadcast(setup, state, [0])
        assert sent.remembered["payloads"].numel() < whole
        assert sent.remembered["payloads"].numel() == int(sent.remembered["lengths"].sum())
        state = moved(replace(state, server={"downlink": sent.remembered}), done)


def test_clients_come_ever_nearer_to_a_model_that_stands_still() -> None:
    """What one difference loses is in the next."""
    setup = setup_of("difference(qsgd(4))")
    state = moved(initial_state(setup), 3)
    state = replace(
        state, round=0, server={"downlink": broadcast(setup, initial_state(setup), [0]).remembered}
    )
    errors = []
    for done in range(1, 5):
        sent = broadcast(setup, replace(state, round=done), [0])
        state = replace(state, server={"downlink": sent.remembered})
        errors.append(float((sent.model - state.parameters).norm()))
    assert all(after < 0.5 * before for before, after in pairwise(errors))


def test_nothing_is_changed_and_a_checkpoint_goes_on_with_the_same_numbers(tmp_path: Path) -> None:
    config = config_of(compression={"downlink": "difference(qsgd(4))", "uplink": "qsgd(4)"}, rounds=5)
    setup = prepare(config)
    whole = train_rounds(initial_state(setup), setup, 5)
    half = train_rounds(initial_state(setup), setup, 2)
    save(Course(half), tmp_path / "x", {})
    resumed = train_rounds(load(tmp_path / "x", {}, torch.device("cpu")).state, prepare(config), 5)
    assert torch.equal(whole.parameters, resumed.parameters)
    assert whole.downlink_bytes == resumed.downlink_bytes
    for name, value in whole.server["downlink"].items():
        assert torch.equal(value, resumed.server["downlink"][name])


def test_running_statistics_travel_beside_as_they_are(own: Callable[[str], str]) -> None:
    model = f"{own(NORMALISED)}:model"
    config: RunConfig = config_of(model=model, compression={"downlink": "difference(qsgd(2))"})
    setup = prepare(config)
    state = train_rounds(initial_state(setup), setup, 3)
    sent = broadcast(setup, state, [0, 1])
    trainable = setup.model.num_trainable
    assert torch.equal(sent.model[trainable:], state.parameters[trainable:])
    assert [parcel[-1][0] for parcel in sent.parcels] == ["statistics"] * 2


def test_differences_train_as_whole_models_do_and_what_they_lose_does_not_add_up() -> None:
    """In the last of 15 rounds clients lack less than half a step, of which qsgd(4) loses a fifth each time."""
    after = {}
    for downlink in ("none", "difference(qsgd(4))"):
        setup = prepare(config_of(rounds=15, cohort={"size": 6}, compression={"downlink": downlink}))
        before = train_rounds(initial_state(setup), setup, 14)
        last = train(Course(before), setup, 15)
        after[downlink] = last.state
    way = after["none"].parameters - setup.initial_parameters
    apart = after["difference(qsgd(4))"].parameters - after["none"].parameters
    assert float(apart.norm()) < 0.05 * float(way.norm())
    assert torch.equal(before.server["downlink"]["held"], torch.full((6,), 13))
    lacking = broadcast(setup, before, range(6)).model - before.parameters
    metrics = last.history[-1][1]
    assert 0 < float(lacking.norm()) < 0.5 * metrics["train/update_norm"]
