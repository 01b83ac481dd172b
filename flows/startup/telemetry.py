"""No library tells its makers what is done here: the settings of all of them, set before any of them is imported.

What a person has set wins. Child processes, Ray's among them, inherit the settings.
"""

import os

SWITCHED_OFF = {
    "DO_NOT_TRACK": "1",  # MLflow, Prefect, and whichever library follows the custom
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def switch_telemetry_off() -> None:
    """Put the settings into the environment, where they are not set."""
    for name, value in SWITCHED_OFF.items():
        os.environ.setdefault(name, value)
