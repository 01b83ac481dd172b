"""FedRep: in each round a client first fits its own head to the body that it received, then trains the body."""

from __future__ import annotations

from federated.algorithms.algorithm import Algorithm
from federated.algorithms.fedavg import fedavg
from federated.algorithms.holdings import Holdings
from federated.algorithms.local_terms import LocalTerms, Phase
from federated.algorithms.sharing.keeping import keeping
from federated.algorithms.sharing.layers import chosen, parameters_among
from federated.algorithms.travelling import marked

_OTHER_BATCHES = 1


def fedrep(
    personal: list[str] | None = None,
    head_epochs: int | None = None,
    head_steps: int | None = None,
    server_learning_rate: float = 1.0,
) -> Algorithm:
    """FedAvg of the body; each client keeps a head, which it trains before the body, the other part frozen each time.

    personal: the head: layers by name as in `named_parameters()`, such as [head], by pattern, such as [block4.*], or by
        kind, such as [linear], where no layer has this name; null: the last layer.
    head_epochs: epochs of the head alone, before those of the body, which `local` states; null: 1.
    head_steps: steps of it instead.
    server_learning_rate: what the mean update of the body is multiplied by.

    Collins et al. 2021, "Exploiting Shared Representations for Personalized Federated Learning", algorithm 1, with SGD
    for both. The head is neither sent nor counted and starts as the initial model has it; so do the running statistics
    of its layers. Learning rate, batch size and all else of `local` hold for both; momentum starts at zero in each.
    A client so does more local work than with fedavg, and its loss is that of the body's epochs. In the authors' code
    one number of local epochs is for both, the last few of them for the body, one optimiser with momentum .5
    goes through both, and at the end every head has ten more epochs; PFLlib has two optimisers and epochs for each, as
    here. Running statistics are updated in both parts, also of layers that are frozen.
    """
    for name, value in (("head_epochs", head_epochs), ("head_steps", head_steps)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if head_epochs is not None and head_steps is not None:
        raise ValueError("head_epochs and head_steps are both stated; state one of them")
    epochs = None if head_steps is not None else head_epochs or 1
    made = keeping(fedavg(server_learning_rate), lambda holdings: chosen("personal", personal, holdings))

    def fit(holdings: Holdings) -> Algorithm:
        head = chosen("personal", personal, holdings)
        moves = marked(holdings.layout, parameters_among("personal", head, holdings.layout))
        terms = LocalTerms(phases=(Phase(moves, epochs, head_steps, _OTHER_BATCHES), Phase(~moves)))
        return made.fitted(holdings)._replace(terms=lambda state, clients, own: terms)

    return made._replace(fit=fit)
