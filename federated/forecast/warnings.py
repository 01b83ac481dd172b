"""Warnings about settings of a run that cannot work or are likely a mistake; each names the field and its value.

They need no training, only the config and the partition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from data_partitioners.partition import sizes_of
from federated.choices.choice import Choice
from federated.config.run import RunConfig, Stop
from federated.evaluation.outputs import Outputs
from federated.federation.federation import Federation
from federated.forecast.held_out_warnings import of_held_out
from federated.forecast.measure_warnings import of_measures
from federated.forecast.privacy_warnings import of_canaries, of_privacy, of_transport
from federated.forecast.seconds.coalitions import of_coalitions
from federated.local_training.steps.batches import longest as longest_of
from federated.metrics.names import main_metric, range_of
from federated.run.preparing.promise import Promise
from federated.run.setup import Setup
from federated.segments.ends import num_segments
from federated.study.study import Run

_MOST_NAMED = 3
_MOST_ROUNDS = 1000
_FEW_EXAMPLES = 64
_UNLIKE = 0.1
"""Difference in the share of examples that shadows and clients train on which is worth a word."""
_ENOUGH_OUTPUTS = 32
"""Scores of a fresh model are negative as often as not: so many that all lie between 0 and 1 are no chance."""


def cautions(setup: Setup) -> list[str]:
    """Warnings about one run, the most serious first; [] if there are none."""
    config, federation = setup.config, setup.federation
    found = [
        *federation.examples.reading.warnings,
        _of_outputs(setup),
        _of_stop(config, setup.stop),
        _of_schedule(config, "local.schedule", config.local.schedule),
        _of_schedule(config, "server_schedule", config.server_schedule),
        _of_momentum(setup),
        _of_target(setup),
        _of_classes(federation),
        _of_cohort(config, federation),
        _of_batches(config, federation),
        *of_held_out(config, federation),
        _of_shadows(setup),
        of_coalitions(setup),
        _of_own_models(setup),
        _of_unseen_without_a_model(setup),
        *of_measures(setup),
        *of_canaries(setup),
        *of_privacy(setup),
        *of_transport(setup),
        *setup.notes,
    ]
    return [sentence for sentence in found if sentence]


def of_faults(faults: Mapping[str, str], runs: Sequence[Run]) -> list[str]:
    """Warnings about faults of user code, with their arms; faults: name of a run -> reason why it cannot start."""
    said: dict[str, list[str]] = {}
    for run in runs:
        arms = said.setdefault(faults[run.name], []) if run.name in faults else []
        if run.arm not in arms:
            arms.append(run.arm)
    return with_arms(said, len({run.arm for run in runs}))


def with_arms(said: Mapping[str, Sequence[str]], of: int) -> list[str]:
    """Every sentence with the arms that it is about, where it is not about all; said: sentence -> arms, of so many."""
    named = []
    for sentence, arms in said.items():
        more = f" and {len(arms) - _MOST_NAMED} more" if len(arms) > _MOST_NAMED else ""
        named.append(sentence if len(arms) == of else f"{sentence} [{'; '.join(arms[:_MOST_NAMED])}{more}]")
    return named


def promise_sentences(promises: Mapping[str, Promise], configs: Mapping[str, RunConfig]) -> list[str]:
    """What is promised, by which mechanism and what it rests on, each with its arms. Both by arm; configs: of all."""
    said: dict[str, list[str]] = {}
    for arm, promise in promises.items():
        said.setdefault(f"privacy: {configs[arm].privacy.label()}: {promise.sentence()}", []).append(arm)
    return with_arms(said, len(configs))


def _of_own_models(setup: Setup) -> str:
    """Models of the clients' own, where no client keeps examples of its own: they are scored on everybody's alone."""
    if not setup.own_models or sizes_of(setup.federation.own_held_out).any():
        return ""
    if not setup.config.kind.own_models:
        return (
            "holdout.client is 0, so whether a model of its own serves a client better stays open: algorithm: "
            f"{setup.config.algorithm.label()} is scored on everybody's test examples only; set holdout.client, such "
            "as 0.2"
        )
    return (
        "holdout.client is 0, so whether federated training is better than what each client has alone stays open: "
        "training alone is scored on everybody's test examples only; set holdout.client, such as 0.2"
    )


def _of_unseen_without_a_model(setup: Setup) -> str:
    """Clients that are set aside, or a site that is left out in turn, for which the algorithm has no model."""
    without = setup.own_models and not setup.global_beside_own and setup.unseen_fit is None
    if not setup.federation.unseen or not without or setup.config.kind.own_models:
        return ""
    instead = "; see evaluation.unseen_fit" if setup.parts.travelling.keeps else ""
    return (
        f"algorithm: {setup.config.algorithm.label()} has no model for clients that never take part, so nothing is "
        f"measured on those of holdout.unseen_clients or leave_one_out{instead}"
    )


def _of_shadows(setup: Setup) -> str:
    """Whether shadows, which train on half of what clients hold, train on much more or less than the clients do."""
    asked, federation = setup.config.leakage, setup.federation
    if asked is None or asked.membership is None or not asked.membership.shadows:
        return ""
    training = int(federation.sizes.sum())
    share = training / (training + int(sizes_of(federation.own_held_out).sum()))
    if abs(share - 0.5) <= _UNLIKE:
        return ""
    return (
        f"leakage.membership: shadow federations train on half of training and held-out examples, and clients on "
        f"{share:.0%} of them, so LiRA compares unlike models and may find less; holdout.client: 0.5 makes them alike"
    )


def _of_stop(config: RunConfig, stop: Stop | None) -> str:
    """A stop rule that cannot fire."""
    if stop is None:
        return ""
    evaluations = 1 + num_segments(config)
    lowest, highest = range_of(stop.metric)
    impossible = stop.target is not None and not lowest <= stop.target <= highest
    if impossible and stop.patience is None:
        return f"stop.target: {stop.target:g} is beyond what {stop.metric} can be, so the rule never ends the run"
    if stop.patience is not None and evaluations - 1 <= stop.patience and (stop.target is None or impossible):
        return (
            f"stop.patience: {stop.patience} evaluations without improvement need more than the {evaluations} that "
            f"{config.rounds} rounds have with evaluation.every {config.evaluation.every}, so the rule never "
            "ends a run early"
        )
    return ""


def _of_schedule(config: RunConfig, field: str, schedule: Choice) -> str:
    """A schedule that leaves the learning rate as it is, such as one whose first step comes after the last round."""
    if schedule.name == "constant":
        return ""
    factor, asked = schedule.build(), np.linspace(0, config.rounds - 1, min(config.rounds, _MOST_ROUNDS))
    if any(factor(done, config.rounds) != 1.0 for done in asked.astype(int).tolist()):
        return ""
    rounds = "the only round" if config.rounds == 1 else f"all {config.rounds:,} rounds"
    return f"{field}: {schedule.label()} has no effect: its factor is 1 in {rounds}"


def _of_momentum(setup: Setup) -> str:
    """Momentum, which starts at zero in every round, where no client has a second step in one."""
    local, kind = setup.trainers.local, setup.config.kind
    longest = longest_of(local)
    sizes = setup.trainers.holders.sizes[setup.trainers.holders.sizes > 0].tolist()
    steps = max((longest.num_steps(size, local.batch_size) for size in sizes), default=0)
    if not local.momentum or kind.pools_examples or steps > 1:
        return ""
    return (
        f"local.momentum: {local.momentum:g} has no effect: it starts at zero in every round, and each client takes "
        "one step in a round"
    )


def _of_outputs(setup: Setup) -> str:
    """A model of a person's own that returns probabilities, of which cross-entropy takes the softmax once more."""
    federation, label = setup.federation, setup.config.model.label()
    if ":" not in setup.config.model.name or federation.examples.classes is None:
        return ""
    outputs = Outputs(setup).of(setup.initial_parameters, federation.training[:_FEW_EXAMPLES])
    found = kind_of_probabilities(outputs)
    if not found:
        return ""
    return (
        f"model: {label} returns {found}, but the loss takes scores (logits) and their softmax itself; leave the last "
        "layer out, or training is slow and stays so"
    )


