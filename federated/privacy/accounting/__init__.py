"""Accounting: the epsilon of what was released so far, the noise for a wanted epsilon, and both in words."""

from federated.privacy.accounting.accountant import Spent, spent
from federated.privacy.accounting.calibration import noise_for
from federated.privacy.accounting.words import assumption, stopping, unit_in_words

__all__ = ["Spent", "assumption", "noise_for", "spent", "stopping", "unit_in_words"]
