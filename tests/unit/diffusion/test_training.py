# SPDX-License-Identifier: Apache-2.0
"""Training: it learns, the same arguments give the same weights, and a killed run goes on as if never stopped."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pdfed.diffusion import CheckpointUnreadable, TrainingDiverged, TrainingRun, initial_weights, sample_all
from pdfed.diffusion.network import Weights, network_with
from pdfed.diffusion.noise import TIMESTEPS, generator, noisy_and_target, signal_and_noise, to_float, to_nchw
from pdfed.spec import TaskSpec

Given = tuple[np.ndarray, np.ndarray]
LEVELS = 10  # timesteps over which a picture's loss is averaged


def started(task: TaskSpec, pictures: Given, *, budget: int = 160, seed: int = 1, **more: int) -> TrainingRun:
    return TrainingRun(task, *pictures, initial_weights(task, 0), seed=seed, budget=budget, **more)


def finished(run: TrainingRun) -> Weights:
    while run.images_seen < run.budget:
        run.step(0)
    return run.ema()


def same(ours: Weights, theirs: Weights) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@torch.inference_mode()
def loss_per_image(weights: Weights, task: TaskSpec, images: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Mean squared error of the prediction per picture, float64 [N], over ten timesteps, each with one noise for all pictures."""
    network = network_with(task, weights).eval()
    alpha, sigma = signal_and_noise(task.training)
    x, classes = to_float(to_nchw(images)), torch.from_numpy(labels)
    loss = torch.zeros(len(x), dtype=torch.float64)
    for level in range(LEVELS):
        timestep = (2 * level + 1) * TIMESTEPS // (2 * LEVELS)
        noise = torch.randn(x.shape[1:], generator=generator(seed, timestep)).expand_as(x)
        t = torch.full((len(x),), timestep)
        noisy, target = noisy_and_target(x, noise, t, alpha, sigma, task.training.prediction)
        loss += (network(noisy, t, classes) - target).square().mean((1, 2, 3)).double() / LEVELS
    return loss.numpy()


@pytest.fixture(scope="module")
def trained(task: TaskSpec, pictures: Given) -> Weights:
    return finished(started(task, pictures, budget=1280))


def test_a_trained_model_draws_the_class_it_is_asked_for(task: TaskSpec, trained: Weights) -> None:
    drawn, labels = sample_all(trained, task, seed=0, n=40)
    dark, bright = drawn[labels == 0].mean((1, 2, 3)), drawn[labels == 1].mean((1, 2, 3))
    assert dark.max() < 128 < bright.min()


def test_a_continued_run_improves(task: TaskSpec, pictures: Given, trained: Weights) -> None:
    early = finished(started(task, pictures, budget=320))
    further = finished(TrainingRun(task, *pictures, early, seed=2, budget=640))
    losses = [loss_per_image(weights, task, *pictures, seed=0).mean() for weights in (early, further)]
    assert losses[1] < losses[0]


@pytest.mark.parametrize(
    "change",
    [{"prediction": "epsilon"}, {"schedule": "linear"}, {"prediction": "epsilon", "schedule": "linear"}, {"precision": "fp32"}],
)
def test_every_recipe_learns(task: TaskSpec, pictures: Given, change: dict[str, str]) -> None:
    recipe = task.model_copy(update={"training": task.training.model_copy(update=change)})
    run = started(recipe, pictures, budget=640)
    first = run.step(0).loss
    finished(run)
    assert loss_per_image(run.ema(), recipe, *pictures, seed=0).mean() < 0.6 * first
    assert sample_all(run.ema(), recipe, seed=0, n=20)[0].shape == (20, 8, 8, 1)


def test_colour_attention_and_flips_train(task: TaskSpec, pictures: Given) -> None:
    changed = TaskSpec.model_validate(
        task.model_dump()
        | {
            "images": {"size": 8, "channels": 3, "classes": ("dark", "bright"), "flip": True},
            "network": {"unshuffle": 1, "channels": (16, 16), "groups": 4, "attention": (False, True)},
        }
    )
    weights = finished(started(changed, (pictures[0].repeat(3, axis=3), pictures[1]), budget=32))
    assert sample_all(weights, changed, seed=0, n=20)[0].shape == (20, 8, 8, 3)


def test_the_same_arguments_give_the_same_weights_whatever_else_is_random(task: TaskSpec, pictures: Given) -> None:
    torch.manual_seed(1)
    first = finished(started(task, pictures))
    torch.manual_seed(2)
    assert same(first, finished(started(task, pictures)))
    assert not same(first, finished(started(task, pictures, seed=2)))


