"""Clients of several runs, trained together as further rows of one stack."""

from federated.local_training.together.ask import Ask, Member, member_of
from federated.local_training.together.joint import Engines, train_together
from federated.local_training.together.pays import pays

__all__ = ["Ask", "Engines", "Member", "member_of", "pays", "train_together"]
