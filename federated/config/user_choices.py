"""The choices of a run that are the user's own code."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from federated.choices.choice import Choice
from federated.config.run import RunConfig
from federated.extension_points.compatibility import check_together
from federated.foundation.errors import OwnCodeFailed
from federated.user_code.source import Roots


def own_code(config: RunConfig) -> dict[str, str]:
    """The person's own code that a run uses: name -> digest of its source; empty for most runs."""
    return {name: digest for _, choice in _choices(config) for name, digest in choice.own_code().items()}


def roots_in(config: RunConfig) -> Roots:
    """The folders in which a run's own modules were found; () where it has none."""
    return next((choice._roots for _, choice in _choices(config) if choice.own_code()), ())


def check_own_code(config: RunConfig) -> None:
    """Import the person's own code and make from it what the run needs.

    Raises OwnCodeFailed where it is not there, fails, does not take what is stated or does not go with the rest: all
    that is known only once it runs, and of this run alone.
    """
    for field, choice in _choices(config):
        if choice.own_code():
            try:
                choice.build()
            except ValueError as error:
                raise OwnCodeFailed(f"{field}: {error}") from error
    if own_code(config):
        try:
            check_together(config.parts(), run_own_code=True)
        except ValueError as error:
            raise OwnCodeFailed(str(error)) from error


def _choices(part: BaseModel, path: str = "") -> Iterator[tuple[str, Choice]]:
    """Every choice of a config, by its field."""
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, BaseModel) and not isinstance(value, Choice):
            yield from _choices(value, f"{path}{name}.")
        several = value if isinstance(value, tuple) else (value,)
        yield from ((f"{path}{name}", each) for each in several if isinstance(each, Choice))
