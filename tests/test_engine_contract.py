"""Every engine against the loop in every kind of training that a study can ask for.

An engine says beforehand that it cannot (ValueError), or it does what the loop does. The tables below have a row for
each engine, kind of training, term, local option and precision; one that is added without a row fails here.
"""

import inspect
from dataclasses import fields, replace
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from federated.algorithms.local_terms import Contrast, LocalTerms, Phase
from federated.config.run import Engine, LocalTraining, RunConfig
from federated.extension_points.kinds import LOSS as LOSS_KIND
from federated.local_training.engine import ENGINES
from federated.local_training.steps.work import Precision
from federated.losses import LOSSES

COHORT = [3, 5, 0, 1, 2, 4]


def _mlp():
    return nn.Sequential(nn.Linear(4, 70), nn.ReLU(), nn.Dropout(0.3), nn.Linear(70, 3))


def _cnn():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.3), nn.Flatten(), nn.Linear(27, 3)
    )


def _normalised():
    return nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.GELU(), nn.Dropout(0.3), nn.Linear(6, 3))


class _Tied(nn.Module):
    """A layer that is used twice, one that is frozen, and one that is never used."""

    def __init__(self):
        super().__init__()
        self.twice, self.frozen, self.unused = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.head = nn.Linear(4, 3)
        self.frozen.requires_grad_(False)

    def forward(self, x):
        return self.head(torch.tanh(self.twice(torch.tanh(self.frozen(torch.tanh(self.twice(x)))))))


class _Aliased(nn.Module):
    """A parameter that is also reached past the module's own names, where torch.func does not find it."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.beside = [self.layer.weight]

    def forward(self, x):
        return self.layer(x) + x @ self.beside[0].T


class _Counting(nn.Module):
    """What it returns depends on how often it was called since the parameters were loaded."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.layer(x) * (1 + self.calls / 10)


class _Adapted(nn.Module):
    """Frozen layers over a sequence, with a low-rank adapter, a bias and a norm's bias that are trained, and a head."""

    def __init__(self):
        super().__init__()
        self.base, self.a, self.b = nn.Linear(1, 8), nn.Linear(1, 2, bias=False), nn.Linear(2, 8, bias=False)
        self.drop, self.norm, self.middle, self.head = (
            nn.Dropout(0.3),
            nn.LayerNorm(8),
            nn.Linear(8, 8),
            nn.Linear(8, 3),
        )
        for frozen in (self.base, self.norm.weight, self.middle.weight):
            frozen.requires_grad_(False)

    def forward(self, x):
        x = x.unsqueeze(-1)
        hidden = self.base(x) + 2 * self.b(self.a(self.drop(x)))
        return self.head(torch.tanh(self.middle(torch.tanh(self.norm(hidden)))).mean(dim=1))


MODELS = {
    "adapted": (_Adapted, (4,)),
    "mlp": (_mlp, (4,)),
    "cnn": (_cnn, (1, 8, 8)),
    "normalised": (_normalised, (4,)),
    "tied": (_Tied, (4,)),
    "aliased": (_Aliased, (4,)),
    "counting": (_Counting, (4,)),
}

# Of each engine, the models that it must take: to refuse is no way to keep the contract.
TAKES = {
    "loop": set(MODELS),
    "stacked": {"mlp"},
    "im2col": {"cnn"},
    "vmap": {"adapted", "mlp", "cnn", "normalised", "tied"},
    "folded": {"adapted", "mlp", "normalised", "tied"},
}


class _Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class _DoubledConvolution(nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x)


class _SquaredPool(nn.MaxPool2d):
    def forward(self, x):
        return super().forward(x) ** 2


class _Halving(nn.Dropout):
    def forward(self, x):
        return x / 2


def _replaced(module):
    """The module with a `forward` of this one instance."""
    forward = module.forward
    module.forward = lambda x: 2 * forward(x)
    return module


def _dense(first, second=None):
    return nn.Sequential(first, second or nn.ReLU(), nn.Linear(70, 3))


def _convolutional(first, pool=None):
    return nn.Sequential(first, nn.ReLU(), pool or nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 3))


