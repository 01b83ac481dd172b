"""The seam of privacy, by a mechanism that uses all of it and is not shipped: adaptive clipping with noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dp_accounting as dp
import numpy as np
import pytest
import torch
from torch import Tensor

from federated.forecast import forecast_study
from federated.foundation.errors import OwnCodeFailed
from federated.foundation.randomness import Purpose, generator
from federated.privacy import PRIVACY, Bounded, Gathered, Privacy
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.clients.cohort import sample_cohort
from federated.run.course import Course
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from federated.study.study import Run
from tests.conftest import config_of

pytestmark = pytest.mark.usefixtures("home")


def adaptive(noise: float = 0.0, quantile: float = 0.5, rate: float = 0.2) -> Privacy:
    """Andrew et al. 2021, "Differentially private learning with adaptive clipping", without noise on the shares."""

    def bound(memory: dict[str, Tensor], updates: Tensor, numbers: Any) -> Bounded:
        limit, norms = memory["norm"], torch.linalg.vector_norm(updates, dim=1)
        within = (norms <= limit).to(updates)
        factors = (limit / norms.clamp(min=1e-12)).clamp(max=1)
        return Bounded(updates * factors[:, None], norms > limit, {"within": within[:, None]})

    def release(
        memory: dict[str, Tensor], gathered: Gathered, numbers: np.random.Generator
    ) -> tuple[dict[str, Tensor], Tensor]:
        limit, share = memory["norm"], gathered.told["within"][0]
        after = {"norm": limit * torch.exp(-rate * (share - quantile)), "rounds": memory["rounds"] + 1}
        drawn = torch.from_numpy(numbers.standard_normal(gathered.update.numel())).to(gathered.update)
        total = gathered.update * gathered.clients + noise * limit * drawn
        return after, total / gathered.expected

    return Privacy(
        bound,
        release,
        init=lambda num_parameters: {"norm": torch.tensor(0.1), "rounds": torch.zeros(num_parameters)},
        hears=("norm",),
        tells=("within",),
        guarantee=(lambda participated: dp.GaussianDpEvent(noise)) if noise else None,
    )


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRIVACY, "adaptive", adaptive)


def prepared(**changes: object) -> Setup:
    base = {"privacy": "adaptive", "cohort": {"size": 3, "weighting": "uniform"}}
    return prepare(config_of(**{**base, **changes}))


def trained(setup: Setup, rounds: int) -> RunState:
    return train_rounds(initial_state(setup), setup, rounds)


def test_the_norm_follows_the_share_within_it() -> None:
    """Oracle: C exp(-0.2 (share - 0.5)) from 0.1, for shares 0, 0.2, 0.5 and 1."""
    memory = {"norm": torch.tensor(0.1, dtype=torch.float64), "rounds": torch.zeros(2)}
    found = []
    for share in (0.0, 0.2, 0.5, 1.0):
        told = {"within": torch.tensor([share], dtype=torch.float64)}
        gathered = Gathered(torch.zeros(2), told, 3, 3.0)
        memory, _ = adaptive().release(memory, gathered, generator(0, Purpose.NOISE))
        found.append(float(memory["norm"]))
    assert found == pytest.approx([0.110517092, 0.117351087, 0.117351087, 0.106183655], abs=1e-9)


def test_without_noise_a_round_is_that_of_clip_by_the_norm_that_the_clients_heard() -> None:
    setup = prepared()
    first, clipped = trained(setup, 1), trained(prepared(privacy="clip(0.1)"), 1)
    assert torch.allclose(first.parameters, clipped.parameters, rtol=0, atol=1e-7)
    assert float(first.server["privacy"]["norm"]) == pytest.approx(0.1 * np.exp(0.1))  # all were clipped
    assert first.server["privacy"]["rounds"].tolist() == [1.0] * setup.model.num_trainable


@pytest.mark.parametrize("shard_size", [1, 2])
def test_shards_change_nothing_of_what_is_released(shard_size: int) -> None:
    setup = prepared(privacy="adaptive(noise=0.5)")
    whole, cut = trained(setup, 3), trained(replace(setup, shard_size=shard_size), 3)
    assert torch.allclose(whole.parameters, cut.parameters, rtol=0, atol=1e-6)
    assert torch.allclose(whole.server["privacy"]["norm"], cut.server["privacy"]["norm"])


def test_noise_is_added_to_the_sum_once_a_round_by_numbers_of_its_round() -> None:
    quiet, noisy = (trained(prepared(privacy=f"adaptive(noise={z})"), 1) for z in (0.0, 2.0))
    drawn = generator(0, Purpose.NOISE, 0).standard_normal(quiet.parameters.numel())
    expected = quiet.parameters.double() + torch.from_numpy(2.0 * 0.1 * drawn / 3)
    assert torch.allclose(noisy.parameters.double(), expected, atol=1e-6)


def test_the_mean_is_over_the_expected_clients_not_over_those_who_came() -> None:
    setup = prepared(cohort={"fraction": 0.5, "sampling": "poisson", "weighting": "uniform"})
    found: list[Gathered] = []

    def release(memory: Any, gathered: Gathered, numbers: Any) -> Any:
        found.append(gathered)
        return memory, gathered.update

    parts = setup.parts._replace(privacy=setup.parts.privacy._replace(release=release))
    trained(replace(setup, worker=replace(setup.worker, parts=parts)), 4)
    assert {gathered.expected for gathered in found} == {3.0}
    assert len({gathered.clients for gathered in found}) > 1


def test_a_round_without_clients_releases_too() -> None:
    """Nobody comes: the noise alone, over the expected clients, and zeros of what would have been told."""
    setup = prepared(
        privacy="adaptive(noise=2)", cohort={"fraction": 1e-9, "sampling": "poisson", "weighting": "uniform"}
    )
    state = trained(setup, 1)
    drawn = torch.from_numpy(generator(0, Purpose.NOISE, 0).standard_normal(state.parameters.numel()))
    expected = setup.initial_parameters.double() + 2 * 0.1 * drawn / 6e-9
    assert torch.allclose(state.parameters.double(), expected, rtol=1e-5)
    assert float(state.server["privacy"]["norm"]) == pytest.approx(0.1 * np.exp(0.1))  # as if all were longer
    assert state.server["privacy"]["rounds"].unique().tolist() == [1.0]


@pytest.mark.parametrize("shard_size", [1, 2, 6])
def test_noise_at_the_clients_depends_on_round_and_client_alone(
    monkeypatch: pytest.MonkeyPatch, shard_size: int
) -> None:
    def bound(memory: dict[str, Tensor], updates: Tensor, numbers: Any) -> Bounded:
        drawn = [torch.from_numpy(each.standard_normal(updates.shape[1])) for each in numbers]
        return Bounded(torch.stack(drawn).to(updates), torch.zeros(len(updates), dtype=torch.bool))

    monkeypatch.setitem(PRIVACY, "local", lambda: Privacy(bound))
    setup = prepared(privacy="local", cohort={"size": 4, "weighting": "uniform"})
    state = train_rounds(initial_state(setup), replace(setup, shard_size=shard_size), 1)
    each = [
        generator(0, Purpose.CLIENT_NOISE, 0, int(client)).standard_normal(state.parameters.numel())
        for client in sample_cohort(setup, 0)
    ]
    expected = setup.initial_parameters.double() + torch.from_numpy(np.mean(each, axis=0))
    assert torch.allclose(state.parameters.double(), expected, atol=1e-6)


def test_what_was_decoded_is_bounded_again_before_the_sum() -> None:
    """The codec doubles every update; what is summed is bounded as it was before."""
    setup = prepared(privacy="adaptive(rate=1e-9)")
    start, plain = setup.initial_parameters, trained(setup, 1)
    codec, mechanism = setup.parts.uplink, setup.parts.privacy
    doubled = codec._replace(decode=lambda payloads, p: 2 * codec.decode(payloads, p))

    def again(memory: dict[str, Tensor], updates: Tensor) -> Tensor:
        assert mechanism.bound is not None
        return mechanism.bound(memory, updates, ()).updates

    for privacy, factor in ((mechanism, 2.0), (mechanism._replace(bound_again=again), 1.0)):
        parts = setup.parts._replace(uplink=doubled, privacy=privacy)
        state = trained(replace(setup, worker=replace(setup.worker, parts=parts)), 1)
        assert torch.allclose(state.parameters - start, factor * (plain.parameters - start), atol=1e-6)


def test_with_a_secure_source_the_noise_is_of_no_seed() -> None:
    secure = {"mechanism": "adaptive(noise=1)", "secure": True}
    first, again = (trained(prepared(privacy=secure), 1).parameters for _ in range(2))
    assert not torch.isclose(first, again).all()
    seeded = trained(prepared(privacy="adaptive(noise=1)"), 1).parameters
    assert 0.5 < float((first - again).std() / (seeded - first).std()) < 2


def test_what_is_heard_and_told_is_counted_and_nothing_else_travels() -> None:
    setup, found = prepared(), list[dict[str, float]]()
    state = train_rounds(initial_state(setup), setup, 1, measured=lambda _, metrics: found.append(metrics))
    (metrics,) = found
    assert (
        metrics["communication/uplink/within_bytes"] == metrics["communication/downlink/norm_bytes"] == 3 * 4
    )
    plain = trained(prepared(privacy="clip(0.1)"), 1)
    assert state.uplink_bytes - plain.uplink_bytes == 3 * (4 + 8)
    assert state.downlink_bytes - plain.downlink_bytes == 3 * (4 + 8)


def test_only_what_clients_hear_reaches_the_bound() -> None:
    setup, seen = prepared(), set[str]()

    def bound(memory: dict[str, Tensor], updates: Tensor, numbers: Any) -> Bounded:
        seen.update(memory)
        return adaptive().bound(memory, updates, numbers)

    parts = setup.parts._replace(privacy=setup.parts.privacy._replace(bound=bound))
    trained(replace(setup, worker=replace(setup.worker, parts=parts)), 1)
    assert seen == {"norm"}


def test_parameters_that_stay_are_neither_seen_nor_changed() -> None:
    setup = prepared(algorithm={"name": "fedper", "personal": ["3"]}, privacy="adaptive(noise=5)")
    state = trained(setup, 1)
    staying = setup.parts.travelling.staying
    assert torch.equal(state.parameters[staying], setup.initial_parameters[staying])
    assert len(state.server["privacy"]["rounds"]) == setup.parts.travelling.num_moving


def test_memory_is_in_the_checkpoint(tmp_path: Path) -> None:
    setup = prepared(privacy="adaptive(noise=0.5)")
    save(Course(trained(setup, 2)), tmp_path / "half", {})
    again = train_rounds(load(tmp_path / "half", {}, torch.device("cpu")).state, setup, 4)
    whole = trained(setup, 4)
    assert torch.equal(again.parameters, whole.parameters)
    assert torch.equal(again.server["privacy"]["norm"], whole.server["privacy"]["norm"])


def test_the_forecast_says_what_the_mechanisms_state() -> None:
    cohort = {"size": 3, "weighting": "uniform"}
    runs = [Run(name, config_of(privacy=name, cohort=cohort)) for name in ("clip(1)", "adaptive(noise=2)")]
    assert forecast_study(runs[:1]).privacy == "no privacy guarantee, so no epsilon (privacy: clip(norm=1.0))"
    both = forecast_study(runs).privacy
    assert "no privacy guarantee, so no epsilon (privacy: clip(norm=1.0))" in both
    assert "epsilon 0.1573 at delta 0.139 after round 4 (privacy: adaptive(noise=2.0))" in both
    (whole,) = forecast_study(runs).guarantees
    assert "no amplification by sampling: each of 6 clients takes part in at most 4 of 4 rounds" in whole


def test_the_bytes_of_a_forecast_include_what_is_told_and_heard() -> None:
    config = config_of(privacy="adaptive", cohort={"size": 3, "weighting": "uniform"})
    state = trained(prepare(config), config.rounds)
    (arm,) = forecast_study([Run("arm", config)]).arms
    assert (arm.uplink.expected, arm.downlink.expected) == (state.uplink_bytes, state.downlink_bytes)


OWN = """
import torch
from federated.privacy import Bounded, Privacy
def nobody(updates):
    return torch.zeros(len(updates), dtype=torch.bool)
