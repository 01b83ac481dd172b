"""FedPer: clients share the body of the model, and each keeps a head of its own."""

from __future__ import annotations

from federated.algorithms.algorithm import Algorithm, ClientHalf
from federated.algorithms.fedavg import fedavg
from federated.compressors.parts import Layout


def fedper(personal: list[str] | None = None, server_learning_rate: float = 1.0) -> Algorithm:
    """FedAvg of the body; the parameters of the layers `personal` stay at each client, trained together with it.

    personal: names of layers or parameters as in `named_parameters()`, such as [head]; null: the last layer.

    Arivazhagan et al. 2019, "Federated Learning with Personalization Layers", algorithm 1. What stays is neither sent
    nor counted, and starts as the initial model has it. Every client is evaluated with its own model, on its own
    held-out examples and on a part of the central test set, which is not drawn from its own data. A client that has not
    taken part yet is evaluated with the body and the initial head; unseen clients are left out. Running statistics of
    batch normalisation are averaged, also those of layers that stay.
    """

    def stays(layout: Layout) -> frozenset[str]:
        names = [name for name, _ in layout]
        if personal is not None and not personal:
            raise ValueError(
                "personal: [] names no layer, so nothing would stay; leave it out for the last layer"
            )
        wanted = [names[-1].rpartition(".")[0] or names[-1]] if personal is None else personal
        for layer in wanted:
            if not any(_within(name, layer) for name in names):
                raise ValueError(
                    f"personal: the model has no layer {layer!r}; its parameters: {', '.join(names)}"
                )
        found = frozenset(name for name in names if any(_within(name, layer) for layer in wanted))
        if len(found) == len(names):
            raise ValueError(
                f"personal: {', '.join(wanted)} is the whole model, so nothing would be learnt together; "
                f"its parameters: {', '.join(names)}"
            )
        return found

    return fedavg(server_learning_rate)._replace(client=ClientHalf(stays=stays))


def _within(name: str, layer: str) -> bool:
    return f"{name}.".startswith(f"{layer}.")
