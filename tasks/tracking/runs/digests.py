"""Tags that say on which data a run is, and from which pretrained weights it starts."""

from __future__ import annotations

from federated.config.run import RunConfig
from federated.federation.federation import Federation


def digest_tags(config: RunConfig, federation: Federation) -> dict[str, str]:
    """The digests of the data, of who holds what, and of pretrained models where the run starts from some."""
    found = {"data_digest": federation.data_digest, "partition_digest": federation.partition_digest}
    return found | weights_tag(config)


def weights_tag(config: RunConfig) -> dict[str, str]:
    """The digests of the pretrained models that a run starts from, as a tag; none where it starts from none."""
    found = config.weights_digests()
    return (
        {"weights_digest": ", ".join(f"{field} {digest}" for field, digest in found.items())} if found else {}
    )
