"""The report's page: one file, everything in it, nothing loaded, and nothing run but its own scripts."""

import base64
import hashlib
import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from federated.report import Report, RunResult, arm_outcomes, page_html, png, write_page
from federated.report.figures.arms.charts import charts
from federated.report.figures.arms.figures import FIGURES, drawn
from federated.report.findings.results import arms_of
from federated.report.findings.strokes import NOT_DRAWN
from federated.report.page import sections
from federated.report.page.sections import DETAILS, SECTIONS
from federated.report.page.sections.section import first_rows
from federated.report.page.templates import templates
from federated.report.text.table import Table

ACCURACY = "generalisation/test_accuracy"
LINKS = {"Study in MLflow": "http://127.0.0.1:5000/#/experiments/1?a=1&b=2"}
ADDRESSES = {"src", "srcset", "poster", "data", "action", "background"}


def run(arm: str = "iid", seed: int = 0, accuracy: float = 0.9, **changes: Any) -> RunResult:
    history = ((0, {ACCURACY: 0.1}), (7, {ACCURACY: accuracy}))
    fields: dict[str, Any] = {"status": "FINISHED", "parameters": {"seed": seed, "rounds": 7, "arm": arm}}
    return RunResult(
        "digits", arm, seed, **{**fields, "history": history, "main_metric": ACCURACY, **changes}
    )


def html(results: list[RunResult], pictures: dict[str, bytes] | None = None, **changes: Any) -> str:
    fields: dict[str, Any] = {
        "name": "digits",
        "description": "What does skew cost?",
        "question": "name: digits\nseeds: [0, 1]",
    }
    return page_html(Report(results=results, **{**fields, **changes}), pictures or {})


