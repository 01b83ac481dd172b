"""The sites that a study leaves out in turn, known once its data are read."""

from __future__ import annotations

import numpy as np

from federated.config.run import RunConfig
from federated.federation.federation import Federation, partition_clients
from federated.federation.held_out import no_such_client
from federated.foundation.errors import BadInput
from federated.foundation.limits import MOST_SITES_LEFT_OUT
from federated.study.study import StudyConfig


def with_sites(study: StudyConfig) -> StudyConfig:
    """The study with the names of the sites that are left out in turn; as it is where none are.

    Reads the data and divides them, with the first seed. Raises BadInput where sites have no names, are not there, are
    too many, or are others in another arm.
    """
    if not study.leave_one_out:
        return study
    plain = {run.arm: run.config for run in reversed(study.runs()) if not run.config.holdout.unseen_clients}
    found = {arm: _sites_of(config) for arm, config in reversed(plain.items())}
    first, sites = next(iter(found.items()))
    if isinstance(study.leave_one_out, tuple):
        if unknown := [site for site in study.leave_one_out if site not in sites]:
            raise BadInput(f"leave_one_out: {no_such_client(unknown[0], sites)}")
        return study
    if other := [arm for arm, theirs in found.items() if theirs != sites]:
        raise BadInput(
            f"leave_one_out: true: the arms {first!r} and {other[0]!r} have different sites; name those to leave out, "
            "such as leave_one_out: [" + ", ".join(sites[:2]) + "]"
        )
    if len(sites) > MOST_SITES_LEFT_OUT:
        raise BadInput(
            f"leave_one_out: true: {len(sites):,} sites would be {len(sites):,} more arms; at most "
            f"{MOST_SITES_LEFT_OUT} are allowed: name some, such as leave_one_out: [{', '.join(sites[:2])}], or state "
            "holdout.unseen_clients, a number"
        )
    expanded = study.model_copy(update={"leave_one_out": sites})
    try:
        expanded.check()
    except ValueError as error:
        raise BadInput(str(error)) from error
    return expanded


def _sites_of(config: RunConfig) -> tuple[str, ...]:
    """The names of the clients that hold examples. Raises BadInput where they are numbers that mean nothing."""
    federation = partition_clients(config)
    names, whole = federation.whole.names, federation.whole
    if _are_numbers_alone(federation):
        raise BadInput(
            f"leave_one_out: {config.partitioner.label()} numbers its clients, and a number is no site; divide by a "
            "column of sites (`client`, with partitioner: by_client), or state holdout.unseen_clients, a number"
        )
    sites = tuple(name for name, size in zip(names, whole.sizes.tolist(), strict=True) if size)
    if len(sites) < 2:
        raise BadInput(f"leave_one_out: there is one site, {sites[0]!r}; at least 2 are needed")
    return sites


def _are_numbers_alone(federation: Federation) -> bool:
    names, ids = federation.whole.names, federation.examples.client_ids
    if names != tuple(map(str, range(len(names)))):
        return False
    return ids is None or not set(names) <= set(map(str, np.unique(ids).tolist()))
