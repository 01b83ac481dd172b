"""The field `workers` of a study that is run: a number of processes here, or a Prefect work pool."""

from federated.foundation.errors import BadInput

Workers = int | str
"""A number, or `pool:NAME`."""
_POOL = "pool:"


def workers_in(text: Workers) -> Workers:
    """The number or the pool that is written. Raises BadInput."""
    if isinstance(text, str) and text.startswith(_POOL) and text.removeprefix(_POOL).strip():
        return f"{_POOL}{text.removeprefix(_POOL).strip()}"
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1 or isinstance(text, bool):
        raise BadInput(
            f"workers: {text!r} must be a number of runs at a time, at least 1, or pool:NAME with the name of a "
            "Prefect work pool"
        )
    return count


def pool_named(workers: Workers) -> str | None:
    """The name of the work pool; None for a number of processes."""
    return workers.removeprefix(_POOL) if isinstance(workers, str) else None
