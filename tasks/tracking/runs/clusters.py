"""The clusters of a run's clients after each evaluation, as tables in MLflow."""

from __future__ import annotations

import json

from federated.evaluation.clusters import cluster_table
from federated.run.course import Course
from federated.run.setup import Setup
from federated.segments import OnCourse
from federated.user_code.containment import own_code_named
from tasks.tracking.runs.runs import log_files


def with_clusters(run_id: str, setup: Setup, keep: OnCourse) -> OnCourse:
    """An observer that logs `clusters/round_000010.json` before it keeps the course, where the server has several
    models; else `keep` itself."""
    if setup.parts.algorithm.clusters is None:
        return keep

    def logged(course: Course) -> None:
        with own_code_named(setup.config):
            table = cluster_table(course.state, setup)
        rows = [list(row) for row in zip(*table.values(), strict=True)]
        content = json.dumps({"columns": list(table), "data": rows})
        log_files(run_id, {f"clusters/round_{course.round:06d}.json": content})
        keep(course)

    return logged
