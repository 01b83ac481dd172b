"""The setups of coalitions: the run's own, but for who takes part and what is learnt from those who do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from federated.config.run import RunConfig
from federated.federation.federation import Federation, partition_clients, ready
from federated.federation.held_out import left_by
from federated.run.preparing.trainers import who_trains
from federated.run.preparing.training.losses import stated_loss
from federated.run.preparing.training.work import engine_of
from federated.run.setup import Setup


def alone(setup: Setup) -> Setup:
    """The setup of a run with an engine of its own, also where the run trains with others."""
    work, cohort = setup.worker.work, setup.trainers.eligible[: setup.trainers.cohort_size].tolist()
    train = engine_of(setup.config, cohort, work, setup.parts)
    return replace(setup, worker=replace(setup.worker, train=train))


def coalition_setups(setup: Setup) -> Callable[[RunConfig], Setup | None]:
    """What makes the setup of a coalition, by its config, of the run's: with the same model, parts and engine.

    setup: of the run, by itself, and plain, see `is_plain`. Inputs are shared where no preprocessing is learnt. None
    where anything else is learnt from those who take part, or the inputs have another form: prepare that one anew.
    """
    if _learns(setup):
        return lambda config: None
    everybody = setup.config.cohort.model_copy(update={"without": None})
    whole = partition_clients(setup.config.model_copy(update={"cohort": everybody}), fitted=False)

    def setup_of(config: RunConfig) -> Setup | None:
        federation = ready(left_by(whole, config.cohort.without or ()))
        shares = federation.examples is setup.federation.examples
        if not shares and (setup.trunk is not None or not _are_alike(federation, setup.federation)):
            return None
        trainers = who_trains(config, federation)
        work = setup.worker.work._replace(clients=trainers.holders.indices)
        train = setup.worker.train  # of clients by their numbers, which hold the same examples
        if not shares:
            inputs, targets = federation.tensors(work.inputs.device)
            work = work._replace(inputs=inputs, targets=targets)
            train = engine_of(config, trainers.eligible.tolist(), work, setup.parts)
        worker = replace(setup.worker, config=config, holders=trainers.holders, work=work, train=train)
        return replace(setup, federation=federation, trainers=trainers, worker=worker)

    return setup_of


def _learns(setup: Setup) -> bool:
    """Whether loss or algorithm are made of the targets of those who train."""
    loss, examples = stated_loss(setup.config, setup.federation.examples), setup.federation.examples
    of_targets = loss.learn is not None or loss.weigh is not None or examples.weights is not None
    algorithm = setup.config.algorithm.build()
    return of_targets or setup.config.target.standardise or algorithm.fit is not None


def _are_alike(one: Federation, other: Federation) -> bool:
    """Whether a model for the examples of one takes those of the other."""
    pairs = [(each.examples.inputs, each.examples.targets) for each in (one, other)]
    forms = [[(array.shape, array.dtype) for array in pair] for pair in pairs]
    return forms[0] == forms[1] and one.examples.output_shape == other.examples.output_shape
