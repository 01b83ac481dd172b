"""The flows on registered models: batch scoring, and the promotion of champions. Deployments in prefect.yaml."""

from pathlib import Path

from prefect import flow
from prefect.logging import get_run_logger

from federated.foundation.masking import mask_logs, masked_errors
from tasks.tracking.delivery.messages import show_with
from tasks.tracking.models.scoring import score_file
from tasks.tracking.server.access import require_store
from tasks.tracking.studies.champion import promote


@flow(name="promote-champion")
def promote_champion(model: str | None = None) -> dict[str, str]:
    """Decide again whether challengers take the place of their champions: registered model -> the decision.

    model: a registered model; None: all of studies that have a challenger. The alias champion moves where the paired
    comparison says better, on the same data and question.
    """
    mask_logs()
    with masked_errors():
        show_with(get_run_logger().info)
        require_store()
        decisions = promote(model)
        for name, decision in decisions.items():
            get_run_logger().info("%s: %s", name, decision)
    return decisions


@flow(name="score")
def score(model: str, rows: Path, out: Path = Path("predictions.csv")) -> int:
    """Write the predictions of a model for the rows of a file; the number of rows. See `score_file`."""
    mask_logs()
    with masked_errors():
        require_store()
        return score_file(model, rows, out, get_run_logger().warning)
