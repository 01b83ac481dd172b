"""StudyConfig: a base run, the axes to vary, the seeds, and the resulting runs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from federated.config.anchors import Anchors
from federated.config.fields.dotted_paths import with_value
from federated.config.fields.field_names import no_such_field
from federated.config.run import RunConfig
from federated.config.section import Frozen
from federated.foundation.errors import BadInput, readable
from federated.foundation.texts import listed
from federated.study.absolute_paths import Place, anchored
from federated.study.arm_labels import Arm, LabelledArm, Overrides, as_stated, labelled, named_apart, tails_of
from federated.study.arm_labels import Run as Run
from federated.study.comparison import Comparison
from federated.study.extent import check_number_of_runs, check_size
from federated.study.further.anchors import anchors_of
from federated.study.further.bands import ExpectedBands, among, check_arms, of_other_runs
from federated.study.further.leave_one_out import LeaveOneOut, left_out_in_turn
from federated.study.further.prices import StatedPrices
from federated.study.further.sites import (
    SitesSection,
    is_rival,
    with_alone,
    with_coalitions,
    withdrawn,
    withdrawn_in_turn,
)
from federated.study.heterogeneity_axis import spelled_out
from federated.study.names import StudyName, arm_name, faults_of_arms
from federated.study.seeds import Seeds, check_seeds
from federated.study.study_file import apply_setting, content_of
from federated.study.tuning.check import check_tuning
from federated.study.tuning.section import Tuning
from federated.user_code.source import Roots, roots_of


class StudyConfig(Frozen):
    """A base run, what to vary and how often to repeat it. Every run is checked when the study is read."""

    name: StudyName = Field(description="Name of the study; its MLflow experiment")
    description: str = Field("", description="The question, in a sentence or two")
    base: RunConfig = Field(description="What all runs have in common")
    axes: dict[str, list[Any]] = Field(
        default_factory=dict,
        description="Dotted path of a field (or heterogeneity) -> its values; the study is the product of the axes",
    )
    arms: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Instead of axes: an explicit list of arms, each {dotted path: value}, and `name` where it is "
        "to have another name than its values",
    )
    seeds: Seeds = Field([0], description="Each arm runs once for each seed")
    anchors: Anchors = Field(
        (),
        description="Also train without a server, on the same data and budget: true, or a list of centralised "
        "(one model on everybody's examples) and local (each client alone); the report then says which share of "
        "the gap between the two each arm closes",
    )
    leave_one_out: LeaveOneOut = Field(
        False,
        description="Also run each arm once for each site, which then never trains: true, or a list of names; the "
        "report sums up what a site has of a model that it did not take part in",
    )
    sites: SitesSection = Field(None, description="Whether each site should join: each arm without it too")
    comparison: Comparison = Field(default_factory=Comparison, description="How arms are compared")
    prices: StatedPrices = Field(None, description="Prices of the bill, or the path of a YAML file of them")
    expect: ExpectedBands = Field(
        default_factory=dict,
        description="Arm -> metric -> [low, high], the band in which the figure is expected, ends included; a study "
        "with a figure outside fails. The figure is the mean over the seeds of the metric's final value (of an epsilon "
        "the largest). main: the metric by which arms are compared; rounds: the number of rounds done",
    )
    tuning: Tuning | None = Field(None, description="Each arm looks for its best values first, all alike")
    _roots: Roots = PrivateAttr(default=())
    _as_stated: Mapping[str, Run] = PrivateAttr(default_factory=dict)
    _unjudged: str = PrivateAttr(default="")
    _is_checked: bool = PrivateAttr(default=False)

    @model_validator(mode="wrap")
    @classmethod
    def _read_file(cls, value: Any, handler: ModelWrapValidatorHandler[StudyConfig]) -> StudyConfig:
        if isinstance(value, str | Path):
            place = Place.of_file(Path(value))
            return cls.model_validate(anchored(content_of(Path(value)), place), context=place.roots)
        return handler(anchored(value, Place.working()) if isinstance(value, Mapping) else value)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        stated = handler(schema)
        described = "Path of a YAML file, where the flow runs"
        file = {"type": "string", "title": "study file", "description": described}
        return {"anyOf": [file, stated], "title": "Study"}

    @field_validator("comparison")
    @classmethod
    def _baseline_is_named_as_its_arm(cls, comparison: Comparison) -> Comparison:
        if comparison.baseline is None:
            return comparison
        return comparison.model_copy(update={"baseline": arm_name(comparison.baseline)})

    @model_validator(mode="after")
    def _all_runs_are_valid(self, info: ValidationInfo) -> StudyConfig:
        if self._is_checked:
            return self
        self._roots = roots_of(info.context)
        if self.axes and self.arms:
            raise ValueError("state axes or arms, not both")
        if empty := [path for path, values in self.axes.items() if not values]:
            raise ValueError(f"axes.{empty[0]}: at least one value is needed")
        check_number_of_runs(self.axes, self.arms, len(self.seeds), len(self.left_out), withdrawn(self.sites))
        check_seeds(self.seeds, self.base.seed, self.arm_overrides())
        self.check()
        check_size(self.model_dump_json())
        self._is_checked = True
        return self

    def check(self) -> None:
        """Raise ValueError where there are too many runs, or an arm, of left-out sites included, does not stand."""
        check_number_of_runs(self.axes, self.arms, len(self.seeds), len(self.left_out), withdrawn(self.sites))
        if self.leave_one_out is not True:  # else not all arms are known yet
            rivals = [run.arm for run in self.runs() if is_rival(run.config, self.left_out, self.sites)]
            self.comparison.check_baseline(rivals)
        if self.leave_one_out is not True and (self.sites is None or self.sites.are_known):
            check_arms(self.expect, dict.fromkeys(run.arm for run in self.runs()))
        check_tuning(self)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The sites that are left out in turn, as far as they are known by name."""
        return self.leave_one_out if isinstance(self.leave_one_out, tuple) else ()

    def only(self, arms: Sequence[str]) -> StudyConfig:
        """The same study with these arms alone. Raises BadInput for one that it does not have."""
        by_name = {name: arm.overrides for name, arm in self.named_arms().items()}
        arms = [arm_name(arm) for arm in arms]
        if unknown := [arm for arm in arms if arm not in by_name]:
            raise BadInput(f"--arm {unknown[0]!r} is not an arm of the study; allowed: {listed(by_name)}")
        kept = [{**by_name[arm], "name": arm} for arm in by_name if arm in arms]
        rest = {"axes": {}, "arms": kept, "anchors": (), "leave_one_out": False, "sites": None}
        judged = {"comparison": self.comparison.among(arms), "expect": among(self.expect, arms)}
        tuning = {"tuning": self.tuning and self.tuning.among(arms)}
        return self.model_copy(update={**rest, **judged, **tuning})

    def without_bands(self, why: str) -> StudyConfig:
        """The same study, its figures not judged. why: what makes other runs than its bands are of."""
        study = self.model_copy(update={"expect": {}})
        study._unjudged = f"its bands are not judged, as {why} makes other runs" if self.expect else ""
        return study

    @property
    def unjudged(self) -> str:
        """Why the bands of the study file are not judged, in words; empty where they are."""
        return self._unjudged

    def runs(self) -> list[Run]:
        """Every run, arm by arm, anchors last. Raises ValueError where an arm is not valid or two are the same."""
        each = itertools.product(self.named_arms().items(), self.seeds)
        return [Run.of(arm, name, seed, at, self._as_stated) for at, ((name, arm), seed) in enumerate(each)]

    def arm_overrides(self) -> list[Overrides]:
        """The overrides of the base in each arm; one empty entry where nothing varies."""
        if self.arms:
            return self.arms
        return [
            dict(zip(self.axes, values, strict=True)) for values in itertools.product(*self.axes.values())
        ]

    def named_arms(self) -> dict[str, LabelledArm]:
        """Every arm by its name, anchors last. Raises ValueError, naming all that are not valid or are the same."""
        arms = self._stated_arms()
        tails, config_of = tails_of(arms), self._further_config
        without = withdrawn_in_turn(arms, self.sites, config_of, tails, self.name)
        left_out = left_out_in_turn(arms, self.left_out, config_of, tails, self.name)
        made = anchors_of(arms + left_out, with_alone(self.anchors, self.sites), config_of, tails, self.name)
        arms = with_coalitions(arms, self.sites) + left_out + without + made
        every = (labelled(overrides, config, tails, self.name) for overrides, config in arms)
        space = self.tuning.space_of if self.tuning else None
        return named_apart(every, space, same_runs=bool(self._as_stated))

    def take_as_stated(self, arms: Mapping[str, Run]) -> None:
        """Note how arms were stated whose values were chosen since."""
        self._as_stated = arms

    def _stated_arms(self) -> list[Arm]:
        """The arms of the study file, with their configs. Raises ValueError, naming all that are not valid."""
        arms, faults = list[Arm](), dict[str, list[str]]()
        for overrides in self.arm_overrides():
            try:
                arms.append((overrides, self.config_of(overrides)))
            except ValueError as error:
                faults.setdefault(str(error), []).append(as_stated(overrides))
        if faults:
            raise ValueError(faults_of_arms(faults) if any(map(any, faults.values())) else next(iter(faults)))
        return arms

    def _further_config(self, overrides: Overrides) -> RunConfig:
        """The config of an arm that the study file does not state. Raises ValueError, naming the arm."""
        try:
            return self.config_of(overrides)
        except ValueError as error:
            raise ValueError(faults_of_arms({str(error): [as_stated(overrides)]})) from error

    def config_of(self, overrides: Overrides) -> RunConfig:
        """The config of an arm, with the lowest seed. Raises ValueError."""
        stated = {path: value for path, value in overrides.items() if path != "name"}
        if not isinstance(name := overrides.get("name", ""), str):
            raise ValueError(f"arms: a name is text, got {name!r}")
        config = self.base.model_dump(mode="json")
        try:
            changes = spelled_out(config, stated)
            for path in sorted(changes, key=lambda path: path.count(".")):
                config = with_value(config, path, changes[path])
            # Nothing but its sign depends on the seed, and to read ten thousand configs takes a minute.
            config["seed"] = min(self.seeds)
            return RunConfig.model_validate(config, context=self._roots)
        except ValidationError as error:
            raise ValueError(readable(error, no_such=no_such_field(RunConfig))) from error


def read_study(path: Path, settings: Sequence[str] = (), seeds: Sequence[int] | None = None) -> StudyConfig:
    """Read a study file. Raises BadInput with one line for each thing that is wrong.

    settings: `dotted.path=value` each, applied to the base run; value is YAML, and a path in it is relative to the
    working folder, as everywhere on a command line. seeds: instead of the file's.
    Where these make other runs than the file's, its bands are not judged (`unjudged`). Modules of the person's own are
    looked for beside the file and in the working folder; none is run.
    """
    try:
        content = content_of(path)
        unjudged = of_other_runs(settings, seeds, content.get("seeds", [0]))
        if seeds is not None:
            content["seeds"] = list(seeds)
        for setting in settings:
            apply_setting(content, setting, StudyConfig.model_fields.keys() - RunConfig.model_fields.keys())
        place = Place.of_file(path)
        study = StudyConfig.model_validate(anchored(content, place), context=place.roots)
        return study.without_bands(unjudged) if unjudged else study
    except ValidationError as error:
        raise BadInput(f"{path}:\n{readable(error, no_such=no_such_field(StudyConfig))}") from error
