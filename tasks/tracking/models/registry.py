"""The MLflow Model Registry: versions of a study's models, and the aliases champion and challenger."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

from federated.foundation.errors import BadInput
from tasks.tracking.delivery.logged_model import delivered_model
from tasks.tracking.server.store import connect

CHAMPION, CHALLENGER = "champion", "challenger"
LONGEST_DESCRIPTION = 5000
"""What MLflow's tables hold."""
_KIND = "fedstudy.kind"


def logged_model_of(run_id: str) -> str | None:
    """The id of the model that a run logged; None where it logged none."""
    if (known := delivered_model(run_id)) is not None:
        return known
    outputs = connect().get_run(run_id).outputs
    return outputs.model_outputs[0].model_id if outputs is not None and outputs.model_outputs else None


def register(
    name: str, run_id: str, model_id: str, tags: Mapping[str, str], description: str
) -> ModelVersion:
    """The version of the registered model `name` that is this run's model, made unless it is there.

    Raises BadInput as `require_ours` does.
    """
    client = connect()
    is_new = _make_sure_of(client, name)
    found = [] if is_new else client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    for version in found:
        for key, value in tags.items():
            client.set_model_version_tag(name, version.version, key, value)
        return client.update_model_version(name, version.version, description[:LONGEST_DESCRIPTION])
    return client.create_model_version(
        name,
        source=f"models:/{model_id}",
        run_id=run_id,
        model_id=model_id,
        tags=dict(tags),
        description=description[:LONGEST_DESCRIPTION],
    )


def require_ours(name: str) -> None:
    """Raise BadInput where a registered model is not one of fedstudy's: its aliases are somebody else's."""
    if _KIND not in connect().get_registered_model(name).tags:
        raise BadInput(
            f"the registered model {name!r} in MLflow is not fedstudy's; rename the study or that model, or set its "
            f"tag {_KIND} to model"
        )


def version_with(name: str, alias: str) -> ModelVersion | None:
    """The version that has an alias; None where none has."""
    try:
        return connect().get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def give(alias: str, version: ModelVersion, decision: str) -> None:
    """Give a version an alias, and the reason as its tag `decision`. The alias comes last, when all else is there."""
    client = connect()
    client.set_model_version_tag(version.name, version.version, "decision", decision)
    if alias == CHAMPION and _is(version_with(version.name, CHALLENGER), version):
        client.delete_registered_model_alias(version.name, CHALLENGER)
    client.set_registered_model_alias(version.name, alias, version.version)


def models_of_studies() -> list[RegisteredModel]:
    """The registered models of studies, by name; of very many the first thousand."""
    found = connect().search_registered_models(f"tags.`{_KIND}` = 'model'", max_results=1000)
    return sorted(found, key=lambda model: model.name)


def names_with_challengers() -> list[str]:
    """The registered models of studies of which a version waits as challenger."""
    return [model.name for model in models_of_studies() if CHALLENGER in model.aliases]


def _make_sure_of(client: MlflowClient, name: str) -> bool:
    """A registered model of ours; whether it is new."""
    try:
        client.create_registered_model(name, tags={_KIND: "model"})
        return True
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    require_ours(name)
    return False


def _is(one: ModelVersion | None, other: ModelVersion) -> bool:
    return one is not None and one.version == other.version