def kind_of_probabilities(outputs: Tensor) -> str:
    """The kind of probabilities that outputs [n, classes] seem to be (softmax or sigmoid); empty for scores."""
    if outputs.shape[1] < 2 or not ((outputs >= 0) & (outputs <= 1)).all():
        return ""
    if torch.allclose(outputs.sum(dim=1), torch.ones(len(outputs), dtype=outputs.dtype), atol=1e-3):
        return "probabilities that add up to 1, as after a softmax"
    varied = outputs.numel() >= _ENOUGH_OUTPUTS and bool(((outputs > 0) & (outputs < 1)).all())
    return "numbers between 0 and 1, as after a sigmoid" if varied else ""


def _of_target(setup: Setup) -> str:
    """A main metric that cannot tell models apart."""
    federation, examples = setup.federation, setup.federation.examples
    test = examples.targets[federation.test]
    if len(np.unique(test, axis=0)) > 1:
        return ""
    name = main_metric(setup.scoring)
    what: object = test.reshape(-1)[0] if examples.classes is None else repr(examples.classes[int(test[0])])
    return f"dataset: all {len(test):,} targets of the central test set are {what}, so {name} says nothing"


def _of_classes(federation: Federation) -> str:
    """Classes that are tested though no client trains on them."""
    examples = federation.examples
    if examples.classes is None:
        return ""
    trained = np.bincount(examples.targets[federation.training], minlength=len(examples.classes)) > 0
    missing = [name for name, there in zip(examples.classes, trained, strict=True) if not there]
    if not missing:
        return ""
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return (
        f"classes: no participating client trains on {', '.join(map(repr, missing[:3]))}{more}; all their examples are "
        "held out"
    )


def _of_cohort(config: RunConfig, federation: Federation) -> str:
    """A cohort that is never as large as it is stated."""
    wanted = config.cohort.size_among(len(federation.clients))
    holding = int((federation.sizes > 0).sum())
    alone = config.cohort.sampling.name == "uniform" and min(wanted, holding) == 1
    if config.cohort.weighting == "uniform" and alone:
        return "cohort.weighting: uniform has no effect: each round has one client"
    withdrawn = len(config.cohort.without or ())  # which the study says already
    if wanted <= holding + withdrawn or config.cohort.sampling.name != "uniform":
        return ""
    return (
        f"cohort: {wanted} clients a round are wanted, but only {holding} of {len(federation.clients)} hold training "
        f"examples, so each round has {holding}"
    )


def _of_batches(config: RunConfig, federation: Federation) -> str:
    """Clients that never see a full batch."""
    batch, sizes = config.local.batch_size, federation.sizes
    small = int(((sizes > 0) & (sizes < (batch or 0))).sum())
    if not small:
        return ""
    smallest = int(sizes[sizes > 0].min())
    return (
        f"local.batch_size: {small} of {len(sizes)} clients hold fewer than {batch} training examples (the fewest: "
        f"{smallest}), so their only batch is smaller"
    )
