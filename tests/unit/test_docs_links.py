# SPDX-License-Identifier: Apache-2.0
"""The pages lead somewhere: links, headings, files, commands, options and make targets that they name all exist."""

from __future__ import annotations

import re
import tomllib
from io import StringIO
from pathlib import Path
from urllib.parse import unquote

import pytest
from rich.console import Console

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`((?:pdfed|scripts|contracts|tests|setup|docs|examples)/[\w./*-]*)(?:::\w+)?`")
COMMAND = re.compile(r"\bape run ([a-z][a-z-]*)")
TARGET = re.compile(r"(?:^|`)make ([a-z][a-z-]*)", re.MULTILINE)
MACHINES = {"Federation", "Player", "Course", "Ending"} | {
    "PropertiesTest",
    "VotesTest",
    "MoneyTest",
    "JuryTest",
    "PaceTest",
    "PayeeTest",
}


def pages() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    seen: dict[str, int] = {}
    found = set()
    for title in re.findall(r"^#+ (.+?)\s*$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = seen[slug] = seen.get(slug, -1) + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found


@pages()
def test_relative_links_lead_to_files_and_headings(page: Path) -> None:
    broken = []
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (page.parent / path).resolve() if path else page
        leads = file.exists() and file.is_relative_to(ROOT)
        if not leads or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pages()
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = set(FILE.findall(page.read_text(encoding="utf-8")))
    assert sorted(name for name in named if not any(ROOT.glob(name.rstrip("/")))) == []


@pages()
def test_commands_and_make_targets_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert sorted(name for name in set(COMMAND.findall(text)) if not (ROOT / "scripts" / f"{name}.py").is_file()) == []
    assert sorted(set(TARGET.findall(text)) - targets) == []


@pages()
def test_options_in_commands_that_a_page_shows_exist(page: Path) -> None:
    """Every option in code of the form `ape run NAME … --option …`, by docs/reference.md, which another test compares with the
    commands."""
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### ape run ([\w-]+)\n(.*?)(?=^##)", reference, re.MULTILINE | re.DOTALL))
    known = {name: set(re.findall(r"--[a-z][\w-]*", section)) | {"--help"} for name, section in sections.items()}
    unknown = [
        (name, option)
        for name, options in re.findall(r"\bape run ([a-z][a-z-]*)([^`\n]*)", page.read_text(encoding="utf-8"))
        for option in re.findall(r"(?<!\S)--[a-z][\w-]*", options)
        if name in known and option not in known[name]
    ]
    assert unknown == []


def test_every_page_is_reached_from_the_index() -> None:
    """From docs/index.md, by links."""
    index = ROOT / "docs" / "index.md"
    reached, ahead = {index}, [index]
    while ahead:
        page = ahead.pop()
        links = [link.partition("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8"))]
        files = {(page.parent / link).resolve() for link in links if link.endswith(".md") and ":" not in link}
        ahead += [file for file in files - reached if file.exists()]
        reached |= files
    assert sorted(str(page.relative_to(ROOT)) for page in set(PAGES) - reached) == []


def test_the_invariants_are_listed_by_number_and_their_checks_exist() -> None:
    page = (ROOT / "docs" / "invariants.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$", page, re.MULTILINE)
    assert sorted(int(number) for number, *_ in rows) == [*range(1, 14), *range(15, 34)]  # 26 holds instead of 14
    python = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests" / "property").glob("*.py"))
    solidity = {
        name: file.read_text(encoding="utf-8")
        for file in (ROOT / "tests" / "forge").glob("*.sol")
        for name in re.findall(r"contract (\w+)", file.read_text(encoding="utf-8"))
    }
    for number, _, by_python, by_forge in rows:
        names = re.findall(r"`(\w+)`", by_python)
        assert names, number
        for name in names:
            assert f"invariant_{int(number):02}_" in name
            assert f"def {name}(" in python, name
        for machine, name in re.findall(r"`(\w+)\.(\w+)`", by_forge):
            assert machine in MACHINES
            assert f"function {name}(" in solidity[machine], name


def test_the_invariants_of_use_are_listed_by_number_and_their_checks_exist() -> None:
    page = (ROOT / "docs" / "invariants.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (U\d+) \| .+? \| `(\w+)` \|$", page, re.MULTILINE)
    assert [number for number, _ in rows] == [f"U{number}" for number in range(1, 11)]
    machine = (ROOT / "tests" / "property" / "test_use_machine.py").read_text(encoding="utf-8")
    assert all(f"invariant_{number}_" in name and f"def {name}(" in machine for number, name in rows)


def test_the_drawing_of_the_rooms_is_the_import_contract() -> None:
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    drawing = page[page.index("## Rooms and arrows") :].split("```")[1]
    lines = [line.partition("  ") for line in drawing.splitlines() if line[:1].strip()]  # the name of a layer, and its rooms
    drawn = [set(rooms.strip().split(" · ")) for _, _, rooms in lines]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    assert drawn == [{"scripts"}, *(set(layer.split(" | ")) for layer in layers)]


def test_the_design_names_every_module_in_the_root() -> None:
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    section = page[page.index("### Modules in the root") :].split("\n## ")[0]
    named = set(re.findall(r"^\| `(\w+\.py)` \|", section, re.MULTILINE))
    assert named == {path.name for path in (ROOT / "pdfed").glob("*.py")} - {"__init__.py"}


def test_the_credentials_in_the_provenance_page_are_what_the_reader_prints() -> None:
    from pdfed.audit import read_credentials
    from pdfed.report.terminal import credentials_table

    printed = StringIO()
    picture = ROOT / "docs" / "figures" / "provenance-grid.png"
    Console(file=printed, width=140).print(credentials_table(read_credentials(picture)))
    page = (ROOT / "docs" / "provenance.md").read_text(encoding="utf-8")
    assert [line for line in map(str.rstrip, printed.getvalue().splitlines()) if line not in page] == []
