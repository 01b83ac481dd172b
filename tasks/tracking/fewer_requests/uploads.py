"""A folder into the artifacts of a run or model. A server takes a request for each file, so several travel at once."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

_AT_A_TIME = 4


def upload(to: ArtifactRepository, folder: Path) -> None:
    """Send all files of a folder. After an error, which is raised, no other file is begun."""
    files = sorted(each for each in folder.rglob("*") if each.is_file())
    if not isinstance(to, HttpArtifactRepository) or len(files) == 1:
        to.log_artifacts(str(folder))  # type: ignore[no-untyped-call]
        return

    def send(file: Path) -> None:
        below = file.parent.relative_to(folder).as_posix()
        to.log_artifact(str(file), None if below == "." else below)  # type: ignore[no-untyped-call]

    threads = ThreadPoolExecutor(_AT_A_TIME, "mlflow-files")
    sent = [threads.submit(send, file) for file in files]
    try:
        wait(sent, return_when=FIRST_EXCEPTION)
    finally:
        threads.shutdown(cancel_futures=True)
    for each in sent:
        if not each.cancelled():
            each.result()
