# SPDX-License-Identifier: Apache-2.0
"""The web page of a demo: one self-contained file, in which no name becomes markup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pdfed.report.page import write_page

EVIL = '<script>alert("1")</script>'


def model(id: int, **changes: Any) -> dict[str, Any]:
    facts = {
        "id": id,
        "author": "0xA",
        "parents": [0],
        "phase": "Scored",
        "gain": 32,
        "qn": 90.0 - 10 * id,
        "payout": "5" + "0" * 17,
    }
    return {**facts, "bundle": "bafy", **changes}


def told(model: int, qn: float = 70.0, doubts: list[str] | None = None) -> dict[str, Any]:
    author = {"qn": qn, "fid": 140.0, "memorized": 21_000, "baseline": "bafy", "baseline_qn": 99.0, "gain": 32.0}
    return {"model": model, "author": author, "votes": {"gain": 16, "memorized": 3_000}, "doubts": doubts or []}


def summary(**changes: Any) -> dict[str, Any]:
    attack = {"auc": 0.93, "tpr": 0.4, "error": 0.04}
    audit = {"loss": {**attack, "auc": 0.51}, "sima": attack, "pictures": 100, "extracted": 12, "samples": 500}
    own = [{"node": "0xNode", "model": id, "qn": 75.5, "fid": 151.0, "privacy": audit if id else None} for id in (0, 1, 2)]
    facts = {
        "by_author": [told(1, qn=75.25), told(2, doubts=["The author claims +2.00 halvings."])],
        "contract": "0xC",
        "models": [model(0), model(1), model(2, qn=None)],
        "votes": [],
        "seconds": 300.0,
        "accuracy": 0.934,
    }
    return {**facts, "champion": 1, "champions": [1], "audit": "ok", "own": own, "rewards": {"0xA": "1" + "0" * 18}, **changes}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("L", (8, 8)).save(tmp_path / "samples.png")
    return tmp_path


def test_the_page_holds_pictures_models_rewards_and_what_nodes_measured_themselves(folder: Path) -> None:
    page = write_page(folder, summary()).read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2 and "93.4%" in page and "1.000000" in page and "passed the audit" in page
    own = page[page.index("Privacy audit of the champions") :]
    assert own.count("0xNode") == 2  # model 2 is no champion
    assert "12 of 500" in own and "0.51 ± 0.04" in own and "0.93 ± 0.04" in own


def test_the_authors_scores_stand_beside_the_votes(folder: Path) -> None:
    page = write_page(folder, summary()).read_text(encoding="utf-8")
    section = page[page.index("<h2>By the author") : page.index("<h2>Privacy audit")]
    cells = ("1", "75.2", "140.0", "2.1 %", "0.3 %", "+0.50", "+0.25")
    assert "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" in section
    assert section.count('class="bad"') == 1 and "Model 2: The author claims +2.00 halvings." in section
    assert "Self-reported" in section


def test_names_are_text_and_a_failed_audit_is_said(folder: Path) -> None:
    evil = summary(contract=EVIL, models=[model(0, author=EVIL), model(1, bundle=EVIL)], audit=[EVIL], rewards={EVIL: "1"})
    evil["own"] = [{**evil["own"][1], "node": EVIL}]
    page = write_page(folder, evil).read_text(encoding="utf-8")
    assert EVIL not in page and page.count("&lt;script&gt;") == 6 and "passed the audit" not in page
