"""`./fedstudy init`: a first study file for a person's data."""

import os
import shlex
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from federated.draft import Draft, LookedAt, drafted, look_at
from federated.foundation.doing import doing
from federated.foundation.errors import BadInput
from federated.machine.files import whole
from federated.run.checks import check_runs
from federated.study.absolute_paths import Place, anchored
from federated.study.names import is_study_name
from federated.study.study import StudyConfig
from federated.study.yaml_values import values_of
from flows.terminal.screen import Screen


def write_draft(
    data: Path, target: str | None, client: str | None, out: Path | None, force: bool, screen: Screen
) -> None:
    """Write a study file on this data, and say what was guessed. Raises BadInput, and then leaves nothing behind.

    out: the study file; unless stated, it has the name of the data and lies in the working folder. force: replace it
    where it is there.
    """
    if not data.exists():
        raise BadInput(f"{data}: there is no such file or folder")
    name = _study_name(data)
    file = Path(f"{name}.yaml") if out is None else out
    if file.exists() and not force:
        raise BadInput(f"{file} is there already; --force replaces it, --out writes another file")
    if not file.parent.is_dir():
        raise BadInput(f"--out {file}: there is no folder {file.parent}")
    path = _path_from(file.parent, data)
    with doing(f"looking at {data.name}"):
        found = look_at(data, target, client)
    draft = _checked(found, partial(drafted, name=name, path=path, file=str(file)), file)
    with whole(file) as written:
        written.write_text(draft.text, encoding="utf-8")
    _say(file, draft, screen)


def _checked(found: LookedAt, draft: Callable[[LookedAt], Draft], file: Path) -> Draft:
    """The draft, once every run of it has been prepared; without a rule of time where the dates do not allow one."""
    made = draft(found)
    try:
        _check(made, file)
    except BadInput as error:
        if found.dates is None:
            raise
        said = f"examples are held out at random, not by {found.dates!r}: {error}"
        made = draft(replace(found, dates=None, warnings=(*found.warnings, said)))
        _check(made, file)
    return made


def _check(draft: Draft, file: Path) -> None:
    """Check every run of the study as if it stood in the file."""
    place = Place.of_file(file)
    study = StudyConfig.model_validate(anchored(values_of(draft.text), place), context=place.roots)
    check_runs(study.runs())


def _say(file: Path, draft: Draft, screen: Screen) -> None:
    for guess in draft.guesses:
        screen.print(str(guess), soft_wrap=True, style="yellow" if guess.certainty == "a guess" else None)
    for warning in draft.warnings:
        screen.print(f"warning: {warning}", style="yellow", soft_wrap=True)
    shown = shlex.quote(str(file))
    screen.print(
        f"wrote {file.absolute()}; next: ./fedstudy preview {shown}, then ./fedstudy run {shown}",
        soft_wrap=True,
    )


def _study_name(data: Path) -> str:
    """The file's name without its endings, as far as a study can have it."""
    stem = data.resolve().name.partition(".")[0]
    kept = "".join(one if is_study_name(f"a{one}") else "_" for one in stem).strip(" _.-")
    return kept if is_study_name(kept) else "my_study"


def _path_from(folder: Path, data: Path) -> str:
    """The path of the data as a study file in this folder has it: relative where they lie side by side."""
    inside = data.resolve().is_relative_to(folder.resolve())
    return os.path.relpath(data.resolve(), folder.resolve()) if inside else str(data.resolve())
