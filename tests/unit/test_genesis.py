# SPDX-License-Identifier: Apache-2.0
"""Genesis: the noise of a vote is measured between two different models, on any machine, and an interrupted deploy resumes."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from eth_account import Account
from eth_account.messages import encode_typed_data

from pdfed import genesis as module
from pdfed.bundle import WEIGHTS
from pdfed.data import load
from pdfed.diffusion import TrainingRun, initial_weights, load_weights
from pdfed.genesis import Genesis, GenesisUnfit, make_genesis
from pdfed.spec import TaskFile, TaskSpec, read_task_file

EARLIER = "earlier.safetensors"
SPONSOR = Account.from_key(b"\x01" * 32)
IMAGES, BATCH = 330, 32  # three quarters of the images are 247.5; the first batch to reach that ends at 256


class Killed(Exception):
    """Ends a run of these tests."""


@pytest.fixture(scope="module")
def task_file() -> TaskFile:
    digits = read_task_file("digits").model_dump()
    digits["task"]["network"]["channels"] = (16,)
    digits["task"]["training"]["batch"] = BATCH
    digits["task"]["sampling"] |= {"steps": 2, "images": 30}
    digits["task"]["scoring"]["training_images"] = 200
    return TaskFile.model_validate(digits | {"public": "digits:0-1/20", "genesis_images": IMAGES})


def create(task_file: TaskFile, home: Path, say: Callable[[str], None] = lambda line: None) -> Genesis:
    def sign(message: dict) -> bytes:
        return bytes(SPONSOR.sign_message(encode_typed_data(full_message=message)).signature)

    return make_genesis(task_file, home, SPONSOR.address, 1337, sign, say)


def work_of(home: Path) -> Path:
    (work,) = (home / "genesis").iterdir()
    return work


def models(home: Path) -> tuple[bytes, bytes]:
    return (work_of(home) / EARLIER).read_bytes(), (work_of(home) / WEIGHTS).read_bytes()


def gains(home: Path) -> list[float]:
    stored: list[float] = json.loads((work_of(home) / "noise.json").read_text())["gains"]
    return stored


def killed_at(words: str) -> Callable[[str], None]:
    """Return a `say` that ends the run at the first line with these words."""

    def say(line: str) -> None:
        if words in line:
            raise Killed

    return say


@pytest.fixture(scope="module")
def whole(task_file: TaskFile, tmp_path_factory: pytest.TempPathFactory) -> tuple[Genesis, Path]:
    """A genesis whose training fits into one slice, and its home."""
    home = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as fast:
        fast.setattr(module, "SLICE_SECONDS", 1e9)
        return create(task_file, home), home


def test_a_training_that_fits_into_one_slice_has_an_earlier_model_and_a_noise(
    whole: tuple[Genesis, Path], task_file: TaskFile
) -> None:
    genesis, home = whole
    task, pictures = task_file.task, load(task_file.public, task_file.task.images)
    run = TrainingRun(
        task, pictures.images, pictures.labels, initial_weights(task, task_file.seed), seed=task_file.seed, budget=IMAGES
    )
    while run.images_seen < 0.75 * IMAGES:
        run.step(0)
    assert run.images_seen == 256
    stored = load_weights(work_of(home) / EARLIER, task)
    assert all(torch.equal(stored[name], value.half().float()) for name, value in run.ema().items())
    assert stored.keys() == run.ema().keys()
    assert models(home)[0] != models(home)[1]
    assert genesis.noise > 0
    assert len(set(gains(home))) > 1


def test_the_genesis_does_not_depend_on_the_machines_speed(
    whole: tuple[Genesis, Path], task_file: TaskFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE_SECONDS", 0.0)  # a slice of one batch, as on a slow machine
    slow = create(task_file, tmp_path)
    assert models(tmp_path) == models(whole[1])
    assert (slow.noise, slow.task) == (whole[0].noise, whole[0].task)


@pytest.mark.parametrize("seen", [224, 256, 288, 352])
def test_a_killed_training_goes_on_to_the_same_two_models(
    whole: tuple[Genesis, Path], task_file: TaskFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: int
) -> None:
    monkeypatch.setattr(module, "SLICE_SECONDS", 0.0)
    with pytest.raises(Killed):
        create(task_file, tmp_path, killed_at(f" {seen}/{IMAGES} images"))
    assert (work_of(tmp_path) / EARLIER).exists() == (seen >= 256)
    monkeypatch.setattr(module, "SLICE_SECONDS", 1e9)
    with pytest.raises(Killed):
        create(task_file, tmp_path, killed_at("measuring"))
    assert models(tmp_path) == models(whole[1])


def test_a_training_killed_before_its_checkpoint_goes_on_to_the_same_two_models(
    whole: tuple[Genesis, Path], task_file: TaskFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(run: TrainingRun, folder: Path) -> None:
        raise Killed

    monkeypatch.setattr(module, "SLICE_SECONDS", 1e9)
    with monkeypatch.context() as here, pytest.raises(Killed):
        here.setattr(TrainingRun, "save", killed)
        create(task_file, tmp_path)
    with pytest.raises(Killed):
        create(task_file, tmp_path, killed_at("measuring"))
    assert models(tmp_path) == models(whole[1])


def test_a_killed_measurement_of_the_noise_goes_on_where_it_was(
    whole: tuple[Genesis, Path], task_file: TaskFile, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        create(task_file, tmp_path, killed_at("3/10"))
    assert gains(tmp_path) == gains(whole[1])[:3]
    lines: list[str] = []
    assert create(task_file, tmp_path, lines.append).noise == whole[0].noise
    assert [line.split()[-1] for line in lines if "measuring" in line] == [f"{turn}/10" for turn in range(4, 11)]
    assert gains(tmp_path) == gains(whole[1])


def test_a_kill_while_a_gain_is_written_leaves_the_gains_before(
    whole: tuple[Genesis, Path], task_file: TaskFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    def say(line: str) -> None:
        if "3/10" in line:
            monkeypatch.setattr("os.fsync", killed)

    with pytest.raises(Killed):
        create(task_file, tmp_path, say)
    monkeypatch.undo()
    assert gains(tmp_path) == gains(whole[1])[:3]
    assert create(task_file, tmp_path).noise == whole[0].noise


def test_a_note_of_the_noise_that_is_cut_is_measured_again(
    whole: tuple[Genesis, Path], task_file: TaskFile, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        create(task_file, tmp_path, killed_at("1/10"))
    for content in ('{"noise": 0.', "", "[]"):
        (work_of(tmp_path) / "noise.json").write_text(content)
        with pytest.raises(Killed):
            create(task_file, tmp_path, killed_at("2/10"))
        assert gains(tmp_path) == gains(whole[1])[:2]


def test_equal_gains_are_no_measurement(task_file: TaskFile, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        create(task_file, tmp_path, killed_at("1/10"))
    work = work_of(tmp_path)
    (work / "noise.json").unlink()
    (work / EARLIER).write_bytes((work / WEIGHTS).read_bytes())
    with pytest.raises(GenesisUnfit, match="noise of a vote") as fault:
        create(task_file, tmp_path)
    assert "genesis_images" in fault.value.remedy


def test_scoring_models_that_take_noise_for_pictures_are_refused(
    task_file: TaskFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "noise_fid_scale", lambda scorers, images: 1e7)
    with pytest.raises(GenesisUnfit, match="noise"):
        create(task_file, tmp_path)


def test_the_task_of_a_genesis_is_read_back(whole: tuple[Genesis, Path]) -> None:
    content = (whole[0].folder / "task.json").read_bytes()
    assert TaskSpec.model_validate_json(content) == whole[0].task
    assert math.isfinite(whole[0].task.scoring.fid_scale)