# Modules that are a known layer to `isinstance` and compute something else.
LOOKALIKES = {
    "subclass of Linear": (lambda: _dense(_Doubled(4, 70)), (4,)),
    "Linear with its own forward": (lambda: _dense(_replaced(nn.Linear(4, 70))), (4,)),
    "ReLU with its own forward": (lambda: _dense(nn.Linear(4, 70), _replaced(nn.ReLU())), (4,)),
    "Sequential with its own forward": (lambda: _replaced(_dense(nn.Linear(4, 70))), (4,)),
    "parametrised Linear": (lambda: _dense(nn.utils.parametrizations.orthogonal(nn.Linear(4, 70))), (4,)),
    "weight norm": (lambda: _dense(nn.utils.parametrizations.weight_norm(nn.Linear(4, 70))), (4,)),
    "subclass of Dropout": (lambda: _dense(nn.Linear(4, 70), nn.Sequential(nn.ReLU(), _Halving(0.0))), (4,)),
    "subclass of Conv2d": (lambda: _convolutional(_DoubledConvolution(1, 3, 3)), (1, 8, 8)),
    "Conv2d with its own forward": (lambda: _convolutional(_replaced(nn.Conv2d(1, 3, 3))), (1, 8, 8)),
    "subclass of MaxPool2d": (lambda: _convolutional(nn.Conv2d(1, 3, 3), _SquaredPool(2)), (1, 8, 8)),
    "parametrised Conv2d": (
        lambda: _convolutional(nn.utils.parametrizations.spectral_norm(nn.Conv2d(1, 3, 3))),
        (1, 8, 8),
    ),
}


def _same_for_all(work, cohort):
    return work.model.vector


def _own_for_each(work, cohort):
    numbers = np.random.default_rng(5).standard_normal((len(cohort), len(work.model.vector)))
    return work.model.vector + torch.from_numpy(numbers).to(work.model.vector) / 10


# Of each kind of training: what clients receive, [P] or [C, P], and who trains.
KINDS = {
    "federated": (_same_for_all, COHORT),
    "local": (_own_for_each, COHORT),
    "centralised": (_own_for_each, [5]),  # one holder, whose model comes as a row
    "personalisation": (_same_for_all, sorted(COHORT)),
}

LOCAL = {
    "plain": {},
    "epochs": {"epochs": 2, "momentum": 0.9},
    "range of epochs": {"epochs": [1, 3], "weight_decay": 0.1},
    "steps": {"steps": 5, "batch_size": 10, "max_gradient_norm": 0.2},
    "range of steps": {"steps": [1, 4], "batch_size": 1, "momentum": 0.5},
    "full batch": {"steps": 2, "batch_size": None, "weight_decay": 0.1, "momentum": 0.5},
    "clipped": {"max_gradient_norm": 0.1, "momentum": 0.5, "weight_decay": 0.1, "batch_size": 10},
    "adam": {"optimiser": "adam(beta1=0.5)", "learning_rate": 0.01, "weight_decay": 0.1, "epochs": 2},
    "adamw": {
        "optimiser": "adamw",
        "learning_rate": 0.01,
        "weight_decay": 0.3,
        "max_gradient_norm": 0.2,
        "steps": 3,
    },
    "schedule": {"learning_rate": 0.3, "schedule": "step(every=1, factor=0.5)"},
}


def _numbers(*shape):
    return torch.from_numpy(np.random.default_rng(7).standard_normal(shape)) / 4


def _all_terms(clients, size):
    correction, factors = _numbers(clients, size), np.linspace(0.5, 2, clients)
    steps, offsets, phases = np.arange(clients) % 3 + 1, _numbers(clients, 3), (Phase(_some(size)),)
    return LocalTerms(0.3, correction, factors, steps, offsets, phases=phases)


def _some(size):
    return _numbers(size) > 0


def _two_phases(clients, size):
    """Of parameters within a layer and across layers, with other batches and dropout in the first."""
    return LocalTerms(phases=(Phase(_some(size), epochs=3, stream=1), Phase(~_some(size))))


TERMS = {
    "none": lambda clients, size: LocalTerms(),
    "proximal": lambda clients, size: LocalTerms(proximal=0.3),
    "correction": lambda clients, size: LocalTerms(correction=_numbers(size)),
    "correction of each": lambda clients, size: LocalTerms(correction=_numbers(clients, size)),
    "rate_factors": lambda clients, size: LocalTerms(rate_factors=np.linspace(0.5, 2, clients)),
    "steps": lambda clients, size: LocalTerms(steps=np.arange(clients) % 3 + 1),
    "offsets": lambda clients, size: LocalTerms(offsets=_numbers(clients, 3)),
    "phase": lambda clients, size: LocalTerms(phases=(Phase(_some(size), steps=3),)),
    "phases": _two_phases,
    "anchor": lambda clients, size: LocalTerms(proximal=0.3, anchor=_numbers(size)),
    "anchor of each": lambda clients, size: LocalTerms(proximal=0.3, anchor=_numbers(clients, size)),
    "all": _all_terms,
}

