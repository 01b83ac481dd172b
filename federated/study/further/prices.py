"""The prices of a bill: `prices: {currency: EUR, gb_up: 0.02, ...}` beside `seeds`, or a YAML file of the same.

They change no run: the quantities that runs have logged are priced when a study is compared, with the prices of then.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, NonNegativeFloat, ValidationError

from federated.config.section import Frozen
from federated.foundation.errors import BadInput, readable
from federated.study.study_file import content_of


class Prices(Frozen):
    """What a bill is priced by. What is not stated costs nothing and is not shown as money."""

    currency: str = Field("", max_length=20, description="The unit of money of all prices, such as EUR")
    gb_up: NonNegativeFloat | None = Field(
        None, description="Money a GB (10^9 bytes) that clients send, raw data included"
    )
    gb_down: NonNegativeFloat | None = Field(None, description="Money a GB (10^9 bytes) that clients receive")
    core_hour: NonNegativeFloat | None = Field(
        None,
        description="Money an hour of a processor core; a rented one's price mostly has its electricity in it",
    )
    gpu_hour: NonNegativeFloat | None = Field(None, description="Money an hour of a GPU")
    kwh: NonNegativeFloat | None = Field(None, description="Money a kWh of electricity")
    co2_per_kwh: NonNegativeFloat | None = Field(None, description="kg of CO2 a kWh of electricity")
    watts_per_core: NonNegativeFloat | None = Field(
        None,
        description="Watts that a busy core takes; energy is computed from it where the machine does not measure it",
    )
    watts_per_gpu: NonNegativeFloat | None = Field(None, description="Watts that a busy GPU takes")


def prices_in(path: Path, before: tuple[Path, ...] = ()) -> Prices:
    """The prices in a YAML file: of a study that has `prices`, or the prices themselves. Raises BadInput.

    before: the files that were read on the way to this one, each of which names the next.
    """
    if path.resolve() in before:
        raise BadInput(f"prices: {path} names itself, by way of {' and '.join(map(str, before))}")
    content = content_of(path, "file of prices", "prices, such as gb_up: 0.02")
    stated = content.get("prices") if {"prices", "base"} & content.keys() else content
    if stated is None:
        raise BadInput(f"{path} states no prices: it is a study without `prices`")
    try:
        if not isinstance(stated, str):
            return Prices.model_validate(stated)
        return prices_in(path.parent / Path(stated).expanduser(), (*before, path.resolve()))
    except ValidationError as error:
        raise BadInput(f"{path}: {readable(error)}") from error


def told_apart(file: Path, prices: Prices | None) -> str:
    """The name of a file of prices with a digest of what it states: others may have the name, or it other prices."""
    stated = "" if prices is None else prices.model_dump_json()
    return f"{file.stem}-{hashlib.sha256(stated.encode()).hexdigest()[:8]}"


def _stated(value: Any) -> Any:
    """`null` is no prices; a text is the path of a file."""
    return prices_in(Path(value)) if isinstance(value, str) else value


StatedPrices = Annotated[Prices | None, BeforeValidator(_stated)]
"""Of a study: its prices, or the path of a file that has them."""
