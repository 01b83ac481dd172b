"""The guarantee of a run to its clients, as tags and parameters of its MLflow run."""

from federated.metrics.dictionary.privacy import NOT_COVERED
from federated.run.setup import Setup
from tasks.tracking.runs import runs

_SECURE = "secure: noise is from a secure source, so the run cannot be repeated"
_REPRODUCIBLE = "reproducible: noise is a function of the seed, so whoever knows that can subtract it"


def log_promise(run_id: str, setup: Setup) -> None:
    """The guarantee in words, the noise that was found for it, and whether its numbers are reproducible or secure."""
    tags, promise = {}, setup.promise
    if setup.config.privacy.mechanism.name != "none":
        tags["privacy.numbers"] = _SECURE if setup.config.privacy.secure else _REPRODUCIBLE
    if promise is not None:
        tags |= {f"privacy.{name}": text for name, text in promise.words().items()}
        tags |= {"privacy.guarantee": promise.sentence(), "privacy.not_covered": NOT_COVERED}
        runs.log_parameters(
            run_id, {f"privacy.{name}": value for name, value in promise.parameters().items()}
        )
    if tags:
        runs.set_tags(run_id, tags)
