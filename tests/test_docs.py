"""The pages of the project: their links lead somewhere, each is in an index, and decisions have a date."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_links(page: Path, text: str) -> list[str]:
    """Relative links of the page that lead to no file, or to no heading of it."""
    broken = []
    for link in LINK.findall(without_code(text)):
        address, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", address):
            continue
        target = (page.parent / address).resolve() if address else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_relative_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    assert broken_links(page, page.read_text(encoding="utf-8")) == []


def test_the_search_for_broken_links_finds_them() -> None:
    text = "[a](nowhere.md) [b](README.md#no-such-heading) [c](https://example.org) `[d](code.md)` [e](README.md)"
    assert broken_links(ROOT / "CONTRIBUTING.md", text) == ["nowhere.md", "README.md#no-such-heading"]


def test_every_page_of_decisions_is_in_their_index() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in DECISIONS} - {"README.md"} == set(LINK.findall(index))


def test_every_page_is_in_the_index_and_on_the_site() -> None:
    docs = ROOT / "docs"
    pages = {path.name for path in docs.glob("*.md")} - {"README.md"}
    linked = {
        link for link in LINK.findall((docs / "README.md").read_text(encoding="utf-8")) if "/" not in link
    }
    assert pages == linked
    listed = set(
        re.findall(
            r"^ +- [^:]+: ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), flags=re.M
        )
    )
    assert pages == listed - {"README.md"}


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


@pytest.mark.parametrize("page", DECISIONS, ids=short)
def test_every_decision_starts_with_its_date(page: Path) -> None:
    undated = re.findall(r"^\*\*.*$|^- \*\*.*$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert undated == [], "write `2026-11-27 · **The choice.** The reasons.`"
