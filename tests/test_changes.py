"""Feature and concept skew: what clients do to their examples, and to nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import ndimage, stats

from data_partitioners import Pool
from data_partitioners.compose import compose
from data_partitioners.dirichlet import dirichlet
from data_partitioners.iid import iid
from data_partitioners.label_noise import label_noise
from data_partitioners.label_permutation import label_permutation
from data_partitioners.noise import noise
from data_partitioners.rotation import rotation
from federated.config.run import RunConfig
from federated.federation import client_transforms as changes
from federated.federation import federation as federations
from federated.federation import loading
from federated.federation.federation import Federation, partition_clients
from federated.foundation.errors import BadInput
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare

DIGITS: dict[str, Any] = {"dataset": "digits", "model": "logistic", "rounds": 2, "clients": 6}
HOLDOUT = {"client": 0.25, "unseen_clients": 2}


def made(base: dict[str, Any] | None = None, **changed: Any) -> Federation:
    return partition_clients(RunConfig.model_validate({**(base or DIGITS), **changed}))


def originals() -> tuple[np.ndarray, np.ndarray]:
    examples = made().examples
    return examples.inputs, examples.targets


def held_by(federation: Federation, client: int) -> np.ndarray:
    return np.concatenate([federation.clients[client], federation.own_held_out[client]])


def test_arms_that_differ_in_noise_alone_share_who_holds_what() -> None:
    clean = made(partitioner="dirichlet(0.3)", holdout=HOLDOUT)
    noisy = made(partitioner=["dirichlet(0.3)", "noise(0.5)"], holdout=HOLDOUT)
    for left, right in zip([*clean.clients, *clean.unseen], [*noisy.clients, *noisy.unseen], strict=True):
        assert np.array_equal(left, right)
    assert np.array_equal(clean.test, noisy.test)
    assert clean.partition_digest != noisy.partition_digest
    assert clean.data_digest == noisy.data_digest


def test_noise_has_the_level_of_each_client_and_leaves_the_test_set_clean() -> None:
    """Client i of 8 has i / 7 of the level, in training, own held-out and unseen examples."""
    federation = made(partitioner=["iid", "noise(0.7)"], holdout=HOLDOUT)
    clean = originals()[0] / np.float32(255)
    added = federation.examples.inputs - clean
    assert federation.examples.inputs.dtype == np.float32
    assert not added[federation.test].any()
    for client, name in enumerate(federation.names):
        for held in (federation.clients[client], federation.own_held_out[client]):
            level, size = 0.7 * int(name) / 7, held.size * 64
            drawn = added[held]
            assert drawn.std() == pytest.approx(level, abs=5 * level / np.sqrt(2 * size) + 1e-6)
            assert abs(drawn.mean()) <= 5 * level / np.sqrt(size) + 1e-6
    unseen = set(range(8)) - set(map(int, federation.names))
    spreads = sorted(added[held].std() for held in federation.unseen)
    assert spreads == pytest.approx([0.7 * k / 7 for k in sorted(unseen)], rel=0.05, abs=1e-6)


def test_noise_is_normal_and_independent_from_example_to_example() -> None:
    federation = made(partitioner=["iid", "noise(1.0)"])
    added = (federation.examples.inputs - originals()[0] / np.float32(255))[federation.clients[5]]
    assert stats.kstest(added.ravel()[:3000], stats.norm.cdf).pvalue > 1e-4
    assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 5 / np.sqrt(64)


def test_the_noise_of_an_example_depends_on_the_seed_and_the_example_alone() -> None:
    """Another partition, another held-out share: z of an example is the same wherever its holder's level is not 0."""
    clean = originals()[0] / np.float32(255)

    def z(**changed: Any) -> np.ndarray:
        federation = made(**changed)
        levels = np.full(1797, np.nan)
        for client, name in enumerate(federation.names):
            levels[held_by(federation, client)] = int(name) / (len(federation.names) - 1)
        levels[levels == 0] = np.nan
        return (federation.examples.inputs - clean)[:, 0, 3, 3] / levels

    one = z(partitioner=["iid", "noise(1.0)"])
    other = z(partitioner=["dirichlet(0.5)", "noise(1.0)"], holdout={"client": 0.5})
    both = np.isfinite(one) & np.isfinite(other)
    assert both.sum() > 800
    assert np.allclose(one[both], other[both], atol=1e-5)
    assert not np.allclose(one[both], z(partitioner=["iid", "noise(1.0)"], seed=1)[both], atol=1e-2)


def test_the_test_images_are_noisy_too_where_that_is_asked_for() -> None:
    federation = made(partitioner=["iid", "noise(0.5, test=true)"])
    added = (federation.examples.inputs - originals()[0] / np.float32(255))[federation.test]
    assert federation.changes is not None
    owners = federation.changes.test_owners[federation.test]
    assert np.bincount(owners).tolist() == [60] * 6
    spreads = [added[owners == client].std() for client in range(6)]
    assert spreads == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5], rel=0.06)
    plain = made(partitioner=["iid", "noise(0.5)"])
    assert plain.partition_digest != federation.partition_digest


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ["iid", "noise(0.5, test=true)", "rotation(up_to=40)", "label_noise(0.3)"]
    whole = made(partitioner=spec).examples
    monkeypatch.setattr(changes, "BLOCK_BYTES", 64 * 100)
    blocks = made(partitioner=[*spec, "rotation([0])"]).examples
    assert np.array_equal(whole.inputs, blocks.inputs)
    assert np.array_equal(whole.targets, blocks.targets)


