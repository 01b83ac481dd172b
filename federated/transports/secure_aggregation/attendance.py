"""The attendance of a round: its clients at each step, whether they are enough, and what they will send."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from federated.transports.secure_aggregation.messages import HEADER, ID, KEYS_BYTES, SEALED_BYTES, Step
from federated.transports.secure_aggregation.packed import packed_bytes
from federated.transports.secure_aggregation.primitives import DIGEST_BYTES, SIGNATURE_BYTES
from federated.transports.secure_aggregation.shamir import SHARE_BYTES
from federated.transports.secure_aggregation.terms import Terms
from federated.transports.transport import TooFewLeft

_CURE = (
    "who drops out follows from the seed, and other seeds may have no such round: state a smaller threshold, a smaller "
    "share of clients that are lost or silent, or larger cohorts"
)


class Attendance(NamedTuple):
    """terms: of the round. graph: the neighbours of each client of the cohort. silent: the first step in which a client
    sends nothing; those that are not in it answer all."""

    terms: Terms
    graph: Mapping[int, tuple[int, ...]]
    silent: Mapping[int, Step]

    def present(self, step: Step) -> set[int]:
        """The clients that send the message of this step."""
        return {client for client in self.graph if self.silent.get(client, step + 1) > step}

    def check(self) -> None:
        """Raise TooFewLeft where some client's secrets cannot be rebuilt."""
        shared = self.present(Step.SHARE_KEYS)
        if (heard := len(self.present(Step.UPDATE))) < self.terms.survivors:
            raise TooFewLeft(
                f"of {len(self.graph)} clients {heard} are left at step 'update', and {self.terms.survivors} are "
                f"needed to open the sum; {_CURE}"
            )
        for step in (Step.SHARE_KEYS, Step.UPDATE, Step.UNMASK):
            there = self.present(step)
            least = min((len(self._circle(client) & there) for client in shared), default=0)
            if least < self.terms.threshold:
                among = "" if self.terms.neighbours == len(self.graph) - 1 else " and the neighbours of one"
                raise TooFewLeft(
                    f"of {len(self.graph)} clients{among} {least} are left at step {step.name.lower()!r}, and "
                    f"{self.terms.threshold} are needed to open the sum; {_CURE}"
                )

    def foreseen(self) -> tuple[int, int]:
        """The bytes that all clients send and receive, up to the step at which the server gives the round up."""
        shared, heard, confirmed, last = map(self._awaited, list(Step)[1:])
        terms, clients, head = self.terms, len(self.graph), HEADER.size
        signed = head + SIGNATURE_BYTES
        up = clients * (signed + KEYS_BYTES)
        up += len(shared) * (signed + DIGEST_BYTES + terms.neighbours * (ID.size + SEALED_BYTES))
        up += len(heard) * (signed + packed_bytes(terms.size, terms.bits)) + len(confirmed) * signed
        up += len(last) * signed + (ID.size + SHARE_BYTES) * self._links(last, shared, own=True)
        down = clients * (head + terms.neighbours * (ID.size + KEYS_BYTES + SIGNATURE_BYTES))
        shared, heard, confirmed = (
            there if self._enough(step) else set()
            for step, there in zip(list(Step)[1:], (shared, heard, confirmed), strict=False)
        )
        down += len(shared) * head + (ID.size + SEALED_BYTES) * self._links(shared, shared)
        down += len(heard) * (head + ID.size * len(heard))
        down += len(confirmed) * head + (ID.size + SIGNATURE_BYTES) * self._links(confirmed, confirmed)
        return up, down

    def _awaited(self, step: Step) -> set[int]:
        """The clients that send the message of this step in a round that the server has not given up before."""
        earlier = (before for before in list(Step)[1:] if before < step)
        return self.present(step) if all(map(self._enough, earlier)) else set()

    def _enough(self, step: Step) -> bool:
        """Whether the server goes on after the messages of this step."""
        there, shared = self.present(step), self.present(Step.SHARE_KEYS)
        if step is Step.UPDATE and len(there) < self.terms.survivors:
            return False
        return all(len(self._circle(client) & there) >= self.terms.threshold for client in shared)

    def _circle(self, client: int) -> set[int]:
        return {client, *self.graph[client]}

    def _links(self, ones: Collection[int], others: set[int], *, own: bool = False) -> int:
        """Pairs of one and its neighbour among the others."""
        return sum(len(others & set(self.graph[client])) + own for client in ones)
