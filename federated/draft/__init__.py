"""A first study file for a person's data, written from a look at it."""

from federated.draft.draft import Draft, drafted
from federated.draft.guess import Guess
from federated.draft.look import look_at
from federated.draft.looked_at import LookedAt

__all__ = ["Draft", "Guess", "LookedAt", "drafted", "look_at"]
