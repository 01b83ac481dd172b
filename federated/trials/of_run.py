"""Trials of the user-defined parts of a run; a model is tried once for all runs that use it in the same way."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from data_partitioners.partition import sizes_of
from federated.choices.choice import Choice
from federated.compressors import Compressor
from federated.config.run import RunConfig
from federated.federation.loading import stamp
from federated.foundation.doing import doing
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.local_training.steps.work import LocalWork
from federated.machine.torch_settings import torch_kept
from federated.metrics.scoring import Scoring
from federated.models import initial_module
from federated.models.adapted.residual import put_beside
from federated.models.flat_model import FlatModel
from federated.models.objective import model_inputs
from federated.participation import Population
from federated.trained.applied import applied
from federated.trials.functions import (
    try_algorithm,
    try_measure,
    try_schedule,
)
from federated.trials.local import try_loss, try_optimiser
from federated.trials.mechanisms import (
    try_aggregator,
    try_compressor,
    try_participation,
    try_privacy,
    try_transport,
)
from federated.trials.model import Sizes, Tried, try_model
from federated.trials.parameters import check_parameters
from federated.trials.parts import Parts
from federated.user_code.containment import is_own, title
from federated.user_code.permission import explained

_MOST_EXAMPLES = 64  # of a batch in a trial: beyond that nothing changes but the time it takes
_SAMPLE = 2

_OUTCOMES: dict[tuple[object, ...], Tried | str] = {}
"""What came of the models that this process has tried: what is to be said of one, or why it failed."""


def flat_model(
    config: RunConfig, inputs: Tensor, outputs: tuple[int, ...], device: torch.device, number: int = 0
) -> FlatModel:
    """The run's model before training. Raises BadInput where it cannot be made for these inputs [N, ...].

    outputs: the shape of one example's. number: 0; others are of the same model with other random numbers.
    """
    own, name = is_own(config.model), title(config.model)
    module = _module(config, inputs, outputs, number)
    if own:
        check_parameters(name, module)
    try:
        return FlatModel(module.to(device), rest_in_evaluation=config.trained.name != "full")
    except ValueError as error:
        raise (OwnCodeFailed if own else BadInput)(f"model: {name}: {error}") from error
    except Exception as error:
        if not own:
            raise
        raise OwnCodeFailed(f"model: {name} cannot be copied: {explained(error)}") from error


@doing("trying the model")
def tried_model(config: RunConfig, work: LocalWork, outputs: tuple[int, ...]) -> Tried:
    """The outcome of a trial of the run's model; a model of ours is not tried. Raises OwnCodeFailed."""
    if not is_own(config.model):
        return Tried()
    sizes = _sizes(work, config.evaluation.batch_size)
    function = getattr(config.model.build(), "func", None)  # two studies may have a module of one name
    data = (config.dataset, stamp(config.dataset), work.inputs.device)
    key = (function, config.model, config.trained, *data, work.precision, *sizes)
    if key not in _OUTCOMES:
        _OUTCOMES[key] = _tried(config, work, outputs, sizes)
    outcome = _OUTCOMES[key]
    if isinstance(outcome, str):
        raise OwnCodeFailed(outcome)
    return outcome


def tried_loss(config: RunConfig, work: LocalWork) -> None:
    """Try a person's own loss on the model's outputs before training. Raises OwnCodeFailed."""
    if config.loss is not None and is_own(config.loss):
        with torch_kept(f"loss: {title(config.loss)}"):
            try_loss(title(config.loss), work)


@doing("trying the algorithm, its codecs and its schedules")
def try_parts(
    config: RunConfig, parts: Parts, parameters: Tensor, num_outputs: int, population: Population
) -> None:
    """Try those that are a person's own, and schedules. parameters: the trainable ones [P]. population: of the run.

    Raises OwnCodeFailed.
    """
    for schedule in (config.local.schedule, config.server_schedule):
        if is_own(schedule):
            try_schedule(title(schedule), schedule.build, config.rounds)
    if is_own(config.local.optimiser):
        try_optimiser(title(config.local.optimiser), config.local.optimiser.build(), parameters)
    if is_own(config.algorithm):
        try_algorithm(title(config.algorithm), parts.algorithm, parameters, [0], num_outputs)
    ways: tuple[tuple[Choice, Compressor], ...] = (
        (config.compression.uplink, parts.uplink),
        (config.compression.downlink, parts.downlink),
    )
    for choice, compressor in ways:
        if is_own(choice):
            try_compressor(title(choice), compressor, parameters)
    if is_own(config.cohort.sampling):
        try_participation(title(config.cohort.sampling), parts.participation, population)
    if is_own(config.privacy.mechanism):
        try_privacy(title(config.privacy.mechanism), parts.privacy, parameters)
    if is_own(config.transport):
        try_transport(title(config.transport), parts.transport)
    if is_own(config.aggregator):
        try_aggregator(title(config.aggregator), parts.aggregator, parameters)


def try_measures(config: RunConfig, scoring: Scoring, outputs: tuple[int, ...], targets: Tensor) -> None:
    """Try measures that are a person's own on random answers. Raises OwnCodeFailed.

    outputs: the shape of an example's outputs. targets: of some training examples.
    """
    if not any(is_own(choice) for choice in config.evaluation.metric or ()):
        return
    answers = torch.randn(len(targets), *outputs, generator=torch.Generator().manual_seed(0))
    found = scoring.predictions(answers, targets.cpu())
    for choice, measure in zip(config.evaluation.metric or (), scoring.spread, strict=False):
        if is_own(choice):
            try_measure(title(choice), measure, found)


def _module(config: RunConfig, inputs: Tensor, outputs: tuple[int, ...], number: int = 0) -> nn.Module:
    name, sample = title(config.model), model_inputs(inputs[:_SAMPLE]).cpu()
    with torch_kept(f"model: {name}"):
        module = initial_module(config.model.build(), name, sample, outputs, config.seed, number)
        if config.trained.name != "full":
            part = config.trained.build()
            module = applied(part, title(config.trained), module, sample, outputs, config.seed, number)
        return put_beside(module) if has_residuals(config) else module


def has_residuals(config: RunConfig) -> bool:
    """Whether the run's server adds matrices beside frozen weights."""
    return config.kind.has_server and config.aggregator.build().beside


def _tried(config: RunConfig, work: LocalWork, outputs: tuple[int, ...], sizes: Sizes) -> Tried | str:
    name = title(config.model)
    try:
        with torch_kept(f"model: {name}"):
            return try_model(name, lambda: _module(config, work.inputs, outputs), work, outputs, sizes)
    except OwnCodeFailed as error:
        return str(error)


def _sizes(work: LocalWork, evaluated: int) -> Sizes:
    """The largest and the smallest batches that the clients have, two examples, and one: the largest first."""
    held, batch = set(sizes_of(work.clients).tolist()) - {0}, work.local.batch_size
    full = {min(batch or size, size) for size in held}
    last = {size % batch for size in held} if batch else set()
    most = min(_MOST_EXAMPLES, len(work.inputs))
    several = {min(size, most) for size in full | last if size > 1} or {_SAMPLE}
    training = {max(several), min(several), _SAMPLE, 1}
    return Sizes(
        tuple(sorted(training, reverse=True)), tuple(sorted({min(evaluated, most), _SAMPLE, 1}, reverse=True))
    )
