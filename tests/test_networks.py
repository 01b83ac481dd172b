"""The simulated clock: hand-worked times, what they grow with, the law of the slowest client, configs."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from federated.config.run import RunConfig
from federated.networks import NETWORKS, Network, round_seconds, timed

# What every registered network must say: (Mbit/s up, Mbit/s down, ms one way) of its docstring's sources.
PUBLISHED = {
    "link": None,
    "lorawan": (5470 * 0.01 / 1e6, 5470 * 0.01 / 1e6, 1000 / 2),
    "3g": (1.6, 5.9, 63.5 / 2),
    "4g": (13.6, 14.7, 53.1 / 2),
    "home_broadband": (18.4, 69.4, 10),
    "data_centre": (10e3, 10e3, 0.5 / 2),
}

positive = st.floats(1e-3, 1e4)
spreads = st.floats(0, 2)


def measured(
    up: float = 10e6, down: float = 10e6, clients: int = 10, training: float = 0.0, **more: float
) -> dict[str, float]:
    """The metrics of a round: bytes of all clients, and seconds of local training."""
    return {
        "communication/uplink_bytes": up,
        "communication/downlink_bytes": down,
        "train/cohort_clients": clients,
        "system/training_seconds": training,
        **more,
    }


def config(**changes: Any) -> RunConfig:
    return RunConfig.model_validate(
        {"dataset": "digits", "model": "logistic", "clients": 5, "rounds": 2, **changes}
    )


def test_every_registered_network_is_here():
    assert set(PUBLISHED) == set(NETWORKS)


@pytest.mark.parametrize("name", [name for name, figures in PUBLISHED.items() if figures])
def test_a_preset_has_the_figures_of_its_source(name: str):
    preset = NETWORKS[name]()
    assert (preset.uplink_mbps, preset.downlink_mbps, preset.latency_ms) == pytest.approx(PUBLISHED[name])
    assert (preset.spread, preset.compute) == (0, "measured")
    assert NETWORKS[name](uplink_mbps=1).uplink_mbps == 1


def test_a_megabyte_at_8_mbit_a_second_takes_a_second_and_the_latency():
    only_up = Network(uplink_mbps=8, downlink_mbps=math.nextafter(math.inf, 0), latency_ms=50, compute=0)
    assert round_seconds(only_up, measured(up=10e6, clients=10), 0, 1) == pytest.approx(1 + 2 * 0.05)


def test_a_hand_worked_round():
    """Ten clients: 0.5 MB down at 20 Mbit/s 0.2 s, 0.1 MB up at 2 Mbit/s 0.4 s, 2 x 30 ms, 3 s of training shared."""
    network = Network(uplink_mbps=2, downlink_mbps=20, latency_ms=30)
    metrics = measured(up=1e6, down=5e6, clients=10, training=3.0)
    assert round_seconds(network, metrics, 0, 1) == pytest.approx(0.2 + 0.4 + 0.06 + 0.3)
    stated = Network(uplink_mbps=2, downlink_mbps=20, latency_ms=30, compute=7)
    assert round_seconds(stated, metrics, 0, 1) == pytest.approx(0.2 + 0.4 + 0.06 + 7)


def test_the_round_waits_for_the_largest_payload_where_it_is_known():
    network = Network(uplink_mbps=8, downlink_mbps=8, compute=0)
    largest = {"communication/uplink_client_bytes_max": 3e6, "communication/downlink_client_bytes_max": 2e6}
    assert round_seconds(network, measured(**largest), 0, 1) == pytest.approx(3 + 2)
    assert round_seconds(network, measured(), 0, 1) == pytest.approx(1 + 1)


def test_times_add_up_over_rounds_and_evaluations_take_none():
    network = Network(uplink_mbps=8, downlink_mbps=8, compute=0)
    evaluation = (1, {"generalisation/test_accuracy": 0.5, "train/cohort_clients": 10.0})
    history = [(1, measured(up=10e6, down=0)), evaluation, (2, measured(up=20e6, down=0))]
    clocked = timed(history, network, 0)
    assert clocked[1] == evaluation
    assert [clocked[at][1]["system/simulated_seconds"] for at in (0, 2)] == [1, 2]
    assert [clocked[at][1]["system/simulated_seconds_total"] for at in (0, 2)] == [1, 3]
    assert history[0] == (1, measured(up=10e6, down=0))


@given(seed=st.integers(0, 5), spread=spreads, cut=st.integers(0, 6), seconds=st.floats(0, 10))
def test_a_history_told_in_pieces_or_timed_before_has_the_same_times(
    seed: int, spread: float, cut: int, seconds: float
):
    network = Network(1, 3, 20, spread)
    history = [(number, measured(up=1e5 * number, training=seconds)) for number in range(1, 7)]
    whole = timed(history, network, seed)
    first = timed(history[:cut], network, seed)
    elapsed = first[-1][1]["system/simulated_seconds_total"] if first else 0.0
    assert first + timed(history[cut:], network, seed, elapsed) == whole
    assert timed(timed(history, NETWORKS["lorawan"](), seed), network, seed) == whole


@given(positive, positive, positive, positive, spreads, st.integers(1, 50))
def test_more_bandwidth_never_takes_longer_and_less_always_does(
    up: float, down: float, latency: float, factor: float, spread: float, clients: int
):
    metrics = measured(clients=clients)

    def seconds(uplink: float, downlink: float, delay: float) -> float:
        return round_seconds(Network(uplink, downlink, delay, spread, compute=0), metrics, 3, 1)

    base = seconds(up, down, latency)
    slower = min(factor, 0.9)
    assert base < seconds(up * slower, down, latency)
    assert base < seconds(up, down * slower, latency)
    assert base <= seconds(up, down, latency + factor)


@given(spreads, st.integers(1, 40), st.integers(0, 3))
def test_a_larger_cohort_waits_at_least_as_long(spread: float, clients: int, seed: int):
    network = Network(8, 8, 0, spread, compute=0)
    small = round_seconds(network, measured(1e6 * clients, 0, clients), seed, 1)
    large = round_seconds(network, measured(1e6 * (clients + 1), 0, clients + 1), seed, 1)
    assert large >= small * (1 - 1e-12)


def test_the_slowest_of_a_cohort_follows_the_law_of_the_least_of_log_normal_speeds():
    """1 s of transfer at the median speed: the times are the largest of C log-normal variables, F(t)^C."""
    network, clients = Network(8, 8, spread=0.7, compute=0), 10
    times = [
        round_seconds(network, measured(1e6 * clients, 0, clients), 1, number) for number in range(1, 1500)
    ]
    law = stats.kstest(times, lambda t: stats.lognorm(0.7).cdf(t) ** clients)
    assert law.pvalue > 0.01


def test_arms_with_one_seed_meet_the_same_speeds_and_other_seeds_and_rounds_others():
    network = Network(8, 8, spread=1, compute=0)
    seconds = [round_seconds(network, measured(), seed, number) for seed in (0, 1) for number in (1, 2)]
    assert len(set(seconds)) == 4
    heavier = [
        round_seconds(network, measured(20e6, 20e6), seed, number) for seed in (0, 1) for number in (1, 2)
    ]
    np.testing.assert_allclose(heavier, 2 * np.array(seconds))


@pytest.mark.parametrize(
    ("stated", "label"),
    [
        ("4g", "4g"),
        ("4g(uplink_mbps=1)", "4g(uplink_mbps=1.0)"),
        ({"name": "3g", "spread": 0.5, "compute": 2}, "3g(spread=0.5, compute=2.0)"),
        ({"uplink_mbps": 1, "downlink_mbps": 10}, "link(uplink_mbps=1.0, downlink_mbps=10.0)"),
    ],
)
def test_a_config_states_a_network_by_name_call_or_mapping(stated: Any, label: str):
    read = config(network=stated)
    assert read.network.label() == label
    assert RunConfig.model_validate(read.model_dump(mode="json")) == read


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("5g", "network\n.*there is no network '5g'; known: 3g, 4g"),
        ("4g(uplink_mbps=0)", "4g: uplink_mbps must be a finite number of Mbit/s > 0, got 0"),
        (
            {"uplink_mbps": 1, "downlink_mbps": -2},
            "downlink_mbps must be a finite number of Mbit/s > 0, got -2",
        ),
        ("4g(latency_ms=-1)", "latency_ms must be a finite number of milliseconds >= 0, got -1"),
        ("4g(spread=-0.1)", "spread must be a finite number >= 0, got -0.1"),
        ("4g(compute=-1)", "compute must be a finite number of seconds >= 0, got -1"),
        ("4g(compute=fast)", "4g.compute.*'measured', got 'fast'"),
        ({"uplink_mbps": 1}, "link: the argument 'downlink_mbps' is required"),
        ({"bandwidth": 1}, "link: there is no argument 'bandwidth'; allowed: uplink_mbps"),
        (4, "a choice is a name"),
    ],
)
def test_a_bad_network_is_one_clear_error(stated: Any, message: str):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        config(network=stated)


def test_clients_that_are_lost_have_not_trained():
    """5 of 6 are lost and one trains for 10 s: it waits as long as each of 6 that train for 60 s in all."""
    network = NETWORKS["4g"]()
    lossy = round_seconds(network, measured(clients=6, training=10.0, **{"train/lost_clients": 5}), 0, 1)
    assert lossy == pytest.approx(round_seconds(network, measured(clients=6, training=60.0), 0, 1))
