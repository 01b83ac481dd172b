"""The number of bytes that a run will send: sizes of payloads encoded in a probe, summed over the rounds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from federated.algorithms import Rows
from federated.compressors import Trait
from federated.compressors.none import none
from federated.forecast.traffic.amounts import MARGIN, Amount, lengths, sizes, total, unlike
from federated.forecast.traffic.by_rank import mean_payload
from federated.forecast.traffic.residuals import residual_bytes
from federated.participation import SamplingLaw
from federated.run.clients.clusters import models_in
from federated.run.clients.cohort import are_secret, cohorts, expected_clients
from federated.run.memory import ALGORITHM
from federated.run.preparing.meetings import MOST_MEETINGS, meetings
from federated.run.setup import Setup, initial_state
from federated.run.state import RunState
from federated.wire.beside import heard_beside
from federated.wire.distortion import is_exact
from federated.wire.downlink import sent_of
from federated.wire.kept import replayed, worth_keeping

_MOST_REPLAYED = 10_000


def uplink_payload(
    setup: Setup, rows: Tensor, sent: Sequence[int], beside: Rows, margin: float = MARGIN
) -> Amount:
    """Bytes of what a client sends in a round.

    rows: an update [1, P] of a probe. sent: bytes of all that clients sent in it. beside: name -> [n], what one of them
    sent beside its update.
    """
    moving = setup.parts.travelling.of(rows[:, : setup.model.num_trainable])
    if setup.parts.ranks is not None:
        more = sum(
            lengths(setup.parts.uplink_beside(name, len(row)), row[None])[0] for name, row in beside.items()
        )
        return mean_payload(
            setup, setup.parts.ranks, "uplink", moving[0].cpu(), more + _statistics_bytes(setup)
        )
    first, *others = lengths(setup.parts.uplink, torch.cat([moving, unlike(setup.parts.uplink, moving[0])]))
    names = (*setup.parts.algorithm.client.sends, *setup.parts.privacy.tells)
    clusters = setup.parts.algorithm.clusters
    chosen = clusters is not None and clusters.chosen_by_clients  # whose number travels
    framed = setup.config.transport.name != "plain" or chosen
    has_more = bool(setup.parts.travelling.num_statistics or names) or framed
    more = sent[-1] - first if has_more and sent else 0
    unlike_beside = [sent[-1] + longer for longer in _longer_beside(setup, beside)]
    return sizes(sent or [first], [*(size + more for size in others), *unlike_beside], margin)


def _longer_beside(setup: Setup, rows: Rows) -> list[int]:
    """How much longer than the payloads of these rows those of vectors that no training makes are."""
    found: list[int] = []
    for name, row in rows.items():
        codec = setup.parts.uplink_beside(name, len(row))
        real, *others = lengths(codec, torch.cat([row[None], unlike(codec, row)]))
        found += [other - real for other in others]
    return found


def downlink_payload(setup: Setup, models: Sequence[Tensor], margin: float = MARGIN) -> Amount:
    """Bytes of what the server encodes in a round; models: successive global ones [P] of a probe, at least two."""
    trainable = setup.model.num_trainable
    models_sent = torch.stack(list(models))
    rows = sent_of(setup, models_sent).cpu()
    if setup.parts.ranks is not None:
        return mean_payload(setup, setup.parts.ranks, "downlink", rows[-1], 0)
    if Trait.DIFFERENCE in setup.parts.downlink.traits:
        moving = setup.parts.travelling.of(models_sent[:, :trainable])
        rows = torch.diff(moving.cpu(), dim=0)
        rows = rows[rows.any(dim=1)] if rows.any() else rows[:1]
    others = unlike(setup.parts.downlink, rows[-1])
    of_others = lengths(setup.parts.downlink, others) if len(others) else []
    return sizes(lengths(setup.parts.downlink, rows), of_others, margin)


def downlink_bytes(setup: Setup, payload: Amount) -> Amount:
    """Bytes that the server sends in all rounds of a run, with payloads of these sizes, and what its protocol sends.

    Of more rounds than 10,000 with differences, those first ones are replayed, and the others are as they are.
    """
    residuals = Amount((1 - MARGIN) * (most := residual_bytes(setup)), most, most)
    return total([_model_bytes(setup, payload), _exact(protocol_bytes(setup).down), residuals])


def uplink_bytes(setup: Setup, payload: Amount) -> Amount:
    """Bytes that the server receives in all rounds of a run, with payloads of these sizes or by its protocol."""
    if setup.parts.transport.protocol is not None:
        return _exact(protocol_bytes(setup).up)
    return payload.times(participations(setup).heard)


class OfProtocol(NamedTuple):
    """Bytes of all messages of a run, to the server and from it."""

    up: float
    down: float


def protocol_bytes(setup: Setup) -> OfProtocol:
    """Foreseen for each cohort; of more rounds than 10,000 those first ones, and the rest alike. Zero without one."""
    protocol = setup.parts.transport.protocol
    if protocol is None:
        return OfProtocol(0.0, 0.0)
    each = [
        protocol.foreseen(setup.parts.travelling.num_moving, meeting)
        for meeting in meetings(setup.config, setup.trainers, setup.parts)
        if meeting.done < setup.last_round
    ]
    scale = max(setup.last_round / MOST_MEETINGS, 1.0)
    return OfProtocol(*(scale * sum(way) for way in zip((0, 0), *each, strict=True)))


def _exact(amount: float) -> Amount:
    return Amount(amount, amount, amount)


def _model_bytes(setup: Setup, payload: Amount) -> Amount:
    """Bytes of the models that the server sends."""
    start = initial_state(setup)
    heard = _heard_bytes(setup, start)
    if Trait.DIFFERENCE not in setup.parts.downlink.traits:
        clusters = setup.parts.algorithm.clusters
        models = len(models_in(start, setup)) if clusters is not None and clusters.chosen_by_clients else 1
        return total([payload.times(models), heard]).times(participations(setup).sent)
    moves = setup.parts.travelling
    (whole,) = lengths(none(), torch.zeros(1, moves.num_moving))
    beside = total([heard, _exact(_statistics_bytes(setup))])
    # Who takes part when is known beforehand, and with it what each client lacks.
    rounds = min(setup.last_round, _MOST_REPLAYED)
    drawn = [cohort.clients.tolist() for cohort in islice(cohorts(setup), rounds) if len(cohort.clients)]
    low, expected, high = (
        _replayed_bytes(drawn, round(each), whole) + more * sum(map(len, drawn))
        for each, more in zip(payload, beside, strict=True)
    )
    whole_run = Amount(min(low, expected), expected, max(expected, high))
    return whole_run if rounds == setup.last_round else whole_run.times(setup.last_round / rounds)


def _statistics_bytes(setup: Setup) -> int:
    """Bytes of the running statistics that travel by themselves."""
    count = setup.parts.travelling.num_statistics
    return lengths(none(), torch.zeros(1, count))[0] if count else 0


def _heard_bytes(setup: Setup, start: RunState) -> Amount:
    """Bytes of what a client hears beside the model."""
    payloads, _ = heard_beside(setup, start)
    found = list[Amount]()
    for name, payload in payloads.items():
        of_algorithm = name in setup.parts.algorithm.client.hears
        count = start.server[ALGORITHM][name].numel() if of_algorithm else 0
        codec = setup.parts.downlink_beside(name, count) if of_algorithm else none()
        if is_exact(codec) and codec.parts == none().parts:
            found.append(_exact(len(payload)))
            continue
        row = setup.initial_parameters.cpu()[:count]  # at the start it is zeros, as nothing later is
        found.append(sizes(lengths(codec, row[None]), lengths(codec, unlike(codec, row))))
    return total(found)


class Participations(NamedTuple):
    """The numbers of models sent and of updates received in a run, over all clients and rounds."""

    sent: float
    heard: float


def participations(setup: Setup) -> Participations:
    """Counted, as the cohorts are known beforehand; of more rounds than 10,000 those first ones, and the rest alike.

    Where cohorts are secret, the expected numbers. Beside canaries the clients of a cohort of a fixed size vary.
    """
    rounds, rule = setup.last_round, setup.parts.participation
    if are_secret(setup):
        expected = expected_clients(setup) * rounds
        return Participations(expected, expected * (1 - rule.losses))
    if rule.law is SamplingLaw.FIXED_SIZE and not rule.losses and not setup.config.privacy.canaries:
        return Participations(*[float(setup.trainers.cohort_size * rounds)] * 2)
    drawn = list(islice(cohorts(setup), min(rounds, _MOST_REPLAYED)))
    sent = sum(len(cohort.clients) for cohort in drawn) * rounds / len(drawn)
    return Participations(sent, sent - sum(int(cohort.lost.sum()) for cohort in drawn) * rounds / len(drawn))


def _replayed_bytes(cohorts: Sequence[Sequence[int]], difference: int, whole: int) -> int:
    """Bytes of all rounds where every difference has this size: `federated.wire.downlink`, on sizes alone."""
    held: dict[int, int] = {}
    kept: list[int] = []
    sent = 0
    for now, cohort in enumerate(cohorts):
        if now:
            kept.append(difference)
        kept = kept[len(kept) - worth_keeping(kept, whole) :]
        for client in cohort:
            count = replayed(held.get(client, -1), now, kept, whole)
            sent += whole if count is None else sum(kept[len(kept) - count :])
            held[client] = now
    return sent