def test_the_data_as_loaded_are_left_as_they_were() -> None:
    images, targets = originals()[0].copy(), originals()[1].copy()
    made(partitioner=["iid", "noise(0.5)", "label_permutation"])
    assert np.array_equal(originals()[0], images)
    assert np.array_equal(originals()[1], targets)


def test_what_is_not_changed_is_shared_and_not_copied() -> None:
    # Federations outlive the data that they were made of in their caches, and other tests have filled both.
    for cached in (loading._load, federations._partition_clients, federations._ready):
        cached.cache_clear()
    plain = made().examples
    assert made(partitioner="label_permutation").examples.inputs is plain.inputs
    assert made(partitioner="noise(1)").examples.targets is plain.targets


def test_images_are_turned_by_their_clients_angle() -> None:
    federation = made(partitioner=["iid", "rotation"])
    images = originals()[0]
    assert federation.examples.inputs.dtype == np.uint8
    assert np.array_equal(federation.examples.inputs[federation.test], images[federation.test])
    for client in range(6):
        for index in held_by(federation, client)[:20]:
            expected = np.rot90(images[index, 0], client % 4)
            assert np.array_equal(federation.examples.inputs[index, 0], expected)


def test_other_angles_turn_the_same_way_and_are_interpolated() -> None:
    """An image turned one at a time by scipy, and a quarter turn that both ways agree on."""
    images = np.random.default_rng(0).random((3, 2, 9, 9)).astype(np.float32)
    drawn = rotation((30.0, 90.0))(Pool(3), 3, np.random.default_rng(0)).transforms[0]
    turned = drawn.apply(images, np.array([30.0, 90.0, 0.0]), drawn.fresh_generator())
    for channel in range(2):
        assert np.allclose(
            turned[0, channel], ndimage.rotate(images[0, channel], 30, reshape=False, order=1), atol=1e-6
        )
        assert np.allclose(
            turned[1, channel], ndimage.rotate(images[1, channel], 90, reshape=False, order=1), atol=1e-5
        )
    assert np.array_equal(turned[2], images[2])


def test_angles_can_be_drawn() -> None:
    drawn = rotation(up_to=45)(Pool(4000), 4000, np.random.default_rng(1)).transforms[0]
    assert stats.kstest(drawn.parameters[:-1], stats.uniform(-45, 90).cdf).pvalue > 1e-4
    assert drawn.parameters[-1] == 0


def test_labels_are_renamed_along_one_cycle_and_the_test_set_is_not() -> None:
    federation = made(partitioner=["iid", "label_permutation(0.5)"], holdout=HOLDOUT)
    images, targets = originals()
    assert federation.examples.inputs is images or np.array_equal(federation.examples.inputs, images)
    assert np.array_equal(federation.examples.targets[federation.test], targets[federation.test])
    renamed = 0
    for client in range(6):
        held = held_by(federation, client)
        pairs = set(zip(targets[held].tolist(), federation.examples.targets[held].tolist(), strict=True))
        table = dict(pairs)
        assert len(pairs) == len(table) == len(set(table.values())) == 10
        if table != {c: c for c in range(10)}:
            renamed += 1
            at = 0
            visited = [at := table[at] for _ in range(10)]
            assert sorted(visited) == list(range(10))
    assert 2 <= renamed <= 4  # half of all eight, of which two are unseen


def test_groups_share_their_renaming() -> None:
    drawn = label_permutation(groups=2)(
        Pool(100, np.arange(100) % 5), 10, np.random.default_rng(0)
    ).transforms[0]
    assert sorted(np.unique(drawn.parameters[:-1], axis=0, return_counts=True)[1]) == [5, 5]
    assert drawn.parameters[-1].tolist() == [0, 1, 2, 3, 4]


def test_every_cycle_is_as_likely() -> None:
    drawn = label_permutation()(Pool(6000, np.arange(6000) % 4), 6000, np.random.default_rng(2)).transforms[0]
    _, often = np.unique(drawn.parameters[:-1], axis=0, return_counts=True)
    assert len(often) == 6  # (4 - 1)! cycles
    assert stats.chisquare(often).pvalue > 1e-4