# Of each loss: the kind of targets it is tried on here, and the engines that must take it.
EVERYONE = {"loop", "stacked", "im2col", "vmap"}
LOSS = {
    "cross_entropy": ("classification", EVERYONE),
    "cross_entropy(label_smoothing=0.2)": ("classification", EVERYONE),
    "focal": ("classification", {"loop", "vmap"}),
    "bce": ("multilabel", EVERYONE),
    "bce(positive_weights=[1, 2, 5])": ("multilabel", {"loop", "vmap"}),
    "mse": ("regression", EVERYONE),
    "mae": ("regression", {"loop", "vmap"}),
    "huber(delta=0.5)": ("regression", {"loop", "vmap"}),
    "poisson": ("regression", EVERYONE),
    "quantile(level=0.8)": ("regression", {"loop", "vmap"}),
}

LOOP_ALONE = {"contrast", "own_steps"}
"""Terms that every other engine refuses; tests/test_moon.py says what the loop does with them."""

# How far an engine may be from the loop, as a share of the longest move; in bfloat16 sums differ in hundredths.
PRECISION = {"float32": 1e-4, "bfloat16": 0.3}


def test_nothing_that_a_study_can_ask_for_is_left_out():
    assert set(TAKES) == set(ENGINES)
    assert set(KINDS) == {*get_args(RunConfig.model_fields["training"].annotation), "personalisation"}
    assert {field.name for field in fields(LocalTerms)} < set(TERMS) | LOOP_ALONE
    stated = {option for options in LOCAL.values() for option in options}
    assert stated == set(LocalTraining.model_fields)
    assert {LOSS_KIND.bind(name).name for name in LOSS} == set(LOSSES)
    assert set(PRECISION) == set(get_args(Precision))
    assert set(get_args(Engine.model_fields["precision"].annotation)) == set(PRECISION)


def _trained(engine, work, kind, terms):
    receive, cohort = KINDS[kind]
    received = receive(work, cohort)
    before, added = received.clone(), TERMS[terms](len(cohort), work.model.num_trainable)
    if added.correction is not None:
        added = replace(added, correction=added.correction.to(received))
    if added.anchor is not None:
        added = replace(added, anchor=added.anchor.to(received))
    updates = ENGINES[engine](work, 1)(received, cohort, 2, added)
    assert torch.equal(received, before), "what was received has changed"
    return updates


def _assert_like_the_loop(engine, work, kind, terms, bound):
    updates, expected = (_trained(name, work, kind, terms) for name in (engine, "loop"))
    largest = float(expected.deltas.abs().max())
    assert largest > 1e-4, "nothing was learnt"
    assert updates.deltas.dtype == expected.deltas.dtype
    assert updates.client_ids.tolist() == expected.client_ids.tolist()
    assert updates.num_examples.tolist() == expected.num_examples.tolist()
    assert float((updates.deltas - expected.deltas).abs().max()) <= bound * largest
    assert torch.allclose(updates.losses, expected.losses, rtol=max(bound / 5, 1e-5), atol=1e-6)


def _rows():
    """Every local option with every kind of training, every term with each too; together all that can meet."""
    of_options = [(kind, local, "none") for kind in KINDS for local in LOCAL]
    of_terms = [(kind, "epochs", terms) for kind in KINDS for terms in TERMS]
    frozen = [("local", local, "phases") for local in ("steps", "clipped", "adam", "adamw")]
    return [*of_options, *of_terms, *frozen, *((kind, "clipped", "all") for kind in KINDS)]


TRACED = {("vmap", "adapted"), ("vmap", "cnn"), ("vmap", "normalised"), ("vmap", "tied")}
"""What takes seconds to trace the model, in every kind of training."""


def _marks(engine, name, kind):
    """What takes seconds to trace is tried in federated training, and every night in the other kinds."""
    if kind != "federated" and ((engine, name) in TRACED or engine == "folded"):
        return pytest.mark.nightly
    takes_seconds = name in TAKES[engine] and ((engine, name) in TRACED or kind != "federated")
    return pytest.mark.slow if takes_seconds else ()


