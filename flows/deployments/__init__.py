"""Studies on a Prefect server that stays: artifacts, automations, the tags of flow runs."""
