"""The sites of a study, known once its data are read: those that are left out in turn, and those that are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from federated.config.run import RunConfig
from federated.examples.duplicates import shares_copied
from federated.federation.federation import Federation, partition_clients
from federated.federation.held_out import no_such_client
from federated.foundation.errors import BadInput
from federated.foundation.limits import MOST_SITES_JUDGED, MOST_SITES_LEFT_OUT
from federated.study.study import StudyConfig

A_COPY = 0.9
"""The share of a site's examples that another site holds too (`shares_copied`), from which it counts as a copy."""


def with_sites(study: StudyConfig) -> StudyConfig:
    """The study with the names of the sites that are left out or withdraw in turn; as it is where none do.

    Reads the data and divides them, with the first seed. Raises BadInput where sites have no names, are not there, are
    too many, or are others in another arm.
    """
    return _with_judged(_with_left_out(study))


def copies_of_each_other(federation: Federation) -> list[tuple[str, ...]]:
    """The groups of participating clients that are linked by copies: nine of ten examples of one are another's too.

    By the inputs alone, as they were loaded, of all that clients hold: whoever mislabels copies holds them too.
    """
    names = federation.whole.names
    linked = shares_copied(federation.examples.hashes, federation.whole.indices) >= A_COPY
    group = list(range(len(names)))
    for one, other in np.argwhere(linked).tolist():
        group = [group[one] if each == group[other] else each for each in group]
    members = [
        tuple(name for name, mine in zip(names, group, strict=True) if mine == each)
        for each in dict.fromkeys(group)
    ]
    taking_part = set(federation.names)
    return [each for each in members if len(each) > 1 and taking_part.issuperset(each)]


def copied_from(federation: Federation) -> dict[str, list[Any]]:
    """Columns of the table of participating clients: the client that each is a copy of, and the share that is copied.

    None where a client is no copy, by the same rule.
    """
    whole = federation.whole
    shares = shares_copied(federation.examples.hashes, whole.indices)
    of = dict(zip(whole.names, shares, strict=True))
    columns: dict[str, list[Any]] = {"copy_of": [], "copied_share": []}
    for name in federation.names:
        most = int(of[name].argmax())
        is_copy = of[name][most] >= A_COPY
        columns["copy_of"].append(whole.names[most] if is_copy else None)
        columns["copied_share"].append(float(of[name][most]) if is_copy else None)
    return columns


def _with_left_out(study: StudyConfig) -> StudyConfig:
    if not study.leave_one_out:
        return study
    plain = {run.arm: run.config for run in reversed(study.runs()) if not run.config.holdout.unseen_clients}
    found = {arm: _sites_of("leave_one_out", config) for arm, config in reversed(plain.items())}
    if isinstance(study.leave_one_out, tuple):
        _check_known("leave_one_out", study.leave_one_out, next(iter(found.values())))
        return study
    sites = _common("leave_one_out: true", found, "those to leave out", "leave_one_out: [{}]")
    if len(sites) > MOST_SITES_LEFT_OUT:
        raise BadInput(
            f"leave_one_out: true: {len(sites):,} sites would be {len(sites):,} more arms; at most "
            f"{MOST_SITES_LEFT_OUT} are allowed: name some, such as leave_one_out: [{', '.join(sites[:2])}], or state "
            "holdout.unseen_clients, a number"
        )
    return _checked(study, {"leave_one_out": sites})


def _with_judged(study: StudyConfig) -> StudyConfig:
    if study.sites is None:
        return study
    arms = {
        run.arm: run.config
        for run in reversed(study.runs())
        if run.config.kind.has_server and run.config.cohort.without is None
    }
    plain = {arm: config for arm, config in reversed(arms.items()) if not _is_left_out(study, config)}
    if not plain:
        raise BadInput("sites: no arm of this study has a server, so that there is nothing to join")
    found = {arm: _sites_of("sites", config) for arm, config in plain.items()}
    names, together = study.sites.names, study.sites.together
    if names is None:
        names = _common("sites", found, "those to judge", "sites: {{names: [{}]}}")
    _check_known("sites.names", names, next(iter(found.values())))
    for group in together or ():
        _check_known("sites.together", group, next(iter(found.values())))
    if len(names) > MOST_SITES_JUDGED:
        raise BadInput(
            f"sites: {len(names):,} sites would be {len(names):,} more arms for each arm; at most "
            f"{MOST_SITES_JUDGED} are allowed: name some, such as sites: {{names: [{', '.join(names[:2])}]}}"
        )
    if together is None:
        linked = copies_of_each_other(partition_clients(next(iter(plain.values()))))
        together = tuple(group for group in linked if set(names).issuperset(group))
        together = tuple(group for group in together if len(group) < len(next(iter(found.values()))))
    if study.sites.are_known:
        return study
    return _checked(study, {"sites": study.sites.model_copy(update={"names": names, "together": together})})


def _is_left_out(study: StudyConfig, config: RunConfig) -> bool:
    return config.holdout.unseen_clients in [(site,) for site in study.left_out]


def _checked(study: StudyConfig, update: Mapping[str, Any]) -> StudyConfig:
    expanded = study.model_copy(update=update)
    try:
        expanded.check()
    except ValueError as error:
        raise BadInput(str(error)) from error
    return expanded


def _check_known(field: str, names: Sequence[str], sites: Sequence[str]) -> None:
    if unknown := [name for name in names if name not in sites]:
        raise BadInput(f"{field}: {no_such_client(unknown[0], sites)}")


def _common(stated: str, found: Mapping[str, tuple[str, ...]], whom: str, example: str) -> tuple[str, ...]:
    """The sites of every arm. Raises BadInput where they differ. whom, example: what to name instead, and how."""
    first, sites = next(iter(found.items()))
    if other := [arm for arm, theirs in found.items() if theirs != sites]:
        raise BadInput(
            f"{stated}: the arms {first!r} and {other[0]!r} have different sites; name {whom}, such as "
            + example.format(", ".join(sites[:2]))
        )
    return sites


def _sites_of(field: str, config: RunConfig) -> tuple[str, ...]:
    """The names of the clients that hold examples. Raises BadInput where they are numbers that mean nothing."""
    federation = partition_clients(config)
    if _are_numbers_alone(federation):
        raise BadInput(
            f"{field}: {config.partitioner.label()} numbers its clients, and a number is no site; divide by a "
            "column of sites (`client`, with partitioner: by_client), or state holdout.unseen_clients, a number"
        )
    whole = federation.whole
    kept = set(federation.names)
    sites = tuple(
        name for name, size in zip(whole.names, whole.sizes.tolist(), strict=True) if size and name in kept
    )
    if len(sites) < 2:
        raise BadInput(f"{field}: there is one site, {sites[0]!r}; at least 2 are needed")
    return sites


def _are_numbers_alone(federation: Federation) -> bool:
    names, ids = federation.whole.names, federation.examples.client_ids
    if names != tuple(map(str, range(len(names)))):
        return False
    return ids is None or not set(names) <= set(map(str, np.unique(ids).tolist()))