@pytest.mark.parametrize("stop", [0, 1, 6])
def test_a_resumed_run_is_equal_bit_for_bit(task: TaskSpec, pictures: Given, tmp_path: Path, stop: int) -> None:
    run = started(task, pictures)
    for _ in range(stop):
        run.step(0)
    assert not TrainingRun.has_checkpoint(tmp_path / "training")
    run.save(tmp_path / "training")
    assert TrainingRun.has_checkpoint(tmp_path / "training")
    resumed = TrainingRun.resume(tmp_path / "training", task, *pictures)
    assert (resumed.images_seen, resumed.steps) == (run.images_seen, run.steps) == (16 * stop, stop)
    assert same(finished(resumed), finished(started(task, pictures)))


def test_a_save_that_is_killed_leaves_the_one_before(
    task: TaskSpec, pictures: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "training"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    run = started(task, pictures)
    run.step(0)
    for saved_before in (False, True):
        with monkeypatch.context() as here:
            here.setattr("os.fsync", killed)
            with pytest.raises(KeyboardInterrupt):
                run.save(folder)
        assert TrainingRun.has_checkpoint(folder) == saved_before
        run.save(folder)
        run.step(0)
    assert TrainingRun.resume(folder, task, *pictures).steps == 2
    assert [path.name for path in folder.iterdir()] == ["state.safetensors"]


def test_a_broken_or_foreign_checkpoint_is_named(task: TaskSpec, pictures: Given, tmp_path: Path) -> None:
    folder = tmp_path / "training"
    run = started(task, pictures)
    run.step(0)
    run.save(folder)
    whole = (folder / "state.safetensors").read_bytes()
    wider = task.model_copy(update={"network": task.network.model_copy(update={"channels": (16, 32)})})
    with pytest.raises(CheckpointUnreadable):
        TrainingRun.resume(folder, wider, *pictures)
    for content in (b"", whole[:5], whole[:-3], whole.replace(b"images_seen", b"images_sown"), b"\xff" * 300):
        (folder / "state.safetensors").write_bytes(content)
        with pytest.raises(CheckpointUnreadable):
            TrainingRun.resume(folder, task, *pictures)
    (folder / "state.safetensors").unlink()
    with pytest.raises(CheckpointUnreadable):
        TrainingRun.resume(folder, task, *pictures)


def test_progress_counts_images_and_ends_with_the_budget(task: TaskSpec, pictures: Given) -> None:
    run = started(task, pictures, budget=40)
    seen = [run.step(0).images_seen for _ in range(5)]
    assert seen == [16, 32, 48, 48, 48]
    assert np.isnan(run.step(1).loss)


def test_a_slice_ends_at_the_images_it_is_told_to_and_changes_nothing(task: TaskSpec, pictures: Given) -> None:
    run = started(task, pictures, budget=100)
    seen = [run.step(1e9, until).images_seen for until in (1, 17, 32, 50, 1000)]
    assert seen == [16, 32, 32, 64, 112]
    assert same(run.ema(), finished(started(task, pictures, budget=100)))


def test_a_slice_ends_in_time_and_does_some_work(task: TaskSpec, pictures: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a simulated clock: an optimiser step takes an eighth of a second."""
    run = started(task, pictures, budget=10**9)
    monkeypatch.setattr("pdfed.diffusion.training.time", SimpleNamespace(monotonic=lambda: 1000 + run.steps / 8))
    for seconds, steps in ((0.0, 1), (0.1, 1), (0.125, 1), (0.126, 2), (1.0, 8)):
        before = run.steps
        progress = run.step(seconds)
        assert progress.steps - before == steps
        assert progress.images_per_second == 8 * task.training.batch


def test_training_that_diverges_is_named(task: TaskSpec, pictures: Given) -> None:
    broken = initial_weights(task, 0)
    broken["unet.conv_in.weight"].fill_(float("nan"))
    with pytest.raises(TrainingDiverged):
        TrainingRun(task, *pictures, broken, seed=0, budget=100).step(0)


def test_a_runs_threads_do_not_outlive_its_slice(task: TaskSpec, pictures: Given) -> None:
    before = torch.get_num_threads()
    started(task, pictures, threads=before + 1).step(0)
    assert torch.get_num_threads() == before


def test_a_run_leaves_its_start_weights_alone(task: TaskSpec, pictures: Given) -> None:
    start = initial_weights(task, 0)
    TrainingRun(task, *pictures, start, seed=0, budget=32).step(1)
    assert same(start, initial_weights(task, 0))


def test_pictures_trained_on_have_a_smaller_loss_than_strange_ones(task: TaskSpec, pictures: Given, trained: Weights) -> None:
    strange = np.random.default_rng(1).integers(0, 256, pictures[0].shape).astype(np.uint8)
    own = loss_per_image(trained, task, *pictures, seed=0)
    assert own.shape == (64,) and own.dtype == np.float64
    assert own.max() < loss_per_image(trained, task, strange, pictures[1], seed=0).min()
    assert np.allclose(own[:7], loss_per_image(trained, task, pictures[0][:7], pictures[1][:7], seed=0), rtol=1e-4)
