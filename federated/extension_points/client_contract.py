"""The contract of the client half of a person's own algorithm: names and returned rows are as `ClientHalf` says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, get_args

from torch import Tensor

from federated.algorithms import ClientHalf, Personal, Rows, Second, ServerState, Tensors, Trained
from federated.algorithms.algorithm import AtStart
from federated.algorithms.local_terms import LocalTerms
from federated.compressors.parts import Layout
from federated.extension_points.returned import check_tensor, found_text, tensors
from federated.foundation.errors import OwnCodeFailed
from federated.user_code.containment import contained

_TAKEN = ("update", "statistics", "metadata", "model", "difference")
"""Names in the ledger of what travels anyway."""
_STATISTICS = ("running_mean", "running_var")


def held_client(name: str, client: Any) -> ClientHalf:
    """A client half whose functions return what it says. They raise OwnCodeFailed if not, this where a name is none."""
    what = f"algorithm: {name}"
    if not isinstance(client, ClientHalf):
        raise OwnCodeFailed(f"{name}: client must be a ClientHalf(...), got {found_text(client)}")
    check_names(f"{name}: client.hears", client.hears)
    check_names(f"{name}: client.sends", client.sends)
    if client.sends and client.finish is None:
        raise OwnCodeFailed(
            f"{name}: client.sends names {_listed(client.sends)}, and there is no client.finish to make it"
        )

    if client.at_start not in get_args(AtStart):
        raise OwnCodeFailed(
            f"{name}: client.at_start must be one of {_listed(get_args(AtStart))}, got {found_text(client.at_start)}"
        )

    def init(num_clients: int, num_parameters: int) -> Rows:
        with contained(f"{what}: client.init fails"):
            rows = client.init(num_clients, num_parameters)
        return _rows(rows, num_clients, f"{what}: client.init must return a mapping of tensors")

    def finish(state: ServerState, own: Rows, trained: Trained) -> tuple[Rows, Rows]:
        return _finished(what, client, state, own, trained)

    def settle(kept: Rows, sent: Rows, read: Rows) -> Rows:
        with contained(f"{what}: client.settle fails"):
            assert client.settle is not None
            found = client.settle(kept, sent, read)
        size = len(next(iter(sent.values()))) if sent else 0
        after = _rows(found, size, f"{what}: client.settle must return a mapping of tensors")
        _check_kept(what, "client.settle", kept, after)
        return after

    def upload(state: ServerState, own: Rows, trained: Trained) -> Tensor:
        with contained(f"{what}: client.upload fails"):
            assert client.upload is not None
            found = client.upload(state, own, trained)
        check_tensor(found, trained.deltas, f"{what}: client.upload must return updates")
        return found

    def stays(layout: Layout) -> frozenset[str]:
        return _named(what, "stays", client.stays, layout)

    def fixed(layout: Layout) -> frozenset[str]:
        return _named(what, "fixed", client.fixed, layout)

    def second(state: ServerState, own: Rows, received: Tensor) -> Second:
        with contained(f"{what}: client.second fails"):
            assert client.second is not None
            found: Any = client.second(state, own, received)
        if not isinstance(found, Second) or not isinstance(found.terms, LocalTerms):
            raise OwnCodeFailed(
                f"{what}: client.second must return Second(start, LocalTerms(...)), got {found_text(found)}"
            )
        size = next(iter(own.values())).shape[0] if own else len(received) if received.dim() == 2 else None
        if size is not None:
            like = received.new_empty(size, received.shape[-1])
            check_tensor(found.start, like, f"{what}: client.second must start from models")
        return found

    everything_travels = client.stays is ClientHalf().stays
    return client._replace(
        init=init,
        finish=None if client.finish is None else finish,
        settle=None if client.settle is None else settle,
        upload=None if client.upload is None else upload,
        second=None if client.second is None else second,
        personal=_held_personal(what, client.personal),
        stays=client.stays if everything_travels else stays,
        fixed=client.fixed if client.fixed is ClientHalf().fixed else fixed,
    )


def _held_personal(what: str, personal: Any) -> Personal | None:
    """The same, whose model is one. Raises OwnCodeFailed where it is no `Personal`."""
    if personal is None:
        return None
    if not isinstance(personal, Personal):
        raise OwnCodeFailed(f"{what}: client.personal must be a Personal(...), got {found_text(personal)}")
    if (make := personal.model) is None:
        return personal

    def model(state: ServerState, received: Tensor, own: Tensors) -> Tensor:
        with contained(f"{what}: client.personal.model fails"):
            found = make(state, received, own)
        check_tensor(found, received, f"{what}: client.personal.model must return a model")
        return found

    return personal._replace(model=model)


def _finished(
    what: str, client: ClientHalf, state: ServerState, own: Rows, trained: Trained
) -> tuple[Rows, Rows]:
    assert client.finish is not None
    with contained(f"{what}: client.finish fails"):
        found: Any = client.finish(state, own, trained)
    if not isinstance(found, tuple) or len(found) != 2:
        raise OwnCodeFailed(
            f"{what}: client.finish must return (rows to keep, rows to send), got {found_text(found)}"
        )
    must = f"{what}: client.finish must return mappings of tensors"
    kept, sent = (_rows(rows, len(trained.deltas), must) for rows in found)
    _check_kept(what, "client.finish", own, kept)
    if sent.keys() != set(client.sends):
        raise OwnCodeFailed(
            f"{what}: client.finish must send what client.sends names, {_listed(client.sends)}, got {_listed(sent)}"
        )
    for name, rows in sent.items():
        if rows.dim() != 2 or not rows.is_floating_point():
            raise OwnCodeFailed(
                f"{what}: client.finish must send {name} as floats [{len(trained.deltas)}, n], a row for each client, "
                f"got {found_text(rows)}"
            )
    return kept, sent


def _check_kept(what: str, function: str, own: Rows, kept: Rows) -> None:
    if kept.keys() != own.keys():
        raise OwnCodeFailed(
            f"{what}: {function} must keep the rows that client.init makes, {_listed(own)}, got {_listed(kept)}"
        )
    for name, rows in kept.items():
        check_tensor(rows, own[name], f"{what}: {function} must keep {name} as client.init makes it,")


def check_names(what: str, names: Any) -> None:
    """Raise OwnCodeFailed where these are not names of what may travel beside an update or a model."""
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
        raise OwnCodeFailed(f'{what} must be a tuple of names, such as ("variate",), got {found_text(names)}')
    for name in names:
        if not name.isidentifier() or not name.isascii() or name in _TAKEN:
            raise OwnCodeFailed(
                f"{what}: {name!r} cannot be the name of what travels: letters, digits and _, and not one of "
                f"{_listed(_TAKEN)}"
            )


def _named(
    what: str, field: str, function: Callable[[Layout], Collection[str]], layout: Layout
) -> frozenset[str]:
    """The names that a function of the person's returns: of some of the model's parameters and not of all.

    Or of its running statistics, of which the layout says nothing; who cuts the model looks for them.
    """
    with contained(f"{what} cannot work with this model"):
        found: Any = function(layout)
        names = found if isinstance(found, str) else list(found)
    known = [name for name, _ in layout]
    if isinstance(names, str):
        raise OwnCodeFailed(
            f"{what}: client.{field} must return names of parameters in a list, got {names!r}"
        )
    for name in names:
        if name not in known and not str(name).endswith(_STATISTICS):
            raise OwnCodeFailed(
                f"{what}: client.{field}: the model has no parameter {name!r}; its parameters: {_listed(known)}"
            )
    if set(known) <= set(names):
        raise OwnCodeFailed(
            f"{what}: client.{field} names all parameters, so nothing would be learnt together"
        )
    return frozenset(names)


def _rows(found: object, num_clients: int, must: str) -> Rows:
    rows = tensors(found, must)
    for name, value in rows.items():
        if not value.dim() or len(value) != num_clients:
            raise OwnCodeFailed(
                f"{must} with a row for each of {num_clients} clients, got {name}: {found_text(value)}"
            )
    return rows


def _listed(names: Sequence[str] | Rows) -> str:
    return ", ".join(names) or "none"


def check_hears(
    what: str, state: dict[str, Tensor], hears: Sequence[str], field: str = "client.hears"
) -> None:
    """Raise OwnCodeFailed where clients should hear of something that the server does not remember."""
    for name in hears:
        if name not in state:
            raise OwnCodeFailed(
                f"{what}: {field} names {name!r}, which is not in the server's state; it has: {_listed(state)}"
            )
