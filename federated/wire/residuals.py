"""The residuals of adapters on their way to the clients: those of the rounds that each missed, or their sum."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from federated.aggregators.lora.factors import Factors
from federated.algorithms import Tensors
from federated.compressors import HEADER_BYTES
from federated.compressors.none import none
from federated.run.memory import ADAPTERS, HELD
from federated.run.setup import Setup
from federated.run.state import RunState
from federated.wire.kept import memory_of, payloads_of, replayed, worth_keeping
from federated.wire.ledger import Parcel

_WHOLE = -1.0
"""In place of a rank: the matrix itself."""


def packed(matrices: Sequence[Factors]) -> bytes:
    """One payload of 32-bit floats: of each matrix its rank and factors, or -1 and the matrix where that is smaller."""
    numbers = list[Tensor]()
    for each in matrices:
        (rows, rank), columns = each.left.shape, each.right.shape[1]
        thin = rank * (rows + columns) < rows * columns
        content = [each.left, each.right] if thin else [each.matrix]
        numbers += [torch.tensor([rank if thin else _WHOLE]), *(part.flatten() for part in content)]
    (payload,), _ = none().encode({}, torch.cat([part.float() for part in numbers])[None], ())
    return payload


def unpacked(payload: bytes, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """The matrices [d, k] of a payload, float32. sizes: d and k of each."""
    numbers = none().decode([payload], (len(payload) - HEADER_BYTES) // 4)[0]
    found, at = list[Tensor](), 0
    for rows, columns in sizes:
        rank, at = int(numbers[at]), at + 1
        if rank == int(_WHOLE):
            found.append(numbers[at : at + rows * columns].view(rows, columns))
            at += rows * columns
            continue
        middle, end = at + rows * rank, at + (rows + columns) * rank
        found.append(numbers[at:middle].view(rows, rank) @ numbers[middle:end].view(rank, columns))
        at = end
    return found


def remembered(memory: Tensors, payload: bytes, length: int) -> Tensors:
    """What the server remembers after a round with this payload: how many there were, and those worth sending again.

    length: numbers in all matrices. The payloads that are kept are together shorter than the matrices themselves.
    """
    payloads = [*(payloads_of(memory) if "payloads" in memory else []), payload]
    kept = worth_keeping([len(each) for each in payloads], 4 * length + HEADER_BYTES)
    made = int(memory["made"]) + 1 if "made" in memory else 1
    return {**memory_of(payloads[len(payloads) - kept :]), "made": torch.tensor(made)}


def with_residuals(
    setup: Setup, state: RunState, cohort: Sequence[int], parcels: list[Parcel]
) -> tuple[list[Parcel], Tensors]:
    """(the parcels of a cohort with the residuals that each client lacks, which of them each then has).

    A client that was there in the last round gets that round's; one that missed some gets those too, or the sum of all,
    as matrices, where that is shorter; one that is new lacks all of them. No client is sent any before the first.
    """
    if not setup.parts.aggregator.beside:
        return parcels, {}
    memory, held = state.server.get(ADAPTERS, {}), state.server.get(HELD, {}).get("rounds")
    held = (
        torch.zeros(len(setup.federation.clients), dtype=torch.int64) if held is None else held.cpu().clone()
    )
    made = int(memory["made"]) if "made" in memory else 0
    payloads = payloads_of(memory) if made else []
    whole = _whole(setup, state)
    lengths = [len(each) for each in payloads]
    sent = list[Parcel]()
    for client, parcel in zip(cohort, parcels, strict=True):
        count = replayed(int(held[client]), made, lengths, len(whole))
        lacking = [whole] if count is None else payloads[len(payloads) - count :]
        sent.append([*parcel, *(("residual", each) for each in lacking)])
        held[client] = made
    return sent, {"rounds": held}


def _whole(setup: Setup, state: RunState) -> bytes:
    """All residuals so far as the matrices that they add up to."""
    (payload,), _ = none().encode({}, state.parameters[None, setup.model.num_sendable :], ())
    return payload
