"""Secure aggregation among parties that cheat: every bad message is refused with an error that names the client."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest

from federated.transports.secure_aggregation.client import mask_key
from federated.transports.secure_aggregation.messages import (
    HEADER,
    KEYS_BYTES,
    SEALED_BYTES,
    Rejected,
    Step,
    from_client,
    joined,
    records,
    to_client,
)
from federated.transports.secure_aggregation.primitives import KEY_BYTES, SIGNATURE_BYTES, identity_of
from tests.test_secure_aggregation import Round

Change = Callable[[dict[int, bytes]], dict[int, bytes]]


def unchanged(messages: dict[int, bytes]) -> dict[int, bytes]:
    return messages


def carried(meeting: Round, up: dict[Step, Change], down: dict[Step, Change]) -> np.ndarray:
    """A round of which some messages are changed on their way, those to the server by step, those to clients too."""
    clients, server = meeting.clients, meeting.server

    def to_server(step: Step, messages: dict[int, bytes]) -> list[bytes]:
        return list(up.get(step, unchanged)(messages).values())

    keys = server.keys_advertised(
        to_server(Step.ADVERTISE_KEYS, {client: clients[client].advertise_keys() for client in clients})
    )
    keys = down.get(Step.SHARE_KEYS, unchanged)(keys)
    told = {client: clients[client].share_keys(message) for client, message in keys.items()}
    shares = down.get(Step.UPDATE, unchanged)(server.keys_shared(to_server(Step.SHARE_KEYS, told)))
    told = {
        client: clients[client].mask(message, meeting.numbers[client].astype(np.uint32))
        for client, message in shares.items()
    }
    listed = down.get(Step.CONSISTENCY, unchanged)(server.updates_masked(to_server(Step.UPDATE, told)))
    told = {client: clients[client].confirm(message) for client, message in listed.items()}
    found = down.get(Step.UNMASK, unchanged)(server.survivors_confirmed(to_server(Step.CONSISTENCY, told)))
    told = {client: clients[client].unmask(message) for client, message in found.items()}
    return server.unmasked(to_server(Step.UNMASK, told))


def of_11(change: Callable[[bytes], bytes]) -> Change:
    return lambda messages: {**messages, 11: change(messages[11])}


def flipped(message: bytes) -> bytes:
    """The last byte of the content, or of the signature where there is no content."""
    at = len(message) - SIGNATURE_BYTES - 1
    at = at if at >= HEADER.size else len(message) - 1
    return message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]


def as_if_of_12(message: bytes) -> bytes:
    head = HEADER.unpack_from(message)
    return HEADER.pack(*head[:3], 12) + message[HEADER.size :]


def of_another_round(message: bytes) -> bytes:
    step, way, done, client = HEADER.unpack_from(message)
    return HEADER.pack(step, way, done - 1, client) + message[HEADER.size :]


def of_a_stranger(messages: dict[int, bytes]) -> dict[int, bytes]:
    head = HEADER.unpack_from(messages[11])
    return {**messages, 99: HEADER.pack(*head[:3], 99) + messages[11][HEADER.size :]}


@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of_11(flipped), "client 11: .* is not as it was signed: tampered with"),
        (of_11(lambda sent: sent[:-1]), "client 11: .* is not as it was signed|client 11: .* truncated"),
        (of_11(lambda sent: sent[:20]), "client 11: .* is too short: truncated"),
        (of_11(lambda sent: sent[:5]), "5 bytes is shorter than its header: truncated"),
        (of_11(of_another_round), "client 11: .* is of round 3 and this is round 4: replayed"),
        (of_11(as_if_of_12), "client 12: .* is not as it was signed"),
        (lambda sent: {**sent, 98: sent[11]}, "client 11: sent two messages in step .*: replayed"),
        (of_a_stranger, "client 99: is not of this cohort"),
    ],
)
def test_the_server_refuses(step: Step, change: Change, message: str) -> None:
    with pytest.raises(Rejected, match=message):
        carried(Round(4), {step: change}, {})


@pytest.mark.parametrize("step", list(Step)[1:])
def test_a_message_of_an_earlier_step_is_refused(step: Step) -> None:
    before: dict[int, bytes] = {}

    def kept(messages: dict[int, bytes]) -> dict[int, bytes]:
        before.update(messages)
        return messages

    again = of_11(lambda _: before[11])
    with pytest.raises(Rejected, match=r"client 11: expected .*, got a message of step \d: replayed"):
        carried(Round(4), {Step(step - 1): kept, step: again}, {})


def swapped(messages: dict[int, bytes]) -> dict[int, bytes]:
    return {**messages, 10: messages[11], 11: messages[10]}


def edited(size: int, change: Callable[[dict[int, bytes]], dict[int, bytes]]) -> Change:
    """The records of the message to client 11, changed."""

    def edit(message: bytes) -> bytes:
        found = dict(records(message[HEADER.size :], size, 11, ""))
        return message[: HEADER.size] + joined(list(change(found).items()))

    return of_11(edit)


OF_KEYS = KEYS_BYTES + SIGNATURE_BYTES


@pytest.mark.parametrize(
    ("step", "change", "message"),
    [
        *(
            (step, swapped, "client 10: got .* that was for client 11: misdirected")
            for step in list(Step)[1:]
        ),
        *((step, of_11(lambda sent: sent[:-1]), "client 11: .*truncated") for step in list(Step)[1:]),
        *((step, of_11(of_another_round), "client 11: .* of round 3 .*replayed") for step in list(Step)[1:]),
        (
            Step.SHARE_KEYS,
            edited(OF_KEYS, lambda keys: {**keys, 12: bytes(32) + keys[12][32:]}),
            "client 12: keys that client 11 got are not as it signed them: tampered with",
        ),
        (
            Step.SHARE_KEYS,
            edited(OF_KEYS, lambda keys: {**keys, 12: keys[13]}),
            "client 12: keys that client 11 got are not as it signed them",
        ),
        (
            Step.SHARE_KEYS,
            edited(OF_KEYS, lambda keys: {12: keys[12], 13: keys[13]}),
            "client 11: was named 2 neighbours where the terms say 3: a short list",
        ),
        (
            Step.SHARE_KEYS,
            edited(OF_KEYS, lambda keys: {11: keys[10], 12: keys[12], 13: keys[13]}),
            "client 11: is no neighbour that client 11 can have",
        ),
        (
            Step.SHARE_KEYS,
            of_11(lambda sent: sent + sent[HEADER.size : HEADER.size + 4 + OF_KEYS]),
            "client 11: neighbours' keys: two records are of one client",
        ),
        (
            Step.UPDATE,
            edited(SEALED_BYTES, lambda sealed: {**sealed, 12: sealed[12][:-1] + b"?"}),
            "client 12: shares that client 11 got were not sealed for it: tampered with or misdirected",
        ),
        (
            Step.UPDATE,
            edited(SEALED_BYTES, lambda sealed: {**sealed, 12: sealed[13], 13: sealed[12]}),
            "client 12: shares that client 11 got were not sealed for it",
        ),
        (
            Step.UPDATE,
            edited(SEALED_BYTES, lambda sealed: {10: sealed[10]}),
            "client 11: of it and its neighbours 2 shared keys, and 3 are needed",
        ),
        (
            Step.CONSISTENCY,
            edited(0, lambda listed: {10: b"", 12: b"", 13: b""}),
            "client 11: is not among the survivors although it sent its update",
        ),
        (
            Step.CONSISTENCY,
            edited(0, lambda listed: {11: b"", 12: b""}),
            "client 11: of it and its neighbours 2 sent an update, and 3 are needed",
        ),
        (
            Step.CONSISTENCY,
            edited(0, lambda listed: {**listed, 99: b""}),
            "client 99: is listed as a survivor to client 11, and of no cohort",
        ),
        (
            Step.UNMASK,
            edited(SIGNATURE_BYTES, lambda signed: {10: signed[10]}),
            "client 11: of it and its neighbours 2 confirmed the same survivors, and 3 are needed",
        ),
        (
            Step.UNMASK,
            edited(SIGNATURE_BYTES, lambda signed: {**signed, 10: signed[12]}),
            "client 10: confirmed other survivors or another model than client 11 knows of",
        ),
        (
            Step.UNMASK,
            edited(SIGNATURE_BYTES, lambda signed: {**signed, 11: signed[12]}),
            "client 11: confirms to client 11, with which it shared nothing",
        ),
    ],
)
def test_clients_refuse(step: Step, change: Change, message: str) -> None:
    with pytest.raises(Rejected, match=message) as raised:
        carried(Round(4), {}, {step: change})
    assert f"client {raised.value.client}: " in str(raised.value)
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_two_groups_that_are_told_different_survivors_both_refuse() -> None:
    """Half of the cohort hears that client 13 dropped out: with the others' answers both its secrets would be open."""
    meeting = Round(6)
    told = joined([(client, b"") for client in range(10, 15)])
    without = {client: to_client(Step.CONSISTENCY, meeting.terms, client, told) for client in (10, 11, 12)}
    confirmed: dict[int, bytes] = {}

    def kept(messages: dict[int, bytes]) -> dict[int, bytes]:
        confirmed.update({client: message[HEADER.size :] for client, message in messages.items()})
        raise StopIteration

    with pytest.raises(StopIteration):
        carried(meeting, {Step.CONSISTENCY: kept}, {Step.CONSISTENCY: lambda sent: {**sent, **without}})
    for client in meeting.cohort:
        near = [(other, confirmed[other]) for other in meeting.graph[client]]
        with pytest.raises(Rejected, match="confirmed other survivors"):
            meeting.clients[client].unmask(to_client(Step.UNMASK, meeting.terms, client, joined(near)))


