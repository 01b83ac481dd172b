"""Trials of a user's schedule, algorithm and measure, each called as a run calls it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from federated.algorithms import (
    Algorithm,
    ClientHalf,
    Heard,
    Need,
    OfClients,
    OfClusters,
    Rows,
    Second,
    Start,
    Tensors,
    Trained,
)
from federated.algorithms.algorithm import Finish, Upload
from federated.algorithms.local_terms import LocalTerms
from federated.algorithms.schedules import Schedule
from federated.foundation.errors import OwnCodeFailed
from federated.metrics.measures import Measure, Predictions
from federated.trials.purity import (
    SIZE,
    Given,
    check_pure,
    check_unchanged,
    copied,
    each_of,
    small_updates,
    type_of,
)

_MOST_ROUNDS = 1000


def try_schedule(name: str, make: Callable[[], Schedule], rounds: int) -> None:
    """Ask for the factor of every round, of a thousand of them at most, in order and from the last to the first.

    Raises OwnCodeFailed where one is none, or depends on what was asked before: a run that goes on from a checkpoint, a
    round that is tried again and processes side by side ask in other orders.
    """
    asked = np.unique(np.linspace(0, rounds - 1, min(rounds, _MOST_ROUNDS)).astype(int)).tolist()
    schedule = make()
    factors = {done: schedule(done, rounds) for done in asked}
    for other in (make(), *[schedule] * -(-_MOST_ROUNDS // len(asked))):
        for done in reversed(asked):
            if (factor := other(done, rounds)) != factors[done]:
                raise OwnCodeFailed(
                    f"schedule: {name} returns {factors[done]:g} before round {done + 1} of {rounds}, and {factor:g} "
                    "when it is asked again: the factor must depend on (rounds done, rounds) alone, not on a counter "
                    "or on random numbers"
                )


def try_algorithm(
    name: str, algorithm: Algorithm, parameters: Tensor, clients: Sequence[int], num_outputs: int
) -> None:
    """One round of clients and server with small updates. parameters: the trainable ones [P]. Raises OwnCodeFailed."""
    what = f"algorithm: {name}"
    updates, given = small_updates(parameters)[: len(clients)], parameters.clone()
    state, client = algorithm.init(given), algorithm.client
    own = {key: rows.to(given.device) for key, rows in client.init(len(clients), given.numel()).items()}
    _try_terms(
        what,
        lambda: algorithm.terms(state, clients, own),
        given,
        {"the state's": state, "the client's own": own},
        num_outputs,
        Need.LOOP in algorithm.needs,
    )
    trained = _trained(client, updates, given)._replace(kept=own)
    if client.second is not None:
        trained = trained._replace(second=updates.clone())
        _try_second(what, client.second, state, own, given)
    if client.personal is not None and client.personal.model is not None:
        client.personal.model(state, given, {key: rows[0] for key, rows in own.items()})
    uploaded = updates if client.upload is None else _try_upload(what, client.upload, state, own, trained)
    trained = trained._replace(read=uploaded)
    sent = {} if client.finish is None else _try_finish(what, client.finish, state, own, trained)
    mean = uploaded[0]
    heard = Heard(mean, {name: rows.mean(dim=0) for name, rows in sent.items()}, 1.0)
    heard = _of_clusters(heard, algorithm, state, uploaded, clients)
    remembered = {"the state's": state, "the mean of": heard.sent}
    kept = copied(remembered)
    arguments = {"the parameters": (given, parameters), "the mean update": (mean, mean.clone())}
    after, stepped = algorithm.update(state, given, heard)
    check_unchanged(f"{what}: update", arguments | each_of(remembered, kept))
    if not torch.isfinite(stepped).all():
        raise OwnCodeFailed(f"{what}: update returns numbers that are not finite for small finite updates")
    later, again = algorithm.update(state, given, heard)
    check_pure(f"{what}: update", {"parameters": stepped, **after}, {"parameters": again, **later})


def _of_clusters(
    heard: Heard, algorithm: Algorithm, state: Tensors, updates: Tensor, clients: Sequence[int]
) -> Heard:
    """What the server hears besides where it has several models: everybody trains the first, or their own."""
    if algorithm.clusters is None:
        return heard
    models, rows = algorithm.clusters.models(state), updates.cpu()
    if algorithm.clusters.assigned is not None:
        weights, numbers = np.full(len(rows), 1 / len(rows)), np.asarray(clients, np.int64)
        each = OfClients(numbers, weights, rows, algorithm.clusters.assigned(state, clients))
        return heard._replace(of_clients=each)
    sums, shares = torch.zeros(len(models), rows.shape[1]).double(), np.zeros(len(models))
    sums[0], shares[0] = rows.double().mean(dim=0), 1.0
    return heard._replace(of_clusters=OfClusters(sums, shares))


def _trained(client: ClientHalf, updates: Tensor, received: Tensor) -> Trained:
    """Of a step with a rate of `SIZE`, and a start from the same updates."""
    ones = np.ones(len(updates))
    gradients = updates.clone() if client.at_start == "gradient" else None
    start = None if client.at_start == "nothing" else Start(updates.new_ones(len(updates)), gradients)
    return Trained(updates, SIZE * ones, ones, ones, start, updates, received)


def _try_second(
    what: str, second: Callable[[Tensors, Rows, Tensor], Second], state: Tensors, own: Rows, received: Tensor
) -> None:
    given: Given = {"the state's": state, "the client's own": own, "the model's": {"parameters": received}}
    before = copied(given)
    found, again = second(state, own, received), second(state, own, received)
    check_unchanged(f"{what}: client.second", each_of(given, before))
    first, other = ({"start": each.start, **_tensors(each.terms)} for each in (found, again))
    check_pure(f"{what}: client.second", first, other)


def _try_upload(what: str, upload: Upload, state: Tensors, own: Rows, trained: Trained) -> Tensor:
    given = _given(state, own, trained)
    before = copied(given)
    found, again = upload(state, own, trained), upload(state, own, trained)
    check_unchanged(f"{what}: client.upload", each_of(given, before))
    if not torch.isfinite(found).all():
        raise OwnCodeFailed(
            f"{what}: client.upload returns numbers that are not finite for small finite updates"
        )
    check_pure(f"{what}: client.upload", {"updates": found}, {"updates": again})
    return found


def _given(state: Tensors, own: Rows, trained: Trained) -> Given:
    """What a function of a client half is given."""
    start = {} if trained.start is None else trained.start._asdict()
    known = {name: value for name, value in start.items() if value is not None}
    return {
        "the state's": state,
        "the client's own": own,
        "the update's": {"deltas": trained.deltas},
        "the start's": known,
    }


def _try_terms(
    what: str, terms: Callable[[], LocalTerms], parameters: Tensor, given: Given, num_outputs: int, loop: bool
) -> None:
    before = copied(given)
    found = terms()
    check_unchanged(f"{what}: terms", each_of(given, before))
    correction = found.correction
    if correction is not None and (
        correction.dim() not in (1, 2)
        or correction.shape[-1] != parameters.numel()
        or correction.dtype != parameters.dtype
    ):
        raise OwnCodeFailed(
            f"{what}: terms must give a correction {type_of(parameters)} for all clients, or a row for each, "
            f"got {type_of(correction)}"
        )
    if found.offsets is not None and found.offsets.shape[1] != num_outputs:
        raise OwnCodeFailed(
            f"{what}: terms must give an offset for each of the model's {num_outputs} outputs, got "
            f"{type_of(found.offsets)}"
        )
    for phase in found.phases:
        if phase.moves.dtype != torch.bool or phase.moves.shape != parameters.shape:
            raise OwnCodeFailed(
                f"{what}: terms must give moves of a phase as booleans {list(parameters.shape)}, one for each "
                f"parameter, got {type_of(phase.moves)}"
            )
    if (found.contrast is not None or found.own_steps is not None) and not loop:
        raise OwnCodeFailed(
            f"{what}: terms with a contrast or own_steps want needs=frozenset({{Need.LOOP}}), and own_steps "
            "Need.OWN_STEPS besides"
        )
    check_pure(f"{what}: terms", _tensors(found), _tensors(terms()))


def _try_finish(what: str, finish: Finish, state: Tensors, own: Rows, trained: Trained) -> Rows:
    """What is sent."""
    given = _given(state, own, trained)
    before = copied(given)
    (kept, sent), (later, again) = finish(state, own, trained), finish(state, own, trained)
    check_unchanged(f"{what}: client.finish", each_of(given, before))
    for name, rows in {**kept, **sent}.items():
        if rows.is_floating_point() and not torch.isfinite(rows).all():
            raise OwnCodeFailed(
                f"{what}: client.finish returns {name} with numbers that are not finite for small finite updates"
            )
    check_pure(f"{what}: client.finish", _both(kept, sent), _both(later, again))
    return sent


def try_measure(name: str, measure: Measure, found: Predictions) -> None:
    """Measure some predictions twice. Raises OwnCodeFailed."""
    first, again = measure.of(found), measure.of(found)
    if first != again and not (np.isnan(first) and np.isnan(again)):
        raise OwnCodeFailed(
            f"evaluation.metric: {name} returns {first:g}, and {again:g} when it is asked again of the same "
            "predictions: it must depend on them alone"
        )


def _both(kept: Rows, sent: Rows) -> Tensors:
    return {
        f"{which} {name}": rows
        for which, each in (("kept", kept), ("sent", sent))
        for name, rows in each.items()
    }


def _tensors(terms: LocalTerms) -> dict[str, Tensor]:
    """Those that are stated."""
    found = {name: value for name, value in vars(terms).items() if value is not None}
    contrast, steps = found.pop("contrast", None), found.pop("own_steps", None)
    more = {} if contrast is None else {"contrast": contrast.previous}
    more |= {} if steps is None else {f"own_steps {name}": rows for name, rows in steps.own.items()}
    return {name: torch.as_tensor(value) for name, value in found.items()} | more
