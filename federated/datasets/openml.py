"""Tables from openml.org, kept on disk once fetched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from federated.examples.examples import Examples, bad_data
from federated.examples.tables.frame import examples_of_frame
from federated.examples.tables.roles import Roles
from federated.machine.folders import home


def openml(
    name_or_id: str | int, version: int | None = None, target: str | None = None, client: str | None = None
) -> Callable[[], Examples]:
    """A data set of OpenML (Vanschoren et al. 2013, "OpenML"), preprocessed as a `table` is.

    name_or_id: the name, as in `adult`, or the number in https://www.openml.org/d/1590.
    version: of that name; unless stated, the oldest one that is active. An id has no versions.
    target: the column to predict; unless stated, the one that OpenML proposes.
    client: the column that says who holds each row.

    Cached under `$FEDSTUDY_HOME/datasets` (`var/datasets`); from then on no network is needed.
    """
    is_id = str(name_or_id).isdecimal()
    if not str(name_or_id):
        raise ValueError("name_or_id must be a name or a number, got ''")
    if is_id and version is not None:
        raise ValueError(f"version must not be stated for an id, got {version} for the id {name_or_id}")
    if version is not None and version < 1:
        raise ValueError(f"version must be at least 1, got {version}")
    Roles(target, client)
    which = (
        {"data_id": int(name_or_id)} if is_id else {"name": str(name_or_id), "version": version or "active"}
    )

    def load() -> Examples:
        bunch = _fetched(which, target)
        url = str(bunch.get("url") or f"openml:{name_or_id}")
        roles = Roles(_target_of(bunch, target), client)
        return examples_of_frame(bunch.frame, roles, "openml", f"{name_or_id} of OpenML", source=url)

    return load


def _fetched(which: dict[str, Any], target: str | None) -> Any:
    from sklearn.datasets import fetch_openml

    cache = home() / "datasets"
    wanted = ", ".join(f"{key} {value}" for key, value in which.items())
    try:
        return fetch_openml(
            **which, target_column=target or "default-target", as_frame=True, data_home=str(cache)
        )
    except OSError as error:
        raise bad_data(
            "openml",
            f"{wanted} could not be fetched: {error}; without a network only what is already cached in "
            f"{cache} can be used",
        ) from error
    except (ValueError, KeyError) as error:
        raise bad_data("openml", f"{wanted}: {error}") from error


def _target_of(bunch: Any, target: str | None) -> str:
    proposed = [target] if target is not None else list(bunch.target_names)
    if len(proposed) != 1:
        columns = ", ".join(map(str, bunch.frame.columns))
        raise bad_data(
            "openml", f"OpenML proposes {len(proposed)} target columns; state `target`, one of: {columns}"
        )
    return str(proposed[0])
