# SPDX-License-Identifier: Apache-2.0
"""A node samples each model once: cached samples are read from disk, also after a kill, and give the same score."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

from pdfed.diffusion import save_weights
from pdfed.diffusion.network import initial_weights
from pdfed.journal import Journal
from pdfed.node.evaluation import Evaluator, weights_key
from pdfed.scoring import QNScore, Ruler
from pdfed.spec import TaskSpec
from pdfed.spec.presets import PRESETS

NOISE = b"n" * 32


@pytest.fixture(scope="module")
def task() -> TaskSpec:
    return TaskSpec.model_validate({**PRESETS["digits"]["task"], "sampling": {"steps": 2, "images": 250}})


@pytest.fixture(scope="module")
def weights(task: TaskSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_weights(initial_weights(task, 0), path, task)
    return path


def finished(scoring: Generator[str, None, QNScore]) -> tuple[QNScore, list[str]]:
    """The score, and the progress lines about sampling."""
    lines = []
    while True:
        try:
            lines.append(next(scoring))
        except StopIteration as end:
            return end.value, [line for line in lines if line.startswith("sampling")]


def test_samples_drawn_before_a_kill_are_not_drawn_again(task: TaskSpec, weights: Path, ruler: Ruler, tmp_path: Path) -> None:
    without_disk, lines = finished(Evaluator(task, ruler, NOISE, Journal(":memory:")).scoring(weights))
    assert lines == ["sampling 100/250", "sampling 200/250", "sampling 250/250"]
    killed = Evaluator(task, ruler, NOISE, Journal(tmp_path / "journal.sqlite")).scoring(weights)
    assert [next(killed), next(killed)] == lines[:2]
    killed.close()
    again = Evaluator(task, ruler, NOISE, Journal(tmp_path / "journal.sqlite"))
    assert finished(again.scoring(weights)) == (without_disk, lines[2:])
    assert finished(again.scoring(weights)) == (without_disk, [])


def test_other_noise_other_weights_and_spoilt_samples_are_drawn_anew(
    task: TaskSpec, weights: Path, ruler: Ruler, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    expected, _ = finished(Evaluator(task, ruler, NOISE, journal).scoring(weights))
    (rows,) = (tmp_path / "samples").glob("*.rows")
    content = bytearray(rows.read_bytes())
    content[120 * 256] ^= 1  # in the second batch
    rows.write_bytes(content)
    score, lines = finished(Evaluator(task, ruler, NOISE, journal).scoring(weights))
    assert score == expected and lines == ["sampling 200/250", "sampling 250/250"]
    _, lines = finished(Evaluator(task, ruler, b"o" * 32, journal).scoring(weights))
    assert len(lines) == 3
    other = tmp_path / "other.safetensors"
    save_weights(initial_weights(task, 1), other, task)
    _, lines = finished(Evaluator(task, ruler, NOISE, journal).scoring(other))
    assert len(lines) == 3 and len(list((tmp_path / "samples").glob("*.rows"))) == 3


def test_samples_on_disk_stay_within_their_bound(
    task: TaskSpec, weights: Path, ruler: Ruler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pdfed.node.evaluation.CACHE_BYTES", 130_000)  # two models of 250 × 256 bytes
    journal = Journal(tmp_path / "journal.sqlite")
    for noise in (b"a", b"b", b"c", b"d"):
        finished(Evaluator(task, ruler, noise * 32, journal).scoring(weights))
    kept = list((tmp_path / "samples").glob("*.rows"))
    assert len(kept) <= 3 and sum(path.stat().st_size for path in kept) <= 130_000 + 64_000


def test_a_score_is_remembered(task: TaskSpec, weights: Path, ruler: Ruler, tmp_path: Path) -> None:
    evaluator = Evaluator(task, ruler, NOISE, Journal(tmp_path / "journal.sqlite"))
    key = weights_key(weights)
    assert evaluator.score_of(key) is None
    score, _ = finished(evaluator.scoring(weights))
    own = evaluator.store(key, score)
    assert Evaluator(task, ruler, NOISE, Journal(tmp_path / "journal.sqlite")).score_of(key) == own
    assert own.qn == score.value and own.samples == 250 and np.isfinite(own.fid)
