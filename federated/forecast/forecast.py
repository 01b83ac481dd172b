"""The forecast of a study: runs, wall time, memory and bytes of each arm, from short probes of its settings."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from federated.config.run import RunConfig
from federated.federation.data_table import DataRead, data_read, distinct_data
from federated.forecast.load import of_load, of_memory, slowdown_of
from federated.forecast.measure_warnings import of_delta
from federated.forecast.overheads import Overheads, overheads, range_of
from federated.forecast.payloads import downlink_bytes, uplink_bytes
from federated.forecast.probe import Probe, probe
from federated.forecast.seconds.canaries import canary_seconds
from federated.forecast.seconds.coalitions import coalition_seconds
from federated.forecast.seconds.leakage import inversion_seconds, membership_seconds
from federated.forecast.seconds.network import network_seconds
from federated.forecast.seconds.protocol import protocol_seconds
from federated.forecast.summary import ArmForecast, Forecast, nothing_foretold
from federated.forecast.traffic.amounts import total
from federated.forecast.used import used_by
from federated.forecast.warnings import cautions, of_faults, promise_sentences, with_arms
from federated.forecast.workload import evaluation_mb, personalisation_batches, round_batches, trained_clients
from federated.foundation.doing import doing
from federated.local_training.trunk.passes import TrunkPass
from federated.machine.cores import cores_shared_by, threads_of
from federated.machine.memory import machine_mb, not_loaded_mb, peak_mb
from federated.machine.torch_threads import torch_threads
from federated.run.preparing.client_memory import bound_bytes, most_bytes, split
from federated.run.preparing.promise import Promise
from federated.run.setup import Setup, initial_state, prepare
from federated.segments.ends import num_segments
from federated.study.further.prices import Prices
from federated.study.looks import FEWEST_SEEDS
from federated.study.study import Run
from federated.user_code.permission import explained, is_fault

_NO_FAULTS: Mapping[str, str] = {}
_HOUR, _MB = 3600.0, 1e6
SECONDS_IN_ALL, _SECONDS_A_SETTING = 4.0, 0.5
"""About so long all probes of a study take, and each of them, at most."""
LONG_SECONDS = 60.0
"""A study that takes longer begins with its forecast."""


def forecast_study(
    runs: Sequence[Run],
    workers: int = 1,
    faults: Mapping[str, str] = _NO_FAULTS,
    default_delta: float | None = None,
    before: float | None = None,
    prices: Prices | None = None,
    seconds: float = SECONDS_IN_ALL,
) -> Forecast:
    """Probe every distinct setting of a study for some seconds in all. What fails is a caution, never an error.

    faults: what `check_runs` found, which are cautions too; these runs are not foreseen. default_delta: see `of_delta`.
    before: seconds that the study has taken so far; None where that is not known. prices: of its bill. seconds: of the
    probes in all, about; 0 for a few single steps of each, which tell the bytes and little about time.
    """
    sound = [run for run in runs if run.name not in faults]
    try:
        made = _foreseen(sound, workers, default_delta, before, seconds)
    except BaseException as error:
        if not is_fault(error):
            raise
        made = nothing_foretold(workers, len(sound), f"forecast: none, because it failed: {explained(error)}")
    priced = None if prices is None else prices.model_dump()
    return replace(made, cautions=(*of_faults(faults, runs), *made.cautions), prices=priced)


def _foreseen(
    runs: Sequence[Run],
    workers: int,
    default_delta: float | None,
    before: float | None,
    probing: float,
) -> Forecast:
    started, cost = time.perf_counter(), overheads()
    by_arm: dict[str, list[RunConfig]] = {}
    for run in runs:
        by_arm.setdefault(run.arm, []).append(run.config)
    share = min(_SECONDS_A_SETTING, probing / len({_setting(each[0]) for each in by_arm.values()}))
    probes: dict[str, Probe] = {}
    arms: list[ArmForecast] = []
    said: dict[str, list[str]] = {}
    read: list[DataRead] = []
    guaranteed: dict[str, Promise] = {}
    outputs, trunks = 0.0, dict[str, TrunkPass]()
    with cores_shared_by(workers), torch_threads(1):  # as a run is
        threads = threads_of(runs[0].config.orchestration.threads)
        for at, (arm, configs) in enumerate(by_arm.items(), 1):
            try:
                with doing(f"the forecast of {arm} ({at} of {len(by_arm)})"):
                    setup = prepare(configs[0], rehearsal=True)
                if setup.promise is not None:
                    guaranteed[arm] = setup.promise
                if setup.trunk is not None:
                    trunks[setup.trunk.digest] = setup.trunk
                read.append(data_read(setup.config.dataset.label(), setup.federation.examples))
                outputs = max(outputs, evaluation_mb(setup))
                probed = _probed(setup, probes, share)
                arms.append(_arm(arm, configs, setup, probed, cost))
                sentences = [
                    *cautions(setup),
                    *of_delta(setup, default_delta),
                    *_of_costs(arms[-1], probed),
                ]
            except BaseException as error:
                if not is_fault(error):
                    raise
                sentences = [f"forecast: not of this arm, because its probe failed: {explained(error)}"]
            for sentence in sentences:
                said.setdefault(sentence, []).append(arm)
    remembered = max((arm.client_memory_mb for arm in arms), default=0.0)
    memory = peak_mb() + not_loaded_mb() + cost.growth_mb + outputs + remembered
    several = len(by_arm) > 1 and len(runs) // len(by_arm) < FEWEST_SEEDS
    first = {arm: configs[0] for arm, configs in by_arm.items()}
    each = [arm.seconds / arm.runs for arm in arms for _ in range(arm.runs)]
    passes = sum(each.seconds for each in trunks.values())
    probed_for = time.perf_counter() - started
    known = 0.0 if before is None else before + probed_for
    around = cost.around if before is None else known + cost.rest
    seconds = in_all(each, workers, cost) + around + passes
    slowdown = slowdown_of([each.taken for each in probes.values()])
    low, high = range_of(seconds - known, cost)
    return Forecast(
        arms=tuple(arms),
        workers=workers,
        threads=threads,
        seconds=seconds,
        low_seconds=known + low,
        high_seconds=known + high * slowdown,
        around_seconds=around,
        probe_seconds=probed_for,
        memory_mb=memory,
        evaluation_mb=outputs,
        machine_mb=machine_mb(),
        overheads_measured=cost.measured,
        privacy=_guarantees(first, guaranteed),
        guarantees=tuple(promise_sentences(guaranteed, first)),
        cautions=(
            *with_arms(said, len(by_arm)),
            *([_few_seeds(len(runs) // len(by_arm))] if several else []),
            *of_memory(memory, workers),
            *of_load(slowdown),
        ),
        data=distinct_data(read),
        unforeseen=len(runs) - sum(arm.runs for arm in arms),
        trunk_seconds=passes,
        trunk_mb=sum(each.num_bytes for each in trunks.values()) / _MB,
    )


def in_all(seconds: Sequence[float], workers: int, cost: Overheads) -> float:
    """Wall time of runs of so many seconds each, so many at a time: each starts as soon as a worker is free."""
    if workers == 1:
        return sum(seconds) + cost.first_run
    busy = [cost.process + cost.first_run] * workers
    for each in seconds:
        busy[busy.index(min(busy))] += each
    return max(busy)


def _probed(setup: Setup, probes: dict[str, Probe], seconds: float) -> Probe:
    """The probe of a setup; one of another that differs in nothing that costs is taken as it is."""
    key = _setting(setup.config)
    if key not in probes:
        found = probe(setup, seconds)
        attacked = 0.0 if found.diverged else inversion_seconds(setup, initial_state(setup))
        probes[key] = replace(found, inversion_seconds=attacked)
    return probes[key]


def _setting(config: RunConfig) -> str:
    """Equal for configs whose rounds cost the same but for who holds how much."""
    free = dict.fromkeys({"seed", "partitioner", "network", "stop", "orchestration", "coalitions"}, True)
    return json.dumps(config.model_dump(mode="json", exclude={**free, "cohort": {"without"}}), sort_keys=True)


def _arm(arm: str, configs: Sequence[RunConfig], setup: Setup, probed: Probe, cost: Overheads) -> ArmForecast:
    config, runs = configs[0], len(configs)
    batches, rounds = round_batches(setup), setup.last_round
    segments = num_segments(config, rounds)
    options = config.evaluation.personalisation
    fine_tuned = 1 + (segments + 1 if options is not None and options.at == "evaluations" else 0)
    protocol, canaries = protocol_seconds(setup), canary_seconds(setup, probed.client_seconds)
    exchange = protocol.alone + canaries
    seconds, on_network = (
        probed.seconds_of_round(trained_clients(setup), batches),
        network_seconds(setup, probed),
    )
    run = (
        rounds * (seconds + exchange)
        + (segments + 2) * probed.evaluation_seconds  # the initial model, and the last one in detail
        + fine_tuned * personalisation_batches(setup) * probed.batch_seconds
        + probed.inversion_seconds
        + membership_seconds(setup, probed)
        + coalition_seconds(setup, probed)
        + segments * cost.segment
        + cost.run
    )
    sent = config.kind.has_server
    remembered = sum(most_bytes(config, setup.trainers, setup.parts, setup.model).values())
    inside, on_disk = split(remembered, bound_bytes(config.engine))
    uplink = total(uplink_bytes(setup.with_config(each), probed.uplink) for each in configs)
    downlink = total(downlink_bytes(setup.with_config(each), probed.downlink) for each in configs)
    return ArmForecast(
        arm=arm,
        runs=runs,
        rounds=rounds,
        stops=config.stop is not None,
        seconds=run * runs,
        uplink=uplink.times(sent),
        downlink=downlink.times(sent),
        network_seconds=on_network,
        client_memory_mb=inside / _MB,
        client_file_mb=on_disk / _MB,
        used=used_by(
            setup,
            rounds * (seconds + exchange),
            rounds * ((seconds + canaries) * probed.cores + protocol.processor),
            on_network,
        ),
        anchor="" if sent else config.training,
    )


def _guarantees(configs: Mapping[str, RunConfig], guaranteed: Mapping[str, Promise]) -> str:
    """What is guaranteed, mechanism by mechanism. Both by arm."""
    nothing = sorted({each.privacy.label() for arm, each in configs.items() if arm not in guaranteed})
    said = [f"no privacy guarantee, so no epsilon (privacy: {', '.join(nothing)})"] if nothing else []
    some = {f"{each.short()} (privacy: {configs[arm].privacy.label()})" for arm, each in guaranteed.items()}
    return "; ".join([*said, *sorted(some)])


def _of_costs(arm: ArmForecast, probed: Probe) -> list[str]:
    """Warnings about likely mistakes in the costs of an arm."""
    said = []
    if probed.diverged:
        said.append(f"training: a probe of a few steps did not stay finite: {probed.diverged}")
    if arm.network_seconds is not None and arm.network_seconds > _HOUR:
        said.append(
            f"network: a round takes about {arm.network_seconds / _HOUR:,.1f} hours on it, all {arm.rounds} rounds "
            f"{arm.rounds * arm.network_seconds / (24 * _HOUR):,.1f} days"
        )
    return said


def _few_seeds(seeds: int) -> str:
    return (
        f"seeds: {seeds} decide nothing between arms; a verdict needs {FEWEST_SEEDS} or more; 5 show large and "
        "steady differences, 10 smaller ones"
    )