def test_no_client_answers_twice() -> None:
    """A second answer, under another list of survivors, would be the other share of the same client."""
    meeting = Round(4)
    carried(meeting, {}, {})
    client = meeting.clients[11]
    for asked in (client.confirm, client.unmask, client.share_keys):
        with pytest.raises(Rejected, match=r"client 11: was asked for '.*' out of order or a second time"):
            asked(b"")


def test_masks_of_clients_with_different_models_do_not_cancel() -> None:
    meeting = Round(4)
    pair, known = (10, 11), bytes(32)
    key = mask_key(meeting.terms, pair, known, b"model")
    assert key == mask_key(meeting.terms, (11, 10), known, b"model")
    others = [
        mask_key(meeting.terms, pair, known, b"other"),
        mask_key(meeting.terms, (10, 12), known, b"model"),
        mask_key(meeting.terms._replace(done=4), pair, known, b"model"),
    ]
    assert len({key, *others}) == 4
    meeting.clients[11] = meeting.client(11, model=b"other")
    with pytest.raises(Rejected, match=r"client 11: .*'consistency' is not as it was signed"):
        carried(meeting, {}, {})


def test_a_client_that_is_not_who_it_says_is_refused() -> None:
    meeting = Round(4)
    meeting.identities[11] = identity_of(bytes(32))
    meeting.clients[11] = meeting.client(11)
    with pytest.raises(Rejected, match=r"client 11: .*'advertise keys' is not as it was signed"):
        carried(meeting, {}, {})


