"""Tags that say on which data a run is, and from which weights it starts."""

from __future__ import annotations

from federated.run.setup import Setup


def digest_tags(setup: Setup) -> dict[str, str]:
    """The digests of the data, of who holds what, and of weights where the run starts from some that are not random."""
    held = setup.federation
    found = {"data_digest": held.data_digest, "partition_digest": held.partition_digest}
    return found | weights_tag(setup)


def weights_tag(setup: Setup) -> dict[str, str]:
    """The digests of the weights that a run starts from, as a tag; none where it starts from random ones alone."""
    found = setup.weights_digests
    return (
        {"weights_digest": ", ".join(f"{field} {digest}" for field, digest in found.items())} if found else {}
    )