@pytest.mark.parametrize(
    ("engine", "name", "kind"),
    [
        pytest.param(engine, name, kind, marks=_marks(engine, name, kind))
        for name in MODELS
        for engine in TAKES
        if engine != "loop"
        for kind in (KINDS if name in TAKES[engine] else ["federated"])
    ],
)
def test_an_engine_says_that_it_cannot_or_does_what_the_loop_does(engine, name, kind, local_work):
    make, shape = MODELS[name]
    if name not in TAKES[engine]:
        with pytest.raises(ValueError, match=r"the model|torch\.func"):
            ENGINES[engine](local_work(make(), shape=shape), 1)
        return
    for local, terms in [(local, terms) for of_kind, local, terms in _rows() if of_kind == kind]:
        work = local_work(make(), shape=shape, **{"batch_size": 4, "learning_rate": 0.05, **LOCAL[local]})
        try:
            _assert_like_the_loop(engine, work, kind, terms, 1e-11)
        except (AssertionError, RuntimeError) as error:
            raise AssertionError(f"{local}, terms {terms}: {error}") from error


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("name", LOSS)
@pytest.mark.parametrize(("engine", "model"), [("stacked", "mlp"), ("im2col", "cnn"), ("vmap", "mlp")])
def test_so_it_is_with_every_loss_and_with_weights_of_examples(engine, model, name, weighted, local_work):
    (make, shape), (task, takers) = MODELS[model], LOSS[name]
    loss = LOSS_KIND.bind(name).build()
    work = local_work(make(), task, shape=shape, loss=loss, weighted=weighted, batch_size=4, epochs=2)
    if engine not in takers:
        with pytest.raises(ValueError, match="or its loss, optimiser or precision"):
            ENGINES[engine](work, 1)
        return
    _assert_like_the_loop(engine, work, "federated", "none", 1e-11)


@pytest.mark.parametrize("name", [name for name in LOSS if name != "bce(positive_weights=[1, 2, 5])"])
def test_the_catalogue_says_which_engines_take_a_loss(name):
    said = inspect.getdoc(LOSSES[LOSS_KIND.bind(name).name]).partition("\n")[0]
    assert said.endswith("Every engine." if LOSS[name][1] == EVERYONE else "The loop and vmap.")


@pytest.mark.parametrize("engine", [name for name in TAKES if name != "loop"])
def test_a_term_that_the_loop_alone_knows_is_refused(engine, local_work):
    make, shape = MODELS[sorted(TAKES[engine])[0]]
    work = local_work(make(), shape=shape)
    contrast = Contrast(1.0, 0.5, work.model.vector.repeat(2, 1), np.ones(2, bool))
    with pytest.raises(ValueError, match="for the loop alone"):
        ENGINES[engine](work, 1)(work.model.vector, [0, 2], 0, LocalTerms(contrast=contrast))


@pytest.mark.parametrize("name", LOOKALIKES)
@pytest.mark.parametrize("engine", ["stacked", "im2col"])
def test_an_engine_with_gradients_by_hand_takes_no_layer_that_computes_something_else(
    engine, name, local_work
):
    make, shape = LOOKALIKES[name]
    with pytest.raises(ValueError, match="the model"):
        ENGINES[engine](local_work(make(), shape=shape), 1)


@pytest.mark.parametrize("precision", PRECISION)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("engine", "name"), [(e, m) for e in TAKES for m in sorted(TAKES[e]) if e != "loop"])
def test_so_it_is_in_every_precision(engine, name, kind, precision, local_work):
    make, shape = MODELS[name]
    work = local_work(make(), dtype=torch.float32, shape=shape, precision=precision, batch_size=4)
    try:
        ENGINES[engine](work, 1)
    except ValueError:
        assert precision == "bfloat16"
        return
    _assert_like_the_loop(engine, work, kind, "proximal", PRECISION[precision])


DECOUPLED = """
from federated.optimisers import Optimiser
def shrinking() -> Optimiser:
    return Optimiser(decoupled=True, elementwise=True)
"""


@pytest.mark.parametrize(("engine", "name"), [(e, m) for e in TAKES for m in sorted(TAKES[e]) if e != "loop"])
def test_so_it_is_where_weight_decay_is_apart_from_a_gradient_that_stays_as_it_is(
    engine, name, local_work, own
):
    make, shape = MODELS[name]
    stated = {"batch_size": 4, "learning_rate": 0.05, "weight_decay": 0.5}
    work = local_work(make(), shape=shape, optimiser=f"{own(DECOUPLED)}:shrinking", **stated)
    for kind in KINDS:
        _assert_like_the_loop(engine, work, kind, "none", 1e-11)
