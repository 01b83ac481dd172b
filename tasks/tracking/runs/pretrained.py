"""The pretrained models from which a run starts, as MLflow has them."""

from __future__ import annotations

from federated.config.run import RunConfig


def weights_tag(config: RunConfig) -> dict[str, str]:
    """The digests of the pretrained models that a run starts from, as a tag; none where it starts from none."""
    found = config.weights_digests()
    return (
        {"weights_digest": ", ".join(f"{field} {digest}" for field, digest in found.items())} if found else {}
    )
