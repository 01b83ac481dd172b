"""`python -m flows.installation`, the end of `make install`: makes what is the same for every home, once.

These are the tables of new MLflow and Prefect databases and the script of the report's charts, which a first study
would otherwise make: ten seconds of a processor. A home works without them.
"""

from federated.report.page.scripts import keep_vega
from flows.prefect_runtime.kept_tables import keep_tables as keep_prefect_tables
from tasks.tracking.server.store import keep_tables as keep_mlflow_tables


def keep_tables() -> None:
    """Make the databases, of the versions that are installed."""
    keep_prefect_tables()
    keep_mlflow_tables()


def main() -> None:
    """Make all of it."""
    keep_tables()
    keep_vega()


if __name__ == "__main__":
    main()