@pytest.mark.parametrize("kind", ["symmetric", "pair"])
def test_labels_are_wrong_as_often_as_stated(kind: Any) -> None:
    labels = np.arange(60_000) % 5
    drawn = label_noise((0.0, 0.2, 1.0), kind=kind)(
        Pool(60_000, labels), 3, np.random.default_rng(0)
    ).transforms[0]
    owners = np.arange(60_000) // 20_000
    noisy = drawn.apply(labels, drawn.parameters[owners], drawn.fresh_generator())
    rates = [(noisy != labels)[owners == k].mean() for k in range(3)]
    assert rates[0] == 0
    assert abs(rates[1] - 0.2) < 5 * np.sqrt(0.2 * 0.8 / 20_000)
    assert rates[2] == 1
    steps = np.bincount((noisy - labels)[owners == 2] % 5, minlength=5)[1:]
    if kind == "pair":
        assert steps.tolist() == [20_000, 0, 0, 0]
    else:
        assert stats.chisquare(steps).pvalue > 1e-4


def test_a_rising_rate_and_a_share_of_the_clients() -> None:
    pool = Pool(100, np.arange(100) % 2)
    rising = label_noise(0.4, spread="rising")(pool, 5, np.random.default_rng(0)).transforms[0]
    assert rising.parameters[:, 0] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0])
    some = label_noise(0.4, share=0.4)(pool, 5, np.random.default_rng(0)).transforms[0]
    assert sorted(some.parameters[:-1, 0]) == pytest.approx([0, 0, 0, 0.4, 0.4])


def test_tables_are_changed_after_they_are_standardised(own: Callable[[str], str]) -> None:
    module = own(
        "import numpy as np, pandas as pd\n"
        "def load():\n"
        "    g = np.random.Generator(np.random.PCG64(0))\n"
        "    return pd.DataFrame({'a': 1000 + 500 * g.normal(size=4000)}), g.integers(2, size=4000)\n"
    )
    base = {**DIGITS, "dataset": f"{module}:load", "clients": 2}
    noisy, clean = (made(base, partitioner=p) for p in (["iid", "noise(0.3)"], "iid"))
    added = noisy.examples.inputs - clean.examples.inputs
    assert not added[noisy.clients[0]].any()
    assert added[noisy.clients[1]].std() == pytest.approx(0.3, rel=0.1)


def test_a_run_trains_on_what_its_clients_made_of_the_data_and_is_repeatable() -> None:
    config = RunConfig.model_validate(
        {**DIGITS, "partitioner": ["dirichlet(1)", "noise(0.4)", "label_noise(0.2)"]}
    )
    ends = [
        train_rounds(initial_state(setup), setup, 2).parameters
        for setup in (prepare(config), prepare(config))
    ]
    assert ends[0].isfinite().all()
    assert ends[0].equal(ends[1])


@pytest.mark.parametrize(
    ("partitioner", "message"),
    [
        ("label_noise(1.5)", "rate must be from 0 to 1"),
        ("label_noise([0.1, 0.2])", "rate lists 2 values for 6 clients"),
        ("label_noise(0.1, share=2)", "share must be from 0 to 1"),
        ("label_permutation(groups=0)", "groups must be at least 1"),
        ("label_permutation(-1)", "share must be from 0 to 1"),
        ("rotation([])", "angles must be finite numbers, at least one"),
        ("rotation(up_to=200)", "up_to must be from 0 to 180"),
        ("noise(-0.1)", "level must be a finite number >= 0"),
    ],
)
def test_bad_arguments(partitioner: str, message: str) -> None:
    with pytest.raises((BadInput, ValueError), match=message):
        made(partitioner=partitioner)


def test_data_that_cannot_be_changed_so_are_refused(own: Callable[[str], str]) -> None:
    linear: dict[str, Any] = {"dataset": "linear(size=90)", "model": "linear", "rounds": 1, "clients": 6}
    with pytest.raises(
        BadInput, match=r"rotation needs images \[channels, height, width\], got inputs of \[1\]"
    ):
        made(linear, partitioner="rotation")
    module = own(
        "import numpy as np\n"
        "def tokens():\n    return np.zeros((40, 3), int), np.arange(40) % 2\n"
        "def oblong():\n    return np.zeros((40, 1, 3, 4), np.float32), np.arange(40) % 2\n"
    )
    with pytest.raises(BadInput, match="noise needs images or numbers; the inputs are tokens"):
        made({**DIGITS, "dataset": f"{module}:tokens"}, partitioner="noise(1)")
    with pytest.raises(BadInput, match="quarter turns need square images, got 3 x 4"):
        made({**DIGITS, "dataset": f"{module}:oblong"}, partitioner="rotation")


def test_parts_draw_numbers_of_their_own() -> None:
    """Another part before a change leaves what the change draws as it was."""
    pool = Pool(60, np.arange(60) % 3)
    one, other = (
        compose((deal, label_permutation()))(pool, 4, np.random.default_rng(5))
        for deal in (iid(), dirichlet(1.0))
    )
    assert np.array_equal(one.transforms[0].parameters, other.transforms[0].parameters)
    assert one.digest() != other.digest()
    assert one.digest() != one._replace(transforms=()).digest()
    assert (
        compose((iid(), noise(0.1)))(pool, 4, np.random.default_rng(5)).digest()
        != compose((iid(), noise(0.2)))(pool, 4, np.random.default_rng(5)).digest()
    )
