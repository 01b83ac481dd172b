"""The content of a forecast, for a study and for each of its arms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from federated.federation.data_table import DataRead
from federated.forecast.traffic.amounts import Amount, total


@dataclass(frozen=True)
class ArmForecast:
    """One arm: its runs, wall time of them one after another, bytes of them together. Rounds are at most so many
    where there is a stop rule. network_seconds: of a round on the stated network; None without one. client_memory_mb,
    client_file_mb: what clients of one run remember at most between rounds, in memory and beyond its bound on disk.
    used: what a run uses, by the metrics of its bill. anchor: which one it is, if it is one."""

    arm: str
    runs: int
    rounds: int
    stops: bool
    seconds: float
    uplink: Amount
    downlink: Amount
    network_seconds: float | None = None
    client_memory_mb: float = 0.0
    client_file_mb: float = 0.0
    used: Mapping[str, float] = field(default_factory=dict)
    anchor: str = ""


@dataclass(frozen=True)
class TuningForecast:
    """The tuning of one arm, at most: its trainings, their wall time, and what they use together, by the metrics of a
    run's bill. epsilon: by basic composition."""

    arm: str
    trainings: int
    seconds: float
    used: Mapping[str, float]
    epsilon: float = 0.0


@dataclass(frozen=True)
class Forecast:
    """A study before it runs. seconds: wall time from the command's start to its end, so many workers at a time;
    low_seconds and high_seconds: what it may be, None in forecasts of older versions. memory_mb: the most that a
    process holds. around_seconds: of the wall time, what is before and after the runs, None in forecasts of older
    versions. privacy: what is guaranteed. guarantees: the same in full, with their
    arms. cautions: what cannot work or is likely a mistake, in sentences.
    unforeseen: runs of which nothing is known, because a probe failed. data: how each data set was read.
    evaluation_mb: of the memory, the outputs of the largest evaluation. trunk_seconds, trunk_mb: of the time of the
    runs, the one pass of frozen parts over all examples, and the features that it leaves on disk. prices: of the bill,
    as the study states them. tuning: what the trials take, in a sentence; of the time, they are before the runs.
    tunings: of each arm."""

    arms: tuple[ArmForecast, ...]
    workers: int
    threads: int
    seconds: float
    probe_seconds: float
    memory_mb: float
    machine_mb: float
    overheads_measured: bool
    privacy: str
    cautions: tuple[str, ...]
    unforeseen: int = 0
    low_seconds: float | None = None
    high_seconds: float | None = None
    around_seconds: float | None = None
    data: tuple[DataRead, ...] = ()
    evaluation_mb: float = 0.0
    guarantees: tuple[str, ...] = ()
    trunk_seconds: float = 0.0
    trunk_mb: float = 0.0
    prices: Mapping[str, Any] | None = None
    tuning: str = ""
    tunings: tuple[TuningForecast, ...] = ()

    @property
    def runs(self) -> int:
        """Of all arms."""
        return sum(arm.runs for arm in self.arms)

    @property
    def remembered_mb(self) -> float:
        """Of the memory, what clients of one run remember."""
        return max((arm.client_memory_mb for arm in self.arms), default=0.0)

    @property
    def uplink(self) -> Amount:
        """Bytes to the server, all runs together."""
        return total(arm.uplink for arm in self.arms)

    @property
    def downlink(self) -> Amount:
        """Bytes from the server, all runs together."""
        return total(arm.downlink for arm in self.arms)

    def as_json(self) -> str:
        """For the artifact `forecast.json`; `forecast_of_json` reads it."""
        return json.dumps(asdict(self), indent=2)


def forecast_of_json(text: str) -> Forecast:
    """The forecast that `as_json` wrote."""
    content = json.loads(text)
    arms = [
        ArmForecast(**{**arm, "uplink": Amount(*arm["uplink"]), "downlink": Amount(*arm["downlink"])})
        for arm in content["arms"]
    ]
    data = [
        DataRead(each["label"], each["found"], tuple(map(tuple, each["rows"])))
        for each in content.pop("data", ())  # older ones have none
    ]
    texts = {
        name: tuple(content.get(name, ())) for name in ("cautions", "guarantees")
    }  # older ones have no second
    tunings = tuple(TuningForecast(**each) for each in content.pop("tunings", ()))  # nor these
    return Forecast(**{**content, **texts, "arms": tuple(arms), "data": tuple(data), "tunings": tunings})


def nothing_foretold(workers: int, runs: int, why: str) -> Forecast:
    """A forecast that could not be made."""
    return Forecast((), workers, 1, 0.0, 0.0, 0.0, 0.0, False, "", (why,), unforeseen=runs)
