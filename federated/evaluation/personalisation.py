"""The gain of each client from a model of its own: of the algorithm, or the global one fine-tuned on its examples.

Wang et al. 2019, "Federated evaluation of on-device personalization" (arXiv:1910.10252): each client's training part to
fine-tune, its held-out part to compare before and after. Yu, Bagdasaryan and Shmatikov 2020, "Salvaging federated
learning by local adaptation" (arXiv:2002.04758): fine-tuning is the first of their adaptations, and what counts is
which clients gain. The fine-tuned models are dropped; nothing of them returns to the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from data_partitioners.partition import flat_of, sizes_of
from federated.algorithms import Tuning
from federated.evaluation.outputs import Outputs
from federated.evaluation.predicted import chosen_thresholds
from federated.evaluation.sets import EvaluatedSet
from federated.evaluation.tuning import has_own_model, tuned_outputs
from federated.foundation.errors import Diverged
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

    before: of the global model. gains: the improvement, positive where accuracy rises or an error falls, NaN too of
    clients without a model of their own. sizes: the number of held-out examples of each client. pooled, pooled_before:
    the measure after and before, of all these examples; NaN where it is undefined. tuned: whether after is after
    `evaluation.personalisation`, else of models that the algorithm gives to clients.
    """

    before: np.ndarray
    after: np.ndarray
    gains: np.ndarray
    sizes: np.ndarray
    pooled: float
    pooled_before: float = np.nan
    tuned: bool = True


def personalised(state: RunState, setup: Setup) -> Personalised:
    """Fine-tune the global model for every client with held-out examples, by the config, and evaluate both models.

    The batches are those that the client would have in the next round. Raises Diverged where a fine-tuned model's
    outputs are not finite.
    """
    federation, scoring = setup.federation, setup.scoring
    sizes, indices = sizes_of(federation.own_held_out), flat_of(federation.own_held_out)
    targets = setup.targets[torch.from_numpy(indices).to(setup.targets.device)].cpu()
    options = setup.config.evaluation.personalisation
    assert options is not None
    tuning = Tuning(options.epochs, options.steps, options.learning_rate)
    outputs = (
        Outputs(setup).of(state.parameters, indices),
        tuned_outputs(state, setup, tuning, indices, sizes),
    )
    if not are_finite(outputs[1]):
        raise Diverged(
            "evaluation.personalisation: the outputs of a fine-tuned model are not finite; "
            "a smaller evaluation.personalisation.learning_rate may help"
        )
    thresholds = chosen_thresholds(state, setup)
    found = [scoring.predictions(out.cpu(), targets, thresholds) for out in outputs]
    return _compared(scoring.headline, found[0], found[1], sizes, federation.sizes > 0)


def by_global(state: RunState, setup: Setup, part: EvaluatedSet, found: Predictions) -> Predictions:
    """Those of the global model, by the thresholds of `found`, the clients' own models on the same examples.

    Raises Diverged where the global model's outputs are not finite.
    """
    outputs = Outputs(setup).of(state.parameters, part.indices)
    if not are_finite(outputs):
        raise Diverged(f"round {state.round}: the global model's outputs are not finite")
    targets = setup.targets[torch.from_numpy(part.indices).to(setup.targets.device)].cpu()
    return setup.scoring.predictions(outputs.cpu(), targets, found.thresholds)


def beside_global(
    state: RunState, setup: Setup, sizes: np.ndarray, before: Predictions, found: Predictions
) -> Personalised:
    """The clients' own models, `found`, against the global one, `before`. sizes: of their held-out examples, [K]."""
    own = has_own_model(state, setup)
    return _compared(setup.scoring.headline, before, found, sizes, own)._replace(tuned=False)


def _compared(
    headline: Measure, before: Predictions, after: Predictions, sizes: np.ndarray, own: np.ndarray
) -> Personalised:
    """own: which clients have a model of their own, bool [K]; the others answer with the global one."""
    first, last = (of_clients(headline, each, sizes) for each in (before, after))
    gains = np.where(own, last - first if headline.sign > 0 else first - last, np.nan)
    pooled = _pooled(headline, after, last, sizes)
    return Personalised(first, last, gains, sizes, pooled, _pooled(headline, before, first, sizes))


def _pooled(measure: Measure, found: Predictions, of_each: np.ndarray, sizes: np.ndarray) -> float:
    if not measure.mean:
        return measure.of(found)
    rows = found.rows_of(sizes)
    some = rows > 0
    return float(of_each[some] @ rows[some] / rows.sum())


def personalisation_metrics(found: Personalised, headline: Measure, numbers: np.random.Generator) -> Metrics:
    """`generalisation/personalis...`: the clients' models, the gain with its interval, the shares that gain and lose.

    Gain and shares are over the clients with a model of their own, whose number is `..._clients`. Of the global model
    beside models of the algorithm: `generalisation/global_...`; else it is the evaluated one.
    """
    name = headline.name
    after = {} if np.isnan(found.pooled) else {f"generalisation/personalised_{name}": found.pooled}
    if not np.isfinite(found.after).any():  # the measure is undefined for every client
        return after
    spread = distribution(found.after, higher_is_better=headline.sign > 0)
    gains = found.gains[np.isfinite(found.gains)]
    return {
        **after,
        **({} if found.tuned else _of_global(found, headline)),
        **{f"generalisation/personalised_{name}_{each}": spread[each] for each in headline.statistics},
        "generalisation/personalisation_clients": float(len(gains)),
        **(_of_gains(gains, numbers) if len(gains) else {}),
    }


def _of_gains(gains: np.ndarray, numbers: np.random.Generator) -> Metrics:
    gained = distribution(gains, higher_is_better=True)
    gain = mean_over_clients(gains, numbers)
    return {
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


def _of_global(found: Personalised, headline: Measure) -> Metrics:
    """The global model on the clients' own held-out examples."""
    spread = distribution(found.before, higher_is_better=headline.sign > 0)
    over_clients = {
        f"generalisation/global_{headline.name}_{each}": spread[each] for each in headline.statistics
    }
    pooled = (
        {}
        if np.isnan(found.pooled_before)
        else {f"generalisation/global_{headline.name}": found.pooled_before}
    )
    return pooled | over_clients
