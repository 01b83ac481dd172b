"""When states are saved: at once, then seldom enough to cost little, and always at the end."""

from dataclasses import replace

import pytest

from federated.setup import initial_state, prepare
from tasks import checkpoints
from tests.conftest import config_of

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def setup():
    return prepare(config_of())


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on only when told to."""
    now = [100.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def saved(monkeypatch, clock):
    """The rounds of the states that were saved; saving takes `cost` seconds."""
    rounds = []

    def save(state, setup):
        rounds.append(state.round)
        clock[0] += save.cost

    save.cost = 0.0
    monkeypatch.setattr(checkpoints, "save_checkpoint", save)
    return rounds, save


@pytest.mark.parametrize(("cost", "expected"), [(0.0, [1, 11, 21, 30]), (0.31, [1, 17, 30])])
def test_states_are_saved_every_ten_seconds_or_fifty_times_what_saving_takes(
    setup, clock, saved, cost, expected
):
    rounds, save = saved
    save.cost = cost
    with checkpoints.keeping(setup) as keep:
        for at in range(1, 31):
            keep(replace(initial_state(setup), round=at))
            clock[0] += 1.0
    assert rounds == expected


def test_an_error_or_an_interrupt_loses_no_evaluated_round(setup):
    keeper = checkpoints.keeping(setup)
    state = initial_state(setup)

    def train():
        with keeper as keep:
            for at in (2, 4, 6):
                keep(replace(state, round=at))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert checkpoints.first_state(setup, resume=True).round == 6
    assert checkpoints.first_state(setup, resume=False).round == 0


def test_nothing_is_saved_where_nothing_was_done(setup):
    with checkpoints.keeping(setup):
        pass
    assert not checkpoints.checkpoint_path(setup.config).exists()
