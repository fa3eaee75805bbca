# SPDX-License-Identifier: Apache-2.0
"""The ruler-sight experiment: small runs, its summary by hand, and the floor of a set against real pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pdfed.experiments import ruler_sight
from pdfed.experiments.record import Record
from pdfed.experiments.runner import ExperimentError, run_experiment
from pdfed.scoring import frechet_distance


def test_votes_are_compared_with_the_union_under_each_distance(tmp_path: Path) -> None:
    record = Record(tmp_path / "run")
    run_experiment("ruler-sight", "smoke", {}, record)
    result: dict[str, Any] = json.loads((record.folder / "results.json").read_text())
    quality = [row["union FID"] for row in result["tables"]["models"]]
    assert quality[0] > quality[-1] > 0
    rows = result["tables"]["sight"]
    assert len(rows) == 2 * 2 * 5 and {row["mix"] for row in rows} == {"IID", 0.3}
    for row in rows:
        assert np.isfinite([value for value in row.values() if not isinstance(value, str)]).all()
        assert -1 <= row["rank correlation"] <= 1 and 0 <= row["right"] <= 1 and 0 <= row["clipped"] <= 1
    many = {row["distance"]: row for row in rows if (row["mix"], row["test pictures"]) == ("IID", 200)}
    assert all(many[name]["right"] > 0.5 for name in ("FID", "KID"))
    assert (record.folder / "sight.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("changes", "cause"), [({"models": "[640, 640, 1280]"}, "models must ascend"), ({"test": "[20, 900]"}, "200 test pictures")]
)
def test_settings_that_do_not_fit_are_named(changes: dict[str, str], cause: str, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=cause):
        run_experiment("ruler-sight", "smoke", changes, Record(tmp_path / "run"))


def test_summary_by_hand() -> None:
    """One voter sees all three models, one is blind to the last. Two noises differ in the first model."""
    seen, blind = [[800.0, 400.0], [200.0, 200.0], [100.0, 100.0]], [[800.0, 400.0], [200.0, 200.0], [200.0, 200.0]]
    union = ruler_sight._gains(np.array([800.0, 200.0, 100.0]), 1.0)
    assert union == pytest.approx([128, 192, 64])  # pairs: 0–1, 0–2, 1–2
    row = ruler_sight._row("FID", np.array([seen, blind]), union, union, 150.0)
    assert row["clipped"] == pytest.approx(2 / 12)
    assert row["right"] == 6 / 8  # 100 is clipped to 150, still a gain; no gain at all is not right
    assert 0 < row["slope"] < 1
    assert row["noise"] == pytest.approx(np.sqrt((64**2 / 2) * 2 / 3))
    assert ruler_sight._row("FID", np.full((2, 3, 2), 7.0), union, union, 1.0)["rank correlation"] == 0


def test_the_floor_is_the_distance_of_real_pictures() -> None:
    """Of one Gaussian in 5 dimensions; fixed seeds, mean over 20 sets. At n ≫ d the first order of the bias is nearly all."""
    draws = np.random.default_rng(0)
    floors, distances = [], []
    for _ in range(20):
        test, perfect = draws.normal(size=(200, 5)), draws.normal(size=(500, 5))
        floors.append(ruler_sight.floor(test, 500))
        distances.append(frechet_distance(test, perfect))
    assert np.mean(floors) == pytest.approx(np.mean(distances), rel=0.3)


def test_a_voters_mix_of_classes_is_its_own() -> None:
    from pdfed.data.images import image_set

    labels = np.repeat(np.arange(10), 50)
    pictures = image_set(np.zeros((500, 8, 8, 1), np.uint8), labels, tuple("0123456789"))
    drawn = ruler_sight._drawn(pictures, 40, 0.3, np.random.default_rng(3))
    assert len(set(drawn.tolist())) == 40
    assert np.bincount(labels[drawn], minlength=10).max() > 12  # 4 each, if the classes were equal
    assert len(set(ruler_sight._drawn(pictures, 500, 0.3, np.random.default_rng(3)).tolist())) == 500