class Page(HTMLParser):
    """The tags of a page, the text outside its style, and the text of each row of its tables."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.rows, self.open = "", list[list[str]](), ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open = self.open if tag == "wbr" else tag
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.open = ""

    def handle_data(self, data: str) -> None:
        self.text += "" if self.open in ("style", "script") else data
        if self.open in ("td", "th"):
            self.rows[-1][-1] += data


def test_the_page_has_every_part() -> None:
    failed = run("skewed", 1, status="FAILED", message="Diverged: round 3", run_id="abc123")
    source = html(
        [run(), run(seed=1, accuracy=0.8), failed],
        environment={"torch": "2.9.1"},
        links=LINKS,
        stated_commands={"digits": "python -m flows run studies/d.yaml"},
    )
    page = Page(source)
    for part in (
        "digits",
        "What does skew cost?",
        "3 runs, 2 arms, 2 seeds; 1 failed.",
        "Diverged: round 3",
        "abc123",
    ):
        assert part in page.text
    for part in ("name: digits\nseeds: [0, 1]", "python -m flows run studies/d.yaml"):
        assert part in page.text
    assert ["iid", "0.850 ± 0.071", "–", "–", "7", "2", "0"] in page.rows
    assert ["skewed", "–", "–", "–", "–", "1", "1"] in page.rows
    assert ["torch", "2.9.1"] in page.rows
    assert ("a", {"href": LINKS["Study in MLflow"]}) in page.tags


def test_what_it_took_to_reach_a_target_has_its_table_and_its_note():
    page = Page(html([run()], target=0.5))
    assert ["iid", "test accuracy ≥ 0.5", "1 of 1", "7", "–", "–"] in page.rows
    assert "Target: stated when the arms were compared." in page.text


def test_settings_that_all_runs_share_are_listed_and_others_are_not() -> None:
    rows = Page(html([run("a"), run("b")])).rows
    assert ["rounds", "7"] in rows
    assert not [row for row in rows if row[0] in ("seed", "arm") and len(row) == 2]


def test_text_of_the_user_is_escaped_everywhere() -> None:
    evil = "<script>alert('x')</script>\"&"
    results = [run(evil), run(evil, 1, status="FAILED", message=evil, run_id=evil, parameters={evil: evil})]
    source = html(
        results,
        name=evil,
        description=evil,
        question=evil,
        pictures={"Every run": b"png"},
        links={evil: evil},
        environment={evil: evil},
        stated_commands={evil: evil},
    )
    page = Page(source)
    assert "<script>alert" not in source
    assert [tag for tag, _ in page.tags].count("script") == 3  # the charts' data, Vega, and what joins them
    assert page.text.count(evil) >= 9
    assert [attributes["alt"] for tag, attributes in page.tags if tag == "img"] == ["Every run"]


def test_nothing_is_loaded_from_elsewhere() -> None:
    source = html([run()], pictures={"Every run": png(arm_outcomes([run()]))}, links=LINKS)
    page = Page(source)
    loaded = [value for _, attributes in page.tags for name, value in attributes.items() if name in ADDRESSES]
    assert len(loaded) == 1
    assert all(str(value).startswith("data:image/png;base64,") for value in loaded)
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "object", "embed", "base"}
    assert not re.search(r"url\(|@import", _without_scripts(source))
    assert "default-src 'none'" in source


def _without_scripts(source: str) -> str:
    return re.sub(r"<script.*?</script>", "", source, flags=re.DOTALL)


def test_only_the_scripts_of_the_page_may_run_and_none_where_there_is_no_chart() -> None:
    source = html([run()], {"Learning curves": b"png"})
    scripts = re.findall(r"<script>(.*?)</script>", source, flags=re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    (policy,) = re.findall(r'content="(default-src.*?)"', source)
    assert policy.endswith("; script-src " + " ".join(f"'sha256-{one}'" for one in hashes))
    assert "unsafe-eval" not in policy
    assert "<script" not in html([])
    assert "script-src" not in html([])


def test_charts_have_the_numbers_of_the_figures_and_colours_of_the_arms() -> None:
    results = [run(arm, seed, 0.5 + 0.1 * seed) for arm in ("a", "b") for seed in (0, 1)]
    report = Report("digits", results)
    (data,) = re.findall(r'id="charts">(.*?)</script>', page_html(report, {}))
    spec = json.loads(data)["by-round"]
    last = [row for row in spec["data"]["values"] if row["round"] == 7]
    assert [(row["arm"], row["score"], row["low"], row["high"]) for row in last] == [
        ("a", pytest.approx(0.55), 0.5, 0.6),
        ("b", pytest.approx(0.55), 0.5, 0.6),
    ]
    colours = spec["layer"][1]["encoding"]["color"]["scale"]
    assert dict(zip(colours["domain"], colours["range"], strict=True)) == {
        arm: look.colour for arm, look in report.looks.items()
    }
    assert "front" not in json.loads(data)  # nothing was sent


def test_pictures_stand_in_their_sections_and_sections_without_one_are_left_out() -> None:
    source = html([run()], {"Every run": b"\x89PNG late", "Learning curves": b"\x89PNG early"})
    images = [base64.b64decode(data) for data in re.findall(r"base64,([^\"]+)", source)]
    assert images == [b"\x89PNG early", b"\x89PNG late"]
    assert source.index("<h2>Learning curves</h2>") < source.index("<h2>Every run</h2>")
    assert "Rate and distortion" not in source


def test_every_figure_has_its_section_and_every_section_its_template() -> None:
    titles = [section.title for section in SECTIONS]
    assert len(set(titles)) == len(titles)
    assert set(FIGURES) <= set(titles)
    templates = {path.name for path in Path(sections.__file__).parent.glob("*.html")}
    assert templates - {"parts.html"} == {section.template for section in (*SECTIONS, *DETAILS)}


def test_a_study_without_runs_has_a_page() -> None:
    page = Page(html([]))
    assert "No run." in page.text
    assert page.rows == []


def test_without_a_command_the_page_states_one_for_a_file_of_the_study_name() -> None:
    assert "./fedstudy run 'my study.yaml'" in Page(html([replace(run(), study="my study")])).text


def test_the_page_is_written_where_its_folder_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "report.html"
    write_page(path, Report("digits", [run()], "Why – and how much?"), {})
    assert "Why – and how much?" in path.read_text(encoding="utf-8")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_pictures_of_partitions_have_a_section_of_their_own() -> None:
    source = html([run()], partitions={"iid and 2 more arms, seed 0": b"\x89PNG"})
    assert "iid and 2 more arms, seed 0" in Page(source).text
    assert source.count("data:image/png;base64,") == 1


def test_what_is_invisible_is_written_out_on_the_page() -> None:
    page = templates().from_string(
        "{{ text }} {{ text | breakable }} {{ text | kept_together }} {{ png | base64 }}"
    )
    shown = page.render(text="<b>(\x1b[2J\u202e)", png=b"png")
    assert shown.count("&lt;b&gt;(") == 3
    assert shown.count("\\x1b[2J\\u202e)") == 3
    assert shown.endswith(" cG5n")


def test_a_number_is_not_broken_at_its_comma() -> None:
    page = templates().from_string("{{ text | breakable }}")
    assert page.render(text="qsgd(bits=4,norm=1) 2,443") == "qsgd(<wbr>bits=4,<wbr>norm=1) 2,443"


def many_arms(count: int) -> list[RunResult]:
    """`count` arms of two seeds on one partition, the later the better; arm 7 is cheap."""
    made = []
    for at, seed in itertools.product(range(count), (0, 1)):
        metrics = {
            "generalisation/test_accuracy": 0.5 + at / 1000 + 0.0001 * seed,
            "communication/uplink_bytes_total": 1e6 if at == 7 else 2e6,
            "communication/downlink_bytes_total": 1e6,
        }
        made.append(
            RunResult(
                "s",
                f"arm {at}",
                seed,
                "FINISHED",
                {"at": str(at)},
                ((1, metrics),),
                "generalisation/test_accuracy",
                run_id=f"{at}-{seed}",
                partition="p:q",
            )
        )
    return made


@pytest.mark.slow
def test_pictures_show_forty_arms_and_the_page_says_so() -> None:
    report = Report("s", tuple(many_arms(60)), baseline="arm 3")
    shown = arms_of(report.drawn.results)
    assert len(shown) == 40
    assert shown == sorted(shown, key=lambda arm: int(arm.split()[1]))
    assert {"arm 3", "arm 7", "arm 59", "arm 58"} <= set(shown)
    assert "arm 0" not in shown
    assert [pair.arm for pair in report.drawn_pairs] == [arm for arm in shown if arm != "arm 3"]
    assert report.looks["arm 0"] == NOT_DRAWN
    page = page_html(report, drawn(report))
    assert "In the figures, 40 of 60 arms are shown: " in page
    assert page.count("<td>arm 0</td>") > 0
    few = Report("s", tuple(many_arms(40)))
    assert few.drawn is few
    assert "In the figures" not in page_html(few, {})


def test_tables_of_the_page_have_a_thousand_rows_and_say_so() -> None:
    rows, said = first_rows(range(1001), "runs")
    assert len(rows) == 1000
    assert said == "The first 1,000 of 1,001 runs; all of them are in MLflow."
    assert first_rows([1, 2]) == ([1, 2], "")
    runs = tuple(replace(run, seed=seed) for seed in range(501) for run in many_arms(2)[::2])
    page = page_html(Report("s", runs), {})
    assert "The first 1,000 of 1,002 runs; all of them are in MLflow." in page


def test_a_chart_of_many_rounds_has_a_point_for_each_dot_and_both_ends() -> None:
    history = tuple((at, {"generalisation/test_accuracy": at / 5000}) for at in range(5000))
    long = [replace(run, history=history) for run in many_arms(2)]
    rows = [
        row
        for row in charts(Report("s", tuple(long)).drawn)["by-round"]["data"]["values"]
        if row["arm"] == "arm 0"
    ]
    assert len(rows) == 300
    assert (rows[0]["round"], rows[-1]["round"]) == (0, 4999)


def test_verdicts_of_a_table_are_wrapped_between_words_and_its_intervals_are_not() -> None:
    """A verdict in one line pushed the columns after it off the page."""
    row = ["shards(per_client=2,shift=1)", "0.842 [0.837, 0.847]", "inconclusive; 7 more seeds"]
    table = Table(["arm", "score", "verdict"], [row])
    page = templates().from_string('{% import "parts.html" as parts %}{{ parts.table(table) }}')
    shown = page.render(table=table)
    assert '<th scope="col" class="words">verdict</th>' in shown
    assert '<td class="words">inconclusive; 7 more seeds</td>' in shown
    assert "<td>0.842 [0.837,&nbsp;0.847]</td>" in shown
    assert "<td>shards(<wbr>per_client=2,<wbr>shift=1)</td>" in shown


def test_words_stand_to_the_left_and_what_is_in_backticks_is_code() -> None:
    note = "State `prices: <file>` (beside seeds)."
    rows = [["a", "number", "3", "–", "17 to 90"], ["b", "–", "n/a", "–", "2 values: yes, no"]]
    table = Table(["site", "read as", "examples", "share", "values"], rows, note)
    page = templates().from_string('{% import "parts.html" as parts %}{{ parts.table(table) }}')
    shown = page.render(table=table)
    assert [table.in_words(at) for at in range(5)] == [True, True, False, False, True]
    assert shown.count('class="words"') == 6  # two titles and four cells
    assert "State <code>prices: &lt;file&gt;</code> (beside seeds)." in shown
