"""The outcome of a study as DataFrames, sentences and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.tracking.studies.comparison import StudyOutcome


@dataclass(frozen=True)
class Picture:
    """A picture of the report, which a notebook shows. png: the file's content."""

    title: str
    png: bytes

    def save(self, path: str | Path) -> Path:
        """Write the PNG file. Returns its path."""
        file = Path(path)
        file.write_bytes(self.png)
        return file

    def _repr_png_(self) -> bytes:
        return self.png

    def __repr__(self) -> str:
        return f"Picture({self.title!r}, {len(self.png):,} bytes of PNG)"


@dataclass(frozen=True, repr=False)
class Outcome:
    """The outcome of one study, or of several that were compared. A notebook shows its verdict.

    of: what it is made from, with all that the report says.
    """

    of: StudyOutcome

    @property
    def verdict(self) -> list[str]:
        """The answer in sentences, the most important first."""
        return list(self.of.found.verdict)

    @property
    def runs(self) -> DataFrame:
        """One row a run: its arm, seed, state, what its arm changes, and the final value of every metric."""
        from flows.notebook.frames import runs_frame

        return runs_frame(self.of.results)

    @property
    def arms(self) -> DataFrame:
        """One row an arm: mean and standard deviation over seeds of every final metric, as `comparison.json` has it."""
        from flows.notebook.frames import arms_frame

        return arms_frame(self.of.found)

    @property
    def verdicts(self) -> DataFrame:
        """One row an arm, against the baseline: difference, 95 % interval, p, verdict; see `paired.json`."""
        from flows.notebook.frames import verdicts_frame

        return verdicts_frame(self.of.found)

    @property
    def clients(self) -> DataFrame:
        """One row a client of a finished run: sizes, and scores of the final model on its own held-out examples.

        Empty where clients keep no examples, see `holdout.client`.
        """
        from flows.notebook.frames import clients_frame

        return clients_frame(self.of.results)

    @property
    def questions(self) -> DataFrame:
        """One row a question, arm and anchor: the arm's score, the anchor's, difference, 95 % interval, verdict.

        The questions are "One model for everybody" and "Better than what each site has alone"; empty without anchors.
        """
        from flows.notebook.frames import questions_frame

        return questions_frame(self.of.found)

    @property
    def sites(self) -> DataFrame:
        """One row a site and arm, where the clients are those of the data: its score, and its gain over being alone.

        The same as `sites.json`; empty where a study makes clients up.
        """
        from flows.notebook.frames import sites_frame

        return sites_frame(self.of.found)

    @property
    def tuning(self) -> DataFrame:
        """One row a trial of an arm that was tuned: values, score and end, what it cost, and whether the arm chose it.

        Empty where nothing was tuned.
        """
        from flows.notebook.frames import tuning_frame

        return tuning_frame(self.of.found)

    def curves(self, *metrics: str) -> DataFrame:
        """One row a run and round, one column a metric, NaN where nothing was logged.

        metrics: names as in MLflow, such as "train/loss"; unless stated those that the report draws. Raises BadInput
        for a metric that no run has.
        """
        from flows.notebook.frames import curves_frame

        return curves_frame(self.of, metrics)

    @property
    def pictures(self) -> dict[str, Picture]:
        """Every picture of the report by its title, such as "Learning curves"."""
        return {title: Picture(title, png) for title, png in self.of.pictures.items()}

    @property
    def report(self) -> Path:
        """The report, one HTML file."""
        return self.of.report

    def __repr__(self) -> str:
        return "\n".join([*self.verdict, f"Report: {self.report}"])

    def _repr_html_(self) -> str:
        name = escape(self.of.found.name)
        said = "".join(f"<p>{escape(sentence)}</p>" for sentence in self.verdict)
        link = f'<p>Report: <a href="{escape(self.report.as_uri())}">{escape(str(self.report))}</a></p>'
        return f"<h3>{name}</h3>{said}{link}"
