"""The section of a config on compression."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field

from federated.algorithms import Need
from federated.choices.choice import Choice
from federated.choices.study_paths import absolute
from federated.config.section import Frozen
from federated.extension_points.kinds import BesideChoice, CompressorChoice

_LOSSLESS = ("none", "entropy")


class Compression(Frozen):
    """The compression of updates (uplink) and of the global model (downlink)."""

    uplink: CompressorChoice = Field("none", description="Compressor of the clients' updates")
    downlink: CompressorChoice = Field(
        "none",
        description="Compressor of the model that the server sends; difference(...) sends only what changed since "
        "the model that a client has",
    )
    uplink_beside: BesideChoice = Field(
        None,
        description="Compressor of what clients send beside their updates, such as scaffold's variates; null: that of "
        "the uplink for vectors as long as the model, none for numbers and other vectors",
    )
    downlink_beside: BesideChoice = Field(
        None,
        description="Compressor of what the server sends beside the model; null: that of the downlink, none for "
        "differences and for all that is not as long as the model",
    )
    quality: bool = Field(True, description="Measure in each round what compression loses")
    dump: Annotated[Path, AfterValidator(absolute)] | None = Field(
        None, description="Folder for a file of every payload of every round; null: no files"
    )

    def label(self, tails: Mapping[str, str] | None = None) -> str:
        """Both ways as short calls; the downlink only where it is compressed. tails: what of a path is shown."""
        up, down = self.uplink.label(tails), self.downlink.label(tails)
        said = up if down == "none" else f"{up}, down {down}"
        beside = (("beside", self.uplink_beside), ("beside down", self.downlink_beside))
        return ", ".join(
            [said, *(f"{way} {codec.label(tails)}" for way, codec in beside if codec is not None)]
        )

    def beside_in_keys(self, algorithm: Choice) -> dict[str, Any]:
        """Field -> the codec of what travels beside, where it changes numbers; older keys have none.

        What a person's own algorithm sends is not known before it is built, so all that might count does.
        """
        sends, hears = _sends_and_hears(algorithm)
        found: dict[str, Any] = {}
        for field, travels, stated, usual in (
            ("uplink_beside", sends, self.uplink_beside, self.uplink),
            ("downlink_beside", hears, self.downlink_beside, self.downlink),
        ):
            as_usual = travels.vectors and usual.name != "difference"
            codec = stated or usual
            if (as_usual if stated is None else travels.anything) and codec.label() not in _LOSSLESS:
                found[field] = codec.model_dump(mode="json")
        return found


class _Travels(NamedTuple):
    """Whether vectors as long as the model travel one way beside it, and whether anything does."""

    vectors: bool
    anything: bool


def _sends_and_hears(algorithm: Choice) -> tuple[_Travels, _Travels]:
    if algorithm.own_code():
        return _Travels(True, True), _Travels(True, True)
    made = algorithm.build()
    vectors = (
        Need.UNBIASED_BESIDE in made.needs
    )  # of the product's own, those that send vectors have this need
    sends, hears = bool(made.client.sends), bool(made.client.hears)
    return _Travels(vectors and sends, sends), _Travels(vectors and hears, hears)
