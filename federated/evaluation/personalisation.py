"""The gain of each client from fine-tuning the global model on its own training examples.

Wang et al. 2019, "Federated evaluation of on-device personalization" (arXiv:1910.10252): each client's training part to
fine-tune, its held-out part to compare before and after. Yu, Bagdasaryan and Shmatikov 2020, "Salvaging federated
learning by local adaptation" (arXiv:2002.04758): fine-tuning is the first of their adaptations, and what counts is
which clients gain. The fine-tuned models are dropped; nothing of them returns to the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from federated.config.local import LocalTraining
from federated.evaluation.outputs import Outputs
from federated.evaluation.predicted import chosen_thresholds
from federated.foundation.errors import Diverged
from federated.local_training.engine import local_trainer
from federated.local_training.memory import shard_size
from federated.local_training.steps.work import LocalWork
from federated.machine.cores import threads_of
from federated.metrics import Metrics
from federated.metrics.by_client import are_finite, distribution
from federated.metrics.gaps import mean_over_clients
from federated.metrics.measures import Measure, Predictions
from federated.metrics.scoring import of_clients
from federated.run.state import RunState

if TYPE_CHECKING:
    from federated.run.setup import Setup


class Personalised(NamedTuple):
    """The headline measure of each participating client [K] before and after, NaN without held-out examples.

    gains: the improvement, positive where accuracy rises or an error falls. sizes: the number of held-out examples of
    each client. pooled: the measure after, of all these examples; NaN where it is undefined.
    """

    before: np.ndarray
    after: np.ndarray
    gains: np.ndarray
    sizes: np.ndarray
    pooled: float


def personalised(state: RunState, setup: Setup) -> Personalised:
    """Fine-tune the global model for every client with held-out examples, and evaluate both models.

    The batches are those that the client would have in the next round. Raises Diverged where a fine-tuned model's
    outputs are not finite.
    """
    federation, scoring = setup.federation, setup.scoring
    sizes = np.array([len(own) for own in federation.own_held_out], np.int64)
    indices = np.concatenate(federation.own_held_out)
    targets = setup.targets[torch.from_numpy(indices).to(setup.targets.device)].cpu()
    outputs = (
        Outputs(setup).of(state.parameters, indices),
        _fine_tuned_outputs(state, setup, indices, sizes),
    )
    if not are_finite(outputs[1]):
        raise Diverged(
            "evaluation.personalisation: the outputs of a fine-tuned model are not finite; "
            "a smaller evaluation.personalisation.learning_rate may help"
        )
    headline = scoring.headline
    thresholds = chosen_thresholds(state, setup)
    found = [scoring.predictions(out.cpu(), targets, thresholds) for out in outputs]
    before, after = (of_clients(headline, each, sizes) for each in found)
    gains = after - before if headline.sign > 0 else before - after
    return Personalised(before, after, gains, sizes, _pooled(headline, found[1], after, sizes))


def _pooled(measure: Measure, found: Predictions, of_each: np.ndarray, sizes: np.ndarray) -> float:
    if not measure.mean:
        return measure.of(found)
    some = sizes > 0
    return float(of_each[some] @ sizes[some] / sizes.sum())


def personalisation_metrics(found: Personalised, headline: Measure, numbers: np.random.Generator) -> Metrics:
    """`generalisation/personalis...`: the fine-tuned models, the gain with its interval, and the share that gains."""
    name = headline.name
    gains = found.gains[np.isfinite(found.gains)]  # without clients for which the measure is undefined
    after = {} if np.isnan(found.pooled) else {f"generalisation/personalised_{name}": found.pooled}
    if not len(gains):
        return after
    spread = distribution(found.after, higher_is_better=headline.sign > 0)
    gained = distribution(gains, higher_is_better=True)
    gain = mean_over_clients(gains, numbers)
    return {
        **after,
        **{f"generalisation/personalised_{name}_{each}": spread[each] for each in headline.statistics},
        "generalisation/personalisation_gain": gain.value,
        **{
            f"generalisation/personalisation_gain_{end}": value
            for end, value in (("low", gain.low), ("high", gain.high))
            if value is not None
        },
        **{
            f"generalisation/personalisation_gain_{statistic}": gained[statistic]
            for statistic in ("median", "worst_10_percent", "best_10_percent")
        },
        "generalisation/personalisation_gainers": float((gains > 0).mean()),
        "generalisation/personalisation_losers": float((gains < 0).mean()),
    }


def _fine_tuned_outputs(state: RunState, setup: Setup, indices: np.ndarray, sizes: np.ndarray) -> Tensor:
    """Outputs [n, outputs] of each client's fine-tuned model on its own held-out examples, shard by shard."""
    work = _work(setup)
    clients, ends = np.flatnonzero(sizes), np.cumsum(sizes)
    if work.local.steps == 0:
        return Outputs(setup).of(state.parameters, indices)
    engine, threads = setup.config.engine, threads_of(setup.config.orchestration.threads)
    train, most = local_trainer(work, engine, clients.tolist(), threads), shard_size(work, engine)
    tuned, parts = Outputs(setup), []
    for start in range(0, len(clients), most):
        shard = clients[start : start + most]
        deltas = train(state.parameters, shard.tolist(), state.round).deltas
        models = dict(zip(shard.tolist(), deltas.add_(state.parameters), strict=True))
        mine = np.zeros_like(sizes)
        mine[shard] = sizes[shard]
        held = indices[ends[shard[0]] - sizes[shard[0]] : ends[shard[-1]]]
        parts.append(tuned.of_each(models.__getitem__, held, mine))
    return torch.cat(parts)


def _work(setup: Setup) -> LocalWork:
    """The clients' local training by `evaluation.personalisation`, with the values of `local` where it states none."""
    config, options = setup.config, setup.config.evaluation.personalisation
    assert options is not None
    local = config.local.model_copy(
        update={
            "epochs": options.epochs or 1,
            "steps": options.steps,
            "learning_rate": options.learning_rate or config.local.learning_rate,
            "schedule": LocalTraining().schedule,
        }
    )
    return LocalWork(
        setup.model,
        setup.worker.work.loss,
        setup.inputs,
        setup.worker.work.targets,
        setup.federation.clients,
        local,
        config.rounds,
        config.seed,
        config.engine.precision,
        setup.worker.work.weights,
    )
