"""False shares in secure aggregation: the sum without them where enough others are left, and who gave them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

import numpy as np
import pytest

from federated.transports.secure_aggregation.client import Client
from federated.transports.secure_aggregation.messages import (
    HEADER,
    Rejected,
    Step,
    from_client,
    joined,
    records,
)
from federated.transports.secure_aggregation.packed import signed
from federated.transports.secure_aggregation.primitives import SIGNATURE_BYTES
from federated.transports.secure_aggregation.shamir import PRIME, SHARE_BYTES, recovered, shares_of
from tests.test_secure_aggregation import Round

Lies = Mapping[int, Collection[int]]
"""Client -> those of whose secrets it gives false shares."""


def opened(
    meeting: Round,
    lies: Lies,
    silent: Mapping[int, Step],
    monkeypatch: pytest.MonkeyPatch,
    *,
    withheld: bool = False,
) -> None:
    """Play a round in which some clients lie in the last step, and compare the sum with that of the updates."""
    honest = Client.unmask

    def unmask(client: Client, message: bytes) -> bytes:
        content = honest(client, message)[HEADER.size : -SIGNATURE_BYTES]
        given = dict(records(content, SHARE_BYTES, client.number, ""))
        for other in lies.get(client.number, ()):
            given[other] = bytes(SHARE_BYTES - 1) + b"\1"
            if withheld:
                del given[other]
        told = joined(list(given.items()))
        return from_client(Step.UNMASK, meeting.terms, client.number, told, meeting.identities[client.number])

    monkeypatch.setattr(Client, "unmask", unmask)
    total = meeting.played(silent).total
    heard = meeting.attendance(silent).present(Step.UPDATE)
    expected = np.sum([meeting.numbers[client] for client in heard], axis=0)
    assert np.array_equal(signed(total, meeting.terms.bits), expected)


@pytest.mark.parametrize(
    ("clients", "threshold", "lies", "silent"),
    [
        (6, 2 / 3, {10: [13]}, {}),  # five of six shares rebuild a secret
        (6, 2 / 3, {10: [10]}, {}),
        (6, 2 / 3, {15: [11, 12, 13]}, {}),
        (9, 2 / 3, {10: [11, 12, 18], 12: [11]}, {}),
        (9, 0.5, {11: [14], 17: [14]}, {14: Step.UPDATE}),  # shares of a masking key
        (9, 0.5, {11: [14, 15]}, {14: Step.UPDATE, 18: Step.UNMASK}),
    ],
)
def test_the_sum_is_opened_without_false_shares_and_says_who_gave_them(
    clients: int,
    threshold: float,
    lies: Lies,
    silent: Mapping[int, Step],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    meeting = Round(clients, threshold)
    with caplog.at_level(logging.WARNING):
        opened(meeting, lies, silent, monkeypatch)
    first = set(range(10, 10 + meeting.terms.threshold))  # whose shares are used where all fit
    assert set(lies) & first <= set(meeting.server.false) <= set(lies)
    for giver, client in meeting.server.false.items():
        assert client in lies[giver]
        assert f"round 4: client {giver} gave a false share of the secret of client {client}" in caplog.text


def test_where_too_few_true_shares_are_left_the_error_names_who_gave_a_false_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a sparse graph client 13's secret lacks a share of a client that lied to nobody else who stays whole."""
    every = "of clients 10, 11, 12, 13, 14 one at least gave a false one, and 5 true ones are needed"
    with pytest.raises(Rejected, match=f"client 13: the shares of its secret do not fit together: {every}"):
        opened(Round(6, 2 / 3), {10: [13]}, {15: Step.UNMASK}, monkeypatch)
    with pytest.raises(
        Rejected, match="client 10: gave a false share of the secret of client 13, and too few others"
    ):
        opened(Round(6, 2 / 3), {10: [13, 14], 11: [14]}, {}, monkeypatch)


def test_a_share_that_is_withheld_is_missed_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    opened(Round(6, 2 / 3), {10: [13]}, {}, monkeypatch, withheld=True)
    monkeypatch.undo()
    with pytest.raises(
        Rejected, match="client 10: withheld its share of the secret of client 13: 4 shares of it are"
    ):
        opened(Round(6, 2 / 3), {10: [13]}, {15: Step.UNMASK}, monkeypatch, withheld=True)


def test_a_few_false_shares_among_many_are_found() -> None:
    """Three of 54 where 37 rebuild the secret: too many sets to try all."""
    coefficients = [int(each) for each in np.random.default_rng(0).integers(1, 2**62, 37)]
    points = list(range(1, 55))
    shares = dict(zip(points, shares_of(coefficients, points), strict=True))
    false = {2: 5, 20: shares[20] + 1, 50: PRIME - 1}
    assert recovered({**shares, **false}, 37, coefficients[0].__eq__) == (coefficients[0], [2, 20, 50])
    assert recovered(shares, 37, coefficients[0].__eq__) == (coefficients[0], [])
    few = {point: shares[point] for point in points[:38]}
    assert recovered({**few, 1: 0, 2: 0}, 37, coefficients[0].__eq__) is None
