"""Trainers: who trains in each kind of training, on a federation with an empty client."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from federated.config.run import RunConfig
from federated.config.training import ANCHORS, TRAINING_KINDS, TrainingName
from federated.federation.federation import Federation, partition_clients
from federated.run.preparing.trainers import who_trains
from federated.run.setup import initial_state, prepare
from tests.conftest import config_of


def federation_of(training: str) -> tuple[RunConfig, Federation]:
    """40 clients of whom some hold nothing, 5 of them in a round, 6 rounds."""
    skewed = {"clients": 40, "partitioner": "dirichlet(0.02)", "cohort": {"size": 5}, "rounds": 6}
    config: RunConfig = config_of(**skewed, training=training)
    federation = partition_clients(config)
    assert 40 > sum(federation.sizes > 0) > 30
    return config, federation


def test_every_value_of_the_field_is_a_kind_and_anchors_have_no_server() -> None:
    assert set(TRAINING_KINDS) == set(get_args(TrainingName))
    assert {name for name, kind in TRAINING_KINDS.items() if not kind.has_server} == set(ANCHORS)
    assert len(set(TRAINING_KINDS.values())) == 3


@pytest.mark.parametrize(("training", "in_all"), [("federated", "cohorts"), ("local", "everybody")])
def test_clients_with_examples_train(training: str, in_all: str) -> None:
    config, federation = federation_of(training)
    trainers = who_trains(config, federation)
    assert trainers.eligible.tolist() == np.flatnonzero(federation.sizes).tolist()
    assert (trainers.cohort_size, trainers.local) == (5, config.local)
    assert trainers.holders.names == federation.names
    every = len(trainers.eligible)
    assert trainers.most_in(6) == (30 if in_all == "cohorts" else every)
    assert trainers.most_in(1000) == every


def test_one_holder_of_everything_trains_with_a_budget_of_its_own() -> None:
    config, federation = federation_of("centralised")
    trainers = who_trains(config, federation)
    assert (trainers.eligible.tolist(), trainers.cohort_size, trainers.most_in(1000)) == ([0], 1, 1)
    (held,) = trainers.holders.indices
    assert sorted(held.tolist()) == sorted(np.concatenate(federation.clients).tolist())
    assert trainers.local.steps is not None


def test_the_initial_state_is_not_the_setups_own_vector() -> None:
    """An algorithm of a person's own may change in place what it is given."""
    setup = prepare(config_of())
    state, before = initial_state(setup), setup.model.vector.clone()
    state.parameters.zero_()
    assert setup.model.vector.tolist() == before.tolist()