def test_a_list_of_survivors_cannot_be_padded_with_clients_that_shared_nothing() -> None:
    """It would make a sum of few look like one of many, whose noise is enough."""
    meeting = Round(5)
    silent = {13: Step.SHARE_KEYS}
    padded = edited(0, lambda listed: {**listed, 13: b""})
    meeting.server.updates_masked = _then(meeting.server.updates_masked, padded)  # type: ignore[method-assign]
    with pytest.raises(
        Rejected, match="client 13: is listed as a survivor to client 11, and shared no keys with it"
    ):
        meeting.played(silent)


def _then(
    method: Callable[[list[bytes]], dict[int, bytes]], change: Change
) -> Callable[..., dict[int, bytes]]:
    return lambda messages: change(method(messages))


@pytest.mark.parametrize("at", [0, KEY_BYTES])
def test_keys_that_agree_on_nothing_are_refused(at: int) -> None:
    """The point of order one, by which every agreement would be known; signed by a client that cheats."""
    meeting = Round(4)

    def empty(message: bytes) -> bytes:
        content = bytearray(message[HEADER.size : -SIGNATURE_BYTES])
        content[at : at + KEY_BYTES] = bytes(KEY_BYTES)
        return from_client(Step.ADVERTISE_KEYS, meeting.terms, 11, bytes(content), meeting.identities[11])

    with pytest.raises(Rejected, match="client 11: advertised a public key that agrees on nothing"):
        carried(meeting, {Step.ADVERTISE_KEYS: of_11(empty)}, {})


def test_a_client_with_another_ones_keys_is_refused() -> None:
    meeting = Round(4)

    def copied(messages: dict[int, bytes]) -> dict[int, bytes]:
        content = messages[10][HEADER.size : -SIGNATURE_BYTES]
        own = from_client(Step.ADVERTISE_KEYS, meeting.terms, 11, content, meeting.identities[11])
        return {**messages, 11: own}

    with pytest.raises(Rejected, match=r"client 11: has a public key that client 1[023] knows of another"):
        carried(meeting, {Step.ADVERTISE_KEYS: copied}, {})