def deaf() -> Privacy:
    return Privacy(init=lambda p: {}, hears=("norm",))
def mute() -> Privacy:
    return Privacy(lambda m, u, n: Bounded(u, nobody(u)), tells=("within",))
def flat() -> Privacy:
    return Privacy(lambda m, u, n: Bounded(u, nobody(u), {"within": u[:, 0]}), tells=("within",))
def short() -> Privacy:
    return Privacy(release=lambda memory, gathered, numbers: (memory, gathered.update[:3]))
def forgetful() -> Privacy:
    return Privacy(
        release=lambda m, gathered, numbers: ({}, gathered.update), init=lambda p: {"a": torch.ones(1)}, hears=("a",)
    )
def moody(calls=[]) -> Privacy:
    def release(memory, gathered, numbers):
        calls.append(1)
        return memory, gathered.update * len(calls)
    return Privacy(release=release)
"""


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("deaf", "hears names 'norm', which is not in the server's state"),
        ("mute", "bound must tell what tells names, within, got none"),
        ("flat", r"bound must tell within as floats \[2, n\], a row for each client"),
        ("short", "release must return an update float32"),
        ("forgetful", "hears names 'a', which is not in the server's state"),
        ("moody", "release returns something else when it is called again"),
    ],
)
def test_a_mechanism_of_ones_own_is_held_to_the_contract(
    factory: str, message: str, own: Callable[[str], str]
) -> None:
    with pytest.raises(OwnCodeFailed, match=message):
        prepare(config_of(privacy=f"{own(OWN)}:{factory}", cohort={"weighting": "uniform"}))
