"""Combinations of parts that cannot work, checked when a config is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from federated.aggregators import Aggregator
from federated.algorithms import Algorithm, ClientHalf
from federated.choices.choice import Choice
from federated.compressors import Compressor


def check_ways(uplink: Choice, downlink: Choice, *, run_own_code: bool = False) -> None:
    """Raise ValueError where a compressor cannot carry what goes its way.

    What is a person's own is looked at only with `run_own_code`.
    """
    down: Compressor | None = _built(downlink, run_own_code)
    if down is not None and not down.whole_model and not down.difference:
        raise ValueError(
            f"downlink: {downlink.label()} would damage a whole model, which is what the server broadcasts; "
            f"use none, float16, bfloat16 or difference(...)"
        )
    up: Compressor | None = _built(uplink, run_own_code)
    if up is not None and up.difference:
        raise ValueError("uplink: an update is a difference already; difference is for the downlink")


class PartsOfRun(NamedTuple):
    """The choices of a run of which not all go together.

    personalised: whether `evaluation.personalisation` is stated.
    """

    algorithm: Choice
    aggregator: Choice
    uplink: Choice
    privacy: Choice
    personalised: bool


class _Built(NamedTuple):
    """The same parts, made."""

    algorithm: Algorithm
    aggregator: Aggregator
    uplink: Compressor
    hides: bool
    personalised: bool

    @property
    def sends_more(self) -> bool:
        """Whether clients send something beside their updates."""
        return bool(self.algorithm.client.sends)


class _Clash(NamedTuple):
    """Two parts, by their fields; when they do not go together; and why."""

    first: str
    second: str
    clashes: Callable[[_Built], bool]
    why: str


_CLASHES = (
    _Clash(
        "algorithm",
        "compression.uplink",
        lambda parts: parts.algorithm.votes != parts.uplink.votes,
        "the votes of sign(scale=one) are for sign_majority, which takes nothing else",
    ),
    _Clash(
        "algorithm",
        "aggregator",
        lambda parts: parts.algorithm.votes and not parts.aggregator.linear,
        "votes are counted by their sum, so only mean goes with them",
    ),
    _Clash(
        "algorithm",
        "aggregator",
        lambda parts: parts.sends_more and not parts.aggregator.linear,
        "what its clients send beside their updates is averaged, so a single client could still move the model at will",
    ),
    _Clash(
        "algorithm",
        "privacy",
        lambda parts: parts.sends_more and parts.hides,
        "its clients send more than their updates, and the mechanism bounds the updates alone",
    ),
)
"""What a table of pairs would mark, with the first of each pair that is found said."""


def check_together(parts: PartsOfRun, *, run_own_code: bool = False) -> None:
    """Raise ValueError where two parts of a run do not go together.

    What is a person's own is looked at only with `run_own_code`.
    """
    made = [_built(choice, run_own_code) for choice in parts[:3]]
    if None in made or (parts.privacy.own_code() and not run_own_code):
        return
    built = _Built(made[0], made[1], made[2], parts.privacy.name != "none", parts.personalised)
    labels = {
        "algorithm": parts.algorithm,
        "aggregator": parts.aggregator,
        "compression.uplink": parts.uplink,
    }
    labels["privacy"] = parts.privacy
    for clash in _CLASHES:
        if clash.clashes(built):
            first, second = labels[clash.first].label(), labels[clash.second].label()
            raise ValueError(f"{clash.first}: {first} with {clash.second}: {second}: {clash.why}")
    if parts.personalised and not _shares_all(built.algorithm):
        raise ValueError(
            f"algorithm: {parts.algorithm.label()} gives each client its own model: "
            "leave evaluation.personalisation out"
        )


def _shares_all(algorithm: Algorithm) -> bool:
    return algorithm.client.stays is ClientHalf().stays


def _built(choice: Choice, run_own_code: bool) -> Any:
    return choice.build() if run_own_code or not choice.own_code() else None
