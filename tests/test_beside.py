"""What travels beside updates and model: its codec, what the server reads of it, and what each side remembers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from federated.config.run import RunConfig
from federated.foundation.errors import readable
from federated.rounds import train_rounds
from federated.run.course import Course
from federated.run.setup import Setup, initial_state, prepare
from federated.segments import train
from federated.wire.downlink import broadcast
from tests.conftest import config_of

CONTENT = {"dataset": "digits", "model": "logistic", "clients": 3, "rounds": 1}


def config(**changes: Any) -> RunConfig:
    return RunConfig.model_validate({**CONTENT, **changes})


def test_the_server_s_variate_stays_the_mean_of_the_clients_though_the_codec_loses(
    quadratics: Callable[..., Setup],
) -> None:
    """natural rounds at random to a power of two: without a client's correction, errors of all rounds would add up."""
    ways = {"uplink_beside": "natural"}
    setup = quadratics("three", cohort={"size": 2}, rounds=40, compression=ways)
    exact = quadratics("three", cohort={"size": 2}, rounds=40)
    states = [train_rounds(initial_state(each), each, 40) for each in (setup, exact)]
    state = states[0]
    own = {client: float(kept["variate"]) for client, kept in state.clients["algorithm"].items()}
    mean = sum(count / 7 * own.get(client, 0.0) for client, count in enumerate((1, 4, 2)))
    assert float(state.server["algorithm"]["variate"]) == pytest.approx(mean, abs=1e-5)
    assert [float(each.parameters[0]) for each in states] == pytest.approx([2.0, 2.0], abs=0.05)
    assert not torch.equal(states[0].parameters, states[1].parameters)


def test_by_default_a_second_vector_goes_through_the_codec_of_its_way_and_one_can_be_named() -> None:
    parameters = 610
    usual = {"uplink": "qsgd(8)", "downlink": "float16"}
    sizes = {
        "none": 4 * parameters,
        "qsgd(8)": 4 * -(-parameters // 512) + parameters,  # a norm for each bucket of 512, then a byte each
        "float16": 2 * parameters,
    }
    for ways, up, down in (
        (usual, "qsgd(8)", "float16"),
        ({**usual, "uplink_beside": "none", "downlink_beside": "none"}, "none", "none"),
        ({"uplink_beside": "float16"}, "float16", "none"),
        ({"uplink": "qsgd(8)", "downlink": "difference(qsgd(4))"}, "qsgd(8)", "none"),
    ):
        setup = prepare(config_of(algorithm="scaffold", compression=ways))
        (_, found), clients = train(Course(initial_state(setup)), setup, 1).history[0], 3
        assert found["communication/uplink/variate_bytes"] == clients * sizes[up]
        assert found["communication/downlink/variate_bytes"] == clients * sizes[down]


def test_a_number_stays_one_unless_a_codec_is_named() -> None:
    for ways, size in (({"uplink": "qsgd(4)"}, 4), ({"uplink_beside": "float16"}, 2)):
        setup = prepare(config_of(algorithm="fednova", compression=ways))
        (_, found) = train(Course(initial_state(setup)), setup, 1).history[0]
        assert found["communication/uplink/steps_bytes"] == 3 * size


def test_clients_compute_with_what_they_hear_and_the_server_with_what_it_has() -> None:
    setup = prepare(config_of(algorithm="scaffold", compression={"downlink_beside": "float16"}))
    state = train_rounds(initial_state(setup), setup, 1)
    exact = state.server["algorithm"]["variate"]
    heard = broadcast(setup, state, [0]).server["algorithm"]["variate"]
    assert torch.equal(heard, exact.half().float())
    assert not torch.equal(heard, exact)
    assert torch.equal(state.server["algorithm"]["variate"], exact)


def test_what_the_server_adds_is_what_was_decoded() -> None:
    setup = prepare(
        config_of(algorithm="scaffold", compression={"uplink_beside": "bfloat16"}, clients=1, cohort={})
    )
    state = train_rounds(initial_state(setup), setup, 1)
    variate = state.server["algorithm"]["variate"]
    assert torch.equal(variate, variate.bfloat16().float())
    assert torch.equal(state.clients["algorithm"][0]["variate"], variate)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"compression": {"uplink": "top_k(0.1)"}},
            "not right in the mean; state compression.uplink_beside: none",
        ),
        ({"compression": {"uplink": "error_feedback(sign)"}}, "not right in the mean"),
        ({"compression": {"uplink_beside": "top_k(0.1)"}}, "compression.uplink_beside: top_k(fraction=0.1)"),
        ({"compression": {"uplink": "random_k(0.1)"}}, "loses more than there is"),
        ({"algorithm": "mime_lite", "compression": {"uplink": "sign"}}, "algorithm: mime_lite with"),
        ({"compression": {"uplink_beside": "difference(qsgd(4))"}}, "difference"),
        (
            {"compression": {"downlink_beside": "qsgd(4)"}},
            "which it would damage; use none, float16 or bfloat16",
        ),
        ({"compression": {"downlink_beside": "difference(qsgd(4))"}}, "does not know which vector"),
        (
            {"algorithm": "fedavg", "compression": {"uplink_beside": "sign(scale=one)"}},
            "are votes for the model",
        ),
        ({"algorithm": "fedavg", "training": "local", "compression": {"uplink_beside": "none"}}, "no effect"),
    ],
)
def test_codecs_that_do_not_suit_are_refused_with_the_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="compression") as raised:
        config(**{"algorithm": "scaffold", **changes})
    assert message in readable(raised.value)


def key(algorithm: str, **ways: str) -> str:
    return config(algorithm=algorithm, compression=ways).run_key()


def test_keys_change_only_where_numbers_do() -> None:
    lossy = {"uplink": "qsgd(8)", "downlink": "float16"}
    assert key("fedavg", **lossy) == key(
        "fedavg", **lossy, uplink_beside="qsgd(4)", downlink_beside="float16"
    )
    assert key("fednova", **lossy) == key("fednova", **lossy, uplink_beside="none")
    assert key("scaffold") == key("scaffold", uplink_beside="none", downlink_beside="none")
    assert len({key("scaffold", **lossy), key("scaffold", **lossy, uplink_beside="none")}) == 2
    assert key("scaffold", **lossy) == key("scaffold", **lossy, uplink_beside="qsgd(8)")
    assert key("fednova", **lossy) != key("fednova", **lossy, uplink_beside="float16")
    labels = {
        config(compression={**lossy, **more}).compression.label() for more in ({}, {"uplink_beside": "none"})
    }
    assert len(labels) == 2  # as arms of one study they have two names
