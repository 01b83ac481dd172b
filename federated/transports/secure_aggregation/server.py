"""The server of the protocol: what it passes on, and the sum, which is all that it learns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from federated.transports.secure_aggregation.client import mask_key
from federated.transports.secure_aggregation.messages import (
    ID,
    KEYS_BYTES,
    SEALED_BYTES,
    Directory,
    Received,
    Rejected,
    Step,
    TooFew,
    joined,
    read_by_server,
    records,
    to_client,
)
from federated.transports.secure_aggregation.packed import packed_bytes, unpacked
from federated.transports.secure_aggregation.primitives import (
    DIGEST_BYTES,
    KEY_BYTES,
    agreed,
    digest_of,
    is_usable,
    key_pair_of,
    mask_of,
)
from federated.transports.secure_aggregation.shamir import SHARE_BYTES, recovered
from federated.transports.secure_aggregation.terms import Terms

logger = logging.getLogger(__name__)

Answers = dict[int, bytes]
"""The message to each client."""


class Server:
    """The server in one round. Its methods take the messages of a step that arrived, and answer them.

    graph: the neighbours of each client. model: SHA-256 of the model that it sent. Methods raise Rejected.
    false: client -> of whose secret it gave a false share, where the sum was opened without it.
    """

    def __init__(
        self, terms: Terms, graph: Mapping[int, Sequence[int]], directory: Directory, model: bytes
    ) -> None:
        self._terms, self._graph, self._directory, self._model = terms, graph, directory, model
        self._keys: dict[int, Received] = {}
        self._digests: dict[int, bytes] = {}
        self._shared: set[int] = set()
        self._survivors: list[int] = []
        self._total = np.zeros(terms.size, np.uint32)
        self.false: dict[int, int] = {}

    def keys_advertised(self, messages: Sequence[bytes]) -> Answers:
        """To each client the keys of its neighbours, as these signed them."""
        self._keys = self._read(Step.ADVERTISE_KEYS, messages, set(self._graph), KEYS_BYTES)
        if missing := set(self._graph) - set(self._keys):
            raise Rejected(min(missing), "advertised no keys: a cohort is of those that did")
        for client, keys in self._keys.items():
            if not (is_usable(keys.content[:KEY_BYTES]) and is_usable(keys.content[KEY_BYTES:])):
                raise Rejected(client, "advertised a public key that agrees on nothing")
        known = {client: keys.content + keys.signature for client, keys in self._keys.items()}
        return self._answers(
            Step.SHARE_KEYS,
            {
                client: joined([(other, known[other]) for other in near])
                for client, near in self._graph.items()
            },
        )

    def keys_shared(self, messages: Sequence[bytes]) -> Answers:
        """To each client that shared the sealed shares for it, of those neighbours that shared too."""
        size = DIGEST_BYTES + self._terms.neighbours * (ID.size + SEALED_BYTES)
        found = self._read(Step.SHARE_KEYS, messages, set(self._keys), size)
        sealed: dict[int, list[tuple[int, bytes]]] = {client: [] for client in found}
        for client, received in sorted(found.items()):
            self._digests[client] = received.content[:DIGEST_BYTES]
            told = records(received.content[DIGEST_BYTES:], SEALED_BYTES, client, "shares")
            if {reader for reader, _ in told} != set(self._graph[client]):
                raise Rejected(client, "shared with others than its neighbours: misdirected")
            for reader, text in told:
                if reader in sealed:
                    sealed[reader].append((client, text))
        self._shared = set(found)
        self._check_enough(self._shared, "shared keys")
        return self._answers(Step.UPDATE, {client: joined(texts) for client, texts in sealed.items()})

    def updates_masked(self, messages: Sequence[bytes]) -> Answers:
        """To each client whose update arrived the list of all those."""
        size = packed_bytes(self._terms.size, self._terms.bits)
        found = self._read(Step.UPDATE, messages, self._shared, size)
        self._survivors = sorted(found)
        self._check_enough(set(found), "sent an update")
        if len(found) < self._terms.survivors:
            raise TooFew(
                None,
                f"{len(found)} updates arrived, and {self._terms.survivors} are the fewest: too many dropped out",
            )
        for received in found.values():
            self._total += unpacked(received.content, self._terms.bits, self._terms.size)
        listed = joined([(client, b"") for client in self._survivors])
        return self._answers(Step.CONSISTENCY, dict.fromkeys(self._survivors, listed))

    def survivors_confirmed(self, messages: Sequence[bytes]) -> Answers:
        """To each client that confirmed the signatures of its neighbours."""
        beside = joined([(client, b"") for client in self._survivors]) + self._model
        found = self._read(Step.CONSISTENCY, messages, set(self._survivors), 0, beside)
        self._check_enough(set(found), "confirmed the survivors")
        confirmed = {
            client: [
                (other, found[other].signature)
                for other in self._graph[client]
                if other in found and other in self._shared
            ]
            for client in found
        }
        return self._answers(Step.UNMASK, {client: joined(told) for client, told in confirmed.items()})

    def unmasked(self, messages: Sequence[bytes]) -> np.ndarray:
        """The sum of the survivors' numbers modulo 2^bits, uint32 [size]."""
        shares: dict[int, dict[int, int]] = {client: {} for client in self._shared}
        found = self._read(Step.UNMASK, messages, set(self._survivors), None)
        self._check_enough(set(found), "answered")
        for giver, received in found.items():
            for client, share in records(received.content, SHARE_BYTES, giver, "shares to unmask"):
                if (client != giver and client not in self._graph[giver]) or client not in shares:
                    raise Rejected(giver, f"gives a share of client {client}, of which it holds none")
                shares[client][giver + 1] = int.from_bytes(share, "little")
        total = self._total.copy()
        secrets = self._secrets(shares, set(found))
        for client in self._survivors:
            total -= mask_of(secrets[client], self._terms.size)
        for client in sorted(self._shared - set(self._survivors)):
            self._take_back(client, secrets[client], total)
        return total & np.uint32((1 << self._terms.bits) - 1)

    def _take_back(self, client: int, secret: bytes, total: np.ndarray) -> None:
        """Take the masks that the survivors share with a client that dropped out from the total."""
        key = key_pair_of(secret)
        for other in self._graph[client]:
            if other in self._survivors:
                public = self._keys[other].content[KEY_BYTES:]
                shared = mask_key(self._terms, (client, other), agreed(key, public), self._model)
                mask = mask_of(shared, self._terms.size)
                if other < client:
                    total -= mask
                else:
                    total += mask

    def _secrets(self, shares: Mapping[int, Mapping[int, int]], answered: set[int]) -> dict[int, bytes]:
        """The secret of each client, without the false shares of others as far as the rest rebuild it."""
        secrets: dict[int, bytes] = {}
        for client, given in sorted(shares.items()):
            if len(given) < self._terms.threshold:
                raise self._lacking(client, given, answered)
            doubted = [giver + 1 for giver in self.false]
            found = recovered(given, self._terms.threshold, self._is_secret_of(client), doubted)
            if found is not None:
                value, false = found
                secrets[client] = value.to_bytes(SHARE_BYTES, "little")[:KEY_BYTES]
                for point in false:
                    self.false.setdefault(point - 1, client)
        unknown = min(set(shares) - set(secrets), default=None)
        for giver, client in sorted(self.false.items()):
            if unknown is not None and giver + 1 in shares[unknown]:
                raise Rejected(
                    giver,
                    f"gave a false share of the secret of client {client}, and too few others rebuild that of client "
                    f"{unknown}",
                )
            logger.warning(
                "secure aggregation: round %d: client %d gave a false share of the secret of client %d, which the "
                "shares of others rebuilt",
                self._terms.done + 1,
                giver,
                client,
            )
        if unknown is not None:
            givers = ", ".join(str(point - 1) for point in sorted(shares[unknown]))
            raise Rejected(
                unknown,
                f"the shares of its secret do not fit together: of clients {givers} one at least gave a false one, and "
                f"{self._terms.threshold} true ones are needed",
            )
        return secrets

    def _lacking(self, client: int, given: Mapping[int, int], answered: set[int]) -> Rejected:
        few = f"{len(given)} shares of it are left, and {self._terms.threshold} rebuild it"
        holders = {client, *self._graph[client]} & answered
        for giver in sorted(holders - {point - 1 for point in given}):
            return Rejected(giver, f"withheld its share of the secret of client {client}: {few}")
        return Rejected(client, few)

    def _is_secret_of(self, client: int) -> Callable[[int], bool]:
        """Whether a number is what a client shared: its mask's key where its update arrived, else its masking key."""
        survived, public = client in self._survivors, self._keys[client].content[KEY_BYTES:]

        def fits(value: int) -> bool:
            secret = value.to_bytes(SHARE_BYTES, "little")
            if secret[KEY_BYTES:] != b"\0":
                return False
            if survived:
                return digest_of(secret[:KEY_BYTES]) == self._digests[client]
            return key_pair_of(secret[:KEY_BYTES]).public == public

        return fits

    def _check_enough(self, found: set[int], did: str) -> None:
        """Raise Rejected where some client's secrets could not be rebuilt with what these clients hold."""
        for client in sorted(self._shared):
            near = {client, *self._graph[client]} & self._shared
            if len(near & found) < self._terms.threshold:
                raise TooFew(
                    client,
                    f"of it and its neighbours {len(near & found)} {did}, and {self._terms.threshold} are needed: too "
                    f"many dropped out of round {self._terms.done + 1}",
                )

    def _read(
        self, step: Step, messages: Sequence[bytes], awaited: set[int], size: int | None, beside: bytes = b""
    ) -> dict[int, Received]:
        """The messages of a step by client."""
        found: dict[int, Received] = {}
        for message in messages:
            received = read_by_server(message, step, self._terms, self._directory, beside)
            client = received.client
            if client not in awaited:
                raise Rejected(client, f"is not awaited in step {step.name.lower()!r}: it dropped out before")
            if client in found:
                raise Rejected(client, f"sent two messages in step {step.name.lower()!r}: replayed")
            if size is not None and len(received.content) != size:
                raise Rejected(
                    client,
                    f"sent {len(received.content)} bytes in step {step.name.lower()!r}, expected {size}",
                )
            found[client] = received
        return found

    def _answers(self, step: Step, contents: Mapping[int, bytes]) -> Answers:
        return {client: to_client(step, self._terms, client, content) for client, content in contents.items()}
