"""Personalisation by what is shared: which layers travel, and which stay with each client."""
