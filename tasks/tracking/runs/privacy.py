"""The guarantee of a run to its clients, as tags and parameters of its MLflow run."""

from federated.metrics.dictionary.privacy import not_covered
from federated.report.findings.results import OWN_MODELS, OWN_MODELS_MARK
from federated.run.clients.cohort import are_secret
from federated.run.setup import Setup
from tasks.tracking.runs import runs

_SECURE = (
    "secure: {} from a secure source, so the run cannot be repeated, and all runs are independent: who sees several "
    "has to add up their epsilons; rounds that are trained again after a failure draw anew, and count twice where "
    "scores of the first time were published"
)
_REPRODUCIBLE = (
    "reproducible: {} of the seed, so whoever knows that can subtract {}; runs of one seed share {}, in whatever else "
    "they differ, so that at most one of them may be published: two together may show what each of them hides"
)


def log_promise(run_id: str, setup: Setup) -> None:
    """The guarantee in words, the noise that was found for it, and whether its numbers are reproducible or secure."""
    tags, promise = {}, setup.promise
    if found := _numbers(setup):
        tags["privacy.numbers"] = found
    if promise is not None:
        own = setup.own_models_not_covered
        tags |= {f"privacy.{name}": text for name, text in promise.words().items()}
        tags |= {"privacy.guarantee": promise.sentence(), "privacy.not_covered": not_covered(own_models=own)}
        runs.log_parameters(
            run_id,
            {f"privacy.{name}": value for name, value in promise.parameters().items()}
            | ({OWN_MODELS: OWN_MODELS_MARK} if own else {}),
        )
    if tags:
        runs.set_tags(run_id, tags)


def _numbers(setup: Setup) -> str:
    """Whether what hides updates is reproducible or secure; empty where nothing does."""
    noise, secure = setup.config.privacy.mechanism.name != "none", setup.config.privacy.secure
    if setup.parts.transport.protocol is not None:
        what = "noise, keys and masks" if noise else "keys and masks"
        return (
            _SECURE.format(f"{what} are")
            if secure
            else _REPRODUCIBLE.format(f"{what} are functions", "them", "them")
        )
    if noise:
        hides = "noise and cohorts are" if are_secret(setup) else "noise is"
        return _SECURE.format(hides) if secure else _REPRODUCIBLE.format("noise is a function", "it", "it")
    return ""
