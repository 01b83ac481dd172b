"""A client of the protocol: what it sends, what it checks, and what it never gives away."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from federated.transports.secure_aggregation.messages import (
    ID,
    KEYS_BYTES,
    SEALED_BYTES,
    Directory,
    Rejected,
    Step,
    from_client,
    joined,
    read_by_client,
    records,
    signed_content,
)
from federated.transports.secure_aggregation.packed import packed
from federated.transports.secure_aggregation.primitives import (
    KEY_BYTES,
    SIGNATURE_BYTES,
    Identity,
    agreed,
    derived,
    digest_of,
    is_signed,
    key_pair_of,
    mask_of,
    sealed,
    unsealed,
)
from federated.transports.secure_aggregation.shamir import PRIME, SHARE_BYTES, shares_of
from federated.transports.secure_aggregation.terms import Terms

_COEFFICIENT_BYTES = 48  # modulo the prime they are uniform but for one part in 2^127


class Client:
    """One client in one round. Its methods are the steps, each answers the server's message, and none runs twice.

    draw: so many bytes -> random ones, its own. model: SHA-256 of the model that it received, to which its masks are
    bound: those of clients that received different ones do not cancel (Pasquini et al. 2022, "Eluding Secure
    Aggregation in Federated Learning via Model Inconsistency"). Raises Rejected where the cohort cannot hide it.
    """

    def __init__(
        self,
        number: int,
        terms: Terms,
        identity: Identity,
        directory: Directory,
        model: bytes,
        draw: Callable[[int], bytes],
    ) -> None:
        try:
            terms.check()
        except ValueError as error:
            raise Rejected(number, f"takes no part: {error}") from error
        self.number, self._terms, self._identity, self._directory = number, terms, identity, directory
        self._model, self._draw = model, draw
        self._next: Step | None = Step.ADVERTISE_KEYS  # the step that it takes next; None: it took all
        self._sealing, self._masking = (key_pair_of(draw(KEY_BYTES)) for _ in range(2))
        self._own_mask = draw(KEY_BYTES)
        self._keys: dict[int, bytes] = {}  # of neighbours, both public ones
        self._known: dict[int, tuple[bytes, bytes]] = {}  # with each neighbour alone
        self._held: dict[int, bytes] = {}  # both shares of each that shared with it, itself included
        self._survivors = b""

    def advertise_keys(self) -> bytes:
        """Send two public keys: one for what neighbours send each other, one for masks."""
        self._begin(Step.ADVERTISE_KEYS)
        return self._signed(Step.ADVERTISE_KEYS, self._sealing.public + self._masking.public)

    def share_keys(self, message: bytes) -> bytes:
        """Answer the neighbours' keys: a digest of its own mask's key, and sealed shares for each."""
        self._begin(Step.SHARE_KEYS)
        size = KEYS_BYTES + SIGNATURE_BYTES
        advertised = records(self._read(Step.SHARE_KEYS, message), size, self.number, "neighbours' keys")
        if len(advertised) != self._terms.neighbours:
            raise Rejected(
                self.number,
                f"was named {len(advertised)} neighbours where the terms say {self._terms.neighbours}: a short list",
            )
        for neighbour, record in advertised:
            self._keys[neighbour] = self._checked_keys(neighbour, record)
            self._known[neighbour] = self._agreed(neighbour)
        self._check_distinct()
        circle = [self.number, *self._keys]
        points = [client + 1 for client in circle]
        pairs = zip(
            *(self._shares(secret, points) for secret in (self._own_mask, self._masking.secret)), strict=True
        )
        shares = {client: own + masking for client, (own, masking) in zip(circle, pairs, strict=True)}
        self._held[self.number] = shares.pop(self.number)
        told = [(other, sealed(*self._between(self.number, other), text)) for other, text in shares.items()]
        return self._signed(Step.SHARE_KEYS, digest_of(self._own_mask) + joined(told))

    def mask(self, message: bytes, numbers: np.ndarray) -> bytes:
        """Answer the neighbours' sealed shares: its numbers, uint32 [size], masked for those that sent any."""
        self._begin(Step.UPDATE)
        told = records(self._read(Step.UPDATE, message), SEALED_BYTES, self.number, "neighbours' shares")
        for sender, record in told:
            self._held[sender] = self._opened(sender, record)
        self._check_enough(len(self._held), "shared keys")
        total = numbers + mask_of(self._own_mask, self._terms.size)
        for other, _ in told:
            key = mask_key(self._terms, (self.number, other), self._known[other][1], self._model)
            add = np.add if self.number < other else np.subtract
            add(total, mask_of(key, self._terms.size), out=total)
        return self._signed(Step.UPDATE, packed(total, self._terms.bits))

    def confirm(self, message: bytes) -> bytes:
        """Answer the list of those whose updates arrived: its signature under that list and the model."""
        self._begin(Step.CONSISTENCY)
        self._survivors = self._read(Step.CONSISTENCY, message)
        listed = {client for client, _ in records(self._survivors, 0, self.number, "the list of survivors")}
        if strangers := listed - set(self._directory):
            raise Rejected(
                min(strangers), f"is listed as a survivor to client {self.number}, and of no cohort"
            )
        if silent := (listed & set(self._keys)) - set(self._held):
            raise Rejected(
                min(silent), f"is listed as a survivor to client {self.number}, and shared no keys with it"
            )
        if self.number not in listed:
            raise Rejected(self.number, "is not among the survivors although it sent its update")
        self._check_enough(len(listed & set(self._held)), "sent an update")
        if len(listed) < self._terms.survivors:
            raise Rejected(
                self.number,
                f"{len(listed)} updates are to be summed, and {self._terms.survivors} are the fewest",
            )
        return self._signed(Step.CONSISTENCY, b"", self._survivors + self._model)

    def unmask(self, message: bytes) -> bytes:
        """Answer the neighbours' signatures: a share of each that shared with it.

        It is of that one's own mask where its update arrived, and else of its masking key. Both would open the update,
        so that no client gives both, nor answers a second time.
        """
        self._begin(Step.UNMASK)
        told = records(self._read(Step.UNMASK, message), SIGNATURE_BYTES, self.number, "confirmations")
        for neighbour, signature in told:
            self._check_confirmed(neighbour, signature)
        self._check_enough(len(told) + 1, "confirmed the same survivors")
        listed = {client for client, _ in records(self._survivors, 0, self.number, "the list of survivors")}
        given = [
            (client, both[:SHARE_BYTES] if client in listed else both[SHARE_BYTES:])
            for client, both in sorted(self._held.items())
        ]
        return self._signed(Step.UNMASK, joined(given))

    def _begin(self, step: Step) -> None:
        if step is not self._next:
            raise Rejected(self.number, f"was asked for {step.name.lower()!r} out of order or a second time")
        self._next = Step(step + 1) if step < Step.UNMASK else None

    def _read(self, step: Step, message: bytes) -> bytes:
        return read_by_client(message, step, self._terms, self.number)

    def _signed(self, step: Step, content: bytes, beside: bytes = b"") -> bytes:
        return from_client(step, self._terms, self.number, content, self._identity, beside)

    def _checked_keys(self, neighbour: int, record: bytes) -> bytes:
        """A neighbour's two public keys."""
        if neighbour == self.number or neighbour not in self._directory:
            raise Rejected(neighbour, f"is no neighbour that client {self.number} can have")
        keys, signature = record[:KEYS_BYTES], record[KEYS_BYTES:]
        content = signed_content(Step.ADVERTISE_KEYS, self._terms, neighbour, keys)
        if not is_signed(self._directory[neighbour], signature, content):
            raise Rejected(
                neighbour, f"keys that client {self.number} got are not as it signed them: tampered with"
            )
        return keys

    def _agreed(self, neighbour: int) -> tuple[bytes, bytes]:
        """What it knows with a neighbour alone: for what they seal, and for their mask."""
        keys = self._keys[neighbour]
        try:
            return agreed(self._sealing, keys[:KEY_BYTES]), agreed(self._masking, keys[KEY_BYTES:])
        except ValueError as error:
            raise Rejected(neighbour, "has a public key that agrees on nothing") from error

    def _check_distinct(self) -> None:
        """Raise Rejected where two of the public keys are the same: their owners would know each other's secrets."""
        seen = {self._sealing.public, self._masking.public}
        for neighbour, keys in self._keys.items():
            if keys[:KEY_BYTES] in seen or keys[KEY_BYTES:] in seen:
                raise Rejected(neighbour, f"has a public key that client {self.number} knows of another")
            seen |= {keys[:KEY_BYTES], keys[KEY_BYTES:]}

    def _shares(self, secret: bytes, points: list[int]) -> list[bytes]:
        drawn = self._draw(_COEFFICIENT_BYTES * (self._terms.threshold - 1))
        others = [
            int.from_bytes(drawn[at : at + _COEFFICIENT_BYTES], "little") % PRIME
            for at in range(0, len(drawn), _COEFFICIENT_BYTES)
        ]
        values = shares_of([int.from_bytes(secret, "little"), *others], points)
        return [value.to_bytes(SHARE_BYTES, "little") for value in values]

    def _between(self, sender: int, reader: int) -> tuple[bytes, bytes]:
        """(what both know, what the message is for) of shares sealed by one for the other."""
        other = reader if sender == self.number else sender
        return self._known[other][0], self._terms.context + b"shares" + ID.pack(sender) + ID.pack(reader)

    def _opened(self, sender: int, record: bytes) -> bytes:
        """Both shares that a neighbour sent."""
        if sender not in self._keys:
            raise Rejected(
                sender, f"is no neighbour of client {self.number}, which got shares of it: misdirected"
            )
        text = unsealed(*self._between(sender, self.number), record)
        if text is None:
            raise Rejected(
                sender,
                f"shares that client {self.number} got were not sealed for it: tampered with or misdirected",
            )
        return text

    def _check_confirmed(self, neighbour: int, signature: bytes) -> None:
        if neighbour not in self._held or neighbour == self.number:
            raise Rejected(neighbour, f"confirms to client {self.number}, with which it shared nothing")
        content = signed_content(Step.CONSISTENCY, self._terms, neighbour, b"", self._survivors + self._model)
        if not is_signed(self._directory[neighbour], signature, content):
            raise Rejected(
                neighbour, f"confirmed other survivors or another model than client {self.number} knows of"
            )

    def _check_enough(self, found: int, did: str) -> None:
        if found < self._terms.threshold:
            raise Rejected(
                self.number, f"of it and its neighbours {found} {did}, and {self._terms.threshold} are needed"
            )


def mask_key(terms: Terms, pair: tuple[int, int], known: bytes, model: bytes) -> bytes:
    """The key of the mask of two clients. known: what their masking keys agree on."""
    both = b"".join(ID.pack(client) for client in sorted(pair))
    return derived(known, terms.context + b"mask" + both + model)
