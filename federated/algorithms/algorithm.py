"""The interface of a federated algorithm: additions to local training, and the server's use of the clients' updates."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import Literal, NamedTuple

import numpy as np
from torch import Tensor

from federated.algorithms.holdings import Holdings
from federated.algorithms.local_terms import NO_TERMS, LocalTerms
from federated.compressors.parts import Layout

Tensors = dict[str, Tensor]
"""Name -> tensor."""
Rows = dict[str, Tensor]
"""Name -> [c, ...], a row for each client of a shard."""
ServerState = Tensors
"""What the server remembers from round to round. Empty for FedAvg."""


class OfClusters(NamedTuple):
    """The data that the server receives of each cluster, where clients choose theirs.

    sums: float64 [k, T], each cluster's part of the weighted mean over the cohort, zeros of one that no client chose.
    shares: float64 [k], its part of the cohort's weight; they add up to one.
    """

    sums: Tensor
    shares: np.ndarray


class OfClients(NamedTuple):
    """The data that the server receives of each client, where the algorithm reads every update.

    clients: int64 [C], in rising order. weights: float64 [C], of their updates, adding up to one. updates: float32
    [C, T], as the server reads them. clusters: int64 [C], the cluster in which each has trained.
    """

    clients: np.ndarray
    weights: np.ndarray
    updates: Tensor
    clusters: np.ndarray


class Heard(NamedTuple):
    """The data that the server receives in a round.

    update: [T], what the aggregator made of the clients' updates, by default their weighted mean.
    sent: name -> [n], what clients sent beside their updates: the mean by the same weights.
    share: the cohort's weight over that of all clients that can take part, in (0, 1]: their numbers, or with
        `cohort.weighting: examples` their examples.
    of_clusters, of_clients: with `Algorithm.clusters`, one of the two; else None.
    """

    update: Tensor
    sent: Tensors
    share: float
    of_clusters: OfClusters | None = None
    of_clients: OfClients | None = None


class Start(NamedTuple):
    """The received model on all training examples of each client of a shard, in evaluation mode, before any step.

    losses: [c], the mean loss. gradients: [c, T], of the client's objective: that loss and weight decay; None where
    they are not asked for.
    """

    losses: Tensor
    gradients: Tensor | None


class Trained(NamedTuple):
    """The outcome of local training at the clients of a shard.

    deltas: float32 [c, T], as a client itself knows them, before they are bounded or encoded.
    rates: float64 [c], the learning rate of each client's steps, 0 where the schedule has it. steps: float64 [c], how
        many it took.
    counted: float64 [c], how often each step counts, all together: without momentum their number, and with momentum
        more, as each goes on in all that follow.
    start: what `ClientHalf.at_start` asks for.
    read: float32 [c, T], what is sent as the update, as the server reads it; before it is sent, the same as deltas.
    received: [T] or [c, T], the model from which the clients began.
    second: float32 [c, T], how far the second training moved, where `ClientHalf.second` asks for one.
    kept: what clients remember after steps of the algorithm's own (`LocalTerms.own_steps`), rows.
    """

    deltas: Tensor
    rates: np.ndarray
    steps: np.ndarray
    counted: np.ndarray
    start: Start | None
    read: Tensor
    received: Tensor
    second: Tensor | None = None
    kept: Rows | None = None

    @property
    def reach(self) -> np.ndarray:
        """How far each client would have moved along a gradient of one that does not change, float64 [c]."""
        reached: np.ndarray = self.rates * self.counted
        return reached


class Second(NamedTuple):
    """A second local training of the same clients in a round, on the same batches, of models that never travel.

    start: float32 [c, T]. terms: what they add to their steps, by default of as many as in the first.
    """

    start: Tensor
    terms: LocalTerms


class Tuning(NamedTuple):
    """SGD on a client's own training examples before its model is evaluated; what comes of it is not kept.

    Of epochs or steps: one is None. learning_rate: None for that of `local`. The batches are those of its next round.
    """

    epochs: int | None = None
    steps: int | None = None
    learning_rate: float | None = None


class Personal(NamedTuple):
    """The model with which a client answers on examples like its own, where it is not the one that it receives.

    model: (server's state, the received model [T] with what stays at the client, one client's memory) -> [T]; None: the
        received one. A client that has not taken part remembers nothing and has the received one.
    tuning: what it does to that model on its own training examples before it answers.
    beside_global: whether the server's parameters are a model for everybody, which personal ones are compared with and
        which clients that never take part have.
    """

    model: Callable[[ServerState, Tensor, Tensors], Tensor] | None = None
    tuning: Tuning | None = None
    beside_global: bool = True


Upload = Callable[[ServerState, Rows, Trained], Tensor]
Finish = Callable[[ServerState, Rows, Trained], tuple[Rows, Rows]]
Settle = Callable[[Rows, Rows, Rows], Rows]
AtStart = Literal["nothing", "loss", "gradient"]


class Need(Enum):
    """A condition that an algorithm puts on a run. What goes against it is refused."""

    NO_MOMENTUM = "its clients' steps have no momentum"
    NO_CLIPPING = (
        "its clients send gradients beside their moves, and both must be of the same, unbounded gradients"
    )
    OWN_CLASSES = "its clients' loss must not pull at classes that they do not hold"
    LOSS_FROM_ZERO = "its clients' loss must never be below zero"
    SUM = "what its server remembers is the sum of what its clients remember"
    LOOP = "its clients' objective is one that only the loop trains"
    OWN_STEPS = "its clients' steps are its own, of plain gradients"
    UNBIASED_BESIDE = "all clients' steps rest on the mean of what they send beside their updates"
    EVERY_CLIENT = "its server hears every client in every round"
    WHOLE_MOVE = "its server's move is not a step along a direction, which a rate could shorten"


class ClientHalf(NamedTuple):
    """The part of an algorithm that runs at its clients, beyond the terms added to their steps.

    init: (clients, T) -> what clients remember that never took part, rows of zeros for most.
    finish: when the update is on its way, (server's state, own rows, Trained) -> (rows to remember, rows [c, n] to
        send beside the update, by the study's `compression.uplink_beside`); None: nothing of either.
    settle: where that codec loses something, (rows that `finish` remembers, rows that it sends, the same rows as the
        server reads them) -> rows to remember; None: what `finish` says.
    sends: names of the rows that `finish` sends. They, and those of `hears`, are also their names in the ledger.
    hears: names in the server's state that a client is sent beside the model, by `compression.downlink_beside`; its
        functions are given them as they arrive.
    stays: layout -> names of the parameters, and of running statistics, that never leave a client: each has its own.
    fixed: layout -> names of the parameters that are what they were at first, so that they need not be sent.
    reads_gradients: it takes how far a client moved for a sum of its gradients, as only SGD goes along them.
    at_start: what each computes with the received model on all of its training examples, before its first step.
    upload: after training, (server's state, own rows, Trained) -> float32 [c, T], what is bounded, encoded and sent as
        the update; None: how far the clients moved.
    second: (server's state, own rows, the received model, [T] or [c, T]) -> a second training, after the first.
    personal: the model that a client answers with; None: the received one, with what stays.
    """

    init: Callable[[int, int], Rows] = lambda num_clients, num_parameters: {}
    finish: Finish | None = None
    sends: tuple[str, ...] = ()
    hears: tuple[str, ...] = ()
    stays: Callable[[Layout], Collection[str]] = lambda layout: ()
    fixed: Callable[[Layout], Collection[str]] = lambda layout: ()
    reads_gradients: bool = False
    at_start: AtStart = "nothing"
    upload: Upload | None = None
    second: Callable[[ServerState, Rows, Tensor], Second] | None = None
    personal: Personal | None = None
    settle: Settle | None = None

    @property
    def personalises(self) -> bool:
        """Whether each client is evaluated with a model of its own."""
        return self.personal is not None or self.stays is not ClientHalf().stays


class Clusters(NamedTuple):
    """Several models at the server, each trained by a cluster of the clients and what its clients are evaluated with.

    models: the server's state -> the models [k, T], k at least 1.
    assigned: (the server's state, clients) -> the cluster of each, int64 [c]. Each is sent the model of its cluster,
        and the server reads every client's update. None: each is sent all models and takes the one with the lowest loss
        on all of its training examples, of equal ones the first; it sends that cluster's number beside its update.
    """

    models: Callable[[ServerState], Tensor]
    assigned: Callable[[ServerState, Sequence[int]], np.ndarray] | None = None

    @property
    def chosen_by_clients(self) -> bool:
        """Whether clients choose their clusters."""
        return self.assigned is None


class Algorithm(NamedTuple):
    """A federated algorithm, pure.

    init: parameters [T] -> the server's state before the first round.
    update: (state, parameters [T], Heard) -> (new state, new parameters [T]).
    terms: (state, clients, their own rows) -> what these clients add to plain local SGD in the next round.
    votes: the updates must be votes, which only `sign(scale=one)` sends.
    client: what it does at its clients besides.
    needs: what it asks of a run.
    one_step: each client takes one step in a round, on all of its examples, whatever a study's `local` says.
    clusters: the server has several models, which clients have which is decided by it; None: it has one for all.
    fit: makes the algorithm for a run's model and data, where it needs them; raises ValueError where they do not suit
        it. Use `fitted`.
    note: a sentence that warns a person of what it comes to on this model and data; empty for nothing.
    adds: the server adds the update to the model, as it is, and remembers nothing of the model's coordinates.
    T: trainable parameters.
    """

    init: Callable[[Tensor], ServerState]
    update: Callable[[ServerState, Tensor, Heard], tuple[ServerState, Tensor]]
    terms: Callable[[ServerState, Sequence[int], Rows], LocalTerms] = lambda state, clients, own: NO_TERMS
    votes: bool = False
    client: ClientHalf = ClientHalf()
    needs: frozenset[Need] = frozenset()
    one_step: bool = False
    clusters: Clusters | None = None
    fit: Callable[[Holdings], Algorithm] | None = None
    note: str = ""
    adds: bool = False

    def fitted(self, holdings: Holdings) -> Algorithm:
        """The algorithm for a run. Raises ValueError where it cannot work with its model and data."""
        return self if self.fit is None else self.fit(holdings)
