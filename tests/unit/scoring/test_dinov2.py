# SPDX-License-Identifier: Apache-2.0
"""DINOv2 features: the original's preprocessing and position embeddings; absent weights are a named error."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import Dinov2Config, Dinov2Model

from pdfed.genesis import _with_dinov2
from pdfed.scoring import Dinov2, ModelMissing, Ruler
from pdfed.scoring.dinov2 import preprocess
from pdfed.spec import PRESETS, Scoring, TaskFile
from tests.unit.conftest import Digits, Trained


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The architecture of facebook/dinov2-large with fewer and narrower layers, random weights, and its 37×37 grid."""
    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, patch_size=14, image_size=518)
    path = tmp_path_factory.mktemp("dinov2")
    Dinov2Model(config).save_pretrained(path)
    return path


def test_features_come_from_a_local_folder(folder: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    extractor = Dinov2.load(folder)
    features = extractor.features(images)
    assert features.shape == (20, 32) and features.dtype == np.float32 and np.isfinite(features).all()
    assert np.allclose(features[17:], extractor.features(images[17:]), atol=1e-5)
    grey = extractor.features(images[:2, :, :, :1])
    assert np.allclose(grey, extractor.features(images[:2, :, :, :1].repeat(3, axis=3)), atol=1e-5)


def test_position_embeddings_are_those_of_the_original(folder: Path) -> None:
    plain, extractor = Dinov2Model.from_pretrained(folder).eval(), Dinov2.load(folder)
    trained = plain.embeddings.position_embeddings.detach()
    square = trained[:, 1:].reshape(1, 37, 37, 32).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(square, scale_factor=(16.1 / 37, 16.1 / 37), mode="bicubic", antialias=False)
    fitted = extractor._model.embeddings.position_embeddings
    assert fitted.shape == (1, 257, 32) and torch.equal(fitted[:, :1], trained[:, :1])
    assert torch.allclose(fitted[:, 1:], expected.permute(0, 2, 3, 1).reshape(1, 256, 32))
    picture = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    with torch.inference_mode():
        theirs = plain(pixel_values=preprocess(picture[0])[None]).pooler_output.numpy()
    assert not np.allclose(extractor.features(picture), theirs, atol=1e-5)


def test_preprocessing_is_pil_bicubic_to_224_with_imagenet_normalisation() -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    resized = np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC)) / 255
    expected = (resized - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    assert np.allclose(preprocess(image).permute(1, 2, 0).numpy(), expected, atol=1e-5)


def test_absent_weights_are_a_named_error_with_what_to_do(tmp_path: Path, folder: Path, digits: Digits, trained: Trained) -> None:
    with pytest.raises(ModelMissing, match="hf download facebook/dinov2-large"):
        Dinov2.load(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelMissing):
        Dinov2.load(tmp_path / "empty")
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("layernorm.weight")
    save_file(tensors, tmp_path / "empty" / "model.safetensors", metadata={"format": "pt"})
    shutil.copy(folder / "config.json", tmp_path / "empty")
    with pytest.raises(ModelMissing, match="lacks 1 of their tensors"):
        Dinov2.load(tmp_path / "empty")
    scoring = trained.scoring.model_copy(update={"features": "dinov2"})
    with pytest.raises(ModelMissing):  # never a silent fall back to fingerprints
        Ruler(trained.scorers, scoring, *digits.train, digits.test[0], dinov2=tmp_path / "nothing")


def test_weights_that_are_cut_short_or_contradict_their_config_are_a_named_error(tmp_path: Path, folder: Path) -> None:
    """Regression: an interrupted download ended in a traceback of safetensors, another width in one of transformers."""
    short, other = tmp_path / "short", tmp_path / "other"
    shutil.copytree(folder, short)
    whole = (folder / "model.safetensors").read_bytes()
    for content in (whole[: len(whole) // 2], b""):
        (short / "model.safetensors").write_bytes(content)
        with pytest.raises(ModelMissing, match="short"):
            Dinov2.load(short)
    shutil.copytree(folder, other)
    config = json.loads((folder / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "hidden_size": 48}))
    with pytest.raises(ModelMissing, match="other"):
        Dinov2.load(other)


def test_other_weights_than_the_tasks_are_refused(tmp_path: Path, folder: Path, digits: Digits, trained: Trained) -> None:
    """Regression: a node with any other DINOv2 measured with a ruler of its own, and nobody knew."""
    digest = Dinov2.load(folder).digest
    torch.manual_seed(1)
    Dinov2Model(Dinov2Config.from_pretrained(folder)).save_pretrained(tmp_path / "theirs")
    assert Dinov2.load(folder, digest).digest == digest != Dinov2.load(tmp_path / "theirs").digest
    scoring = Scoring(features="dinov2", dinov2=digest, training_images=100)
    with pytest.raises(ModelMissing, match="other weights or settings than the task's"):
        Ruler(trained.scorers, scoring, *digits.train, digits.test[0], dinov2=tmp_path / "theirs")


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_weights_are_worked_with_in_float32(tmp_path: Path, folder: Path, kind: torch.dtype) -> None:
    """Regression: bf16 weights ended in a traceback, fp16 ones in features of fp16."""
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    Dinov2Model.from_pretrained(folder, dtype=kind).save_pretrained(tmp_path)
    rounded = Dinov2(Dinov2Model.from_pretrained(tmp_path, dtype=kind).float())
    features = Dinov2.load(tmp_path).features(images)
    assert features.dtype == np.float32 and np.array_equal(features, rounded.features(images))


@pytest.mark.parametrize(("setting", "value"), [("num_attention_heads", 1), ("layer_norm_eps", 0.5), ("hidden_act", "relu")])
def test_the_tasks_weights_with_other_settings_are_refused(tmp_path: Path, folder: Path, setting: str, value: Any) -> None:
    """Regression: the digest was of the weights alone, and passed a config with which they give other features."""
    shutil.copytree(folder, tmp_path / "theirs")
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "theirs" / "config.json").write_text(json.dumps({**config, setting: value}))
    with pytest.raises(ModelMissing, match="other weights or settings"):
        Dinov2.load(tmp_path / "theirs", Dinov2.load(folder).digest)


def test_a_deployment_writes_the_digest_of_the_weights_into_the_task(tmp_path: Path, folder: Path) -> None:
    given = TaskFile.model_validate(
        {**PRESETS["digits"], "task": {**PRESETS["digits"]["task"], "scoring": {"features": "dinov2"}}}
    )
    assert _with_dinov2(given, str(folder)).task.scoring.dinov2 == Dinov2.load(folder).digest
    with pytest.raises(ModelMissing):
        _with_dinov2(given, str(tmp_path))
    plain = TaskFile.model_validate(PRESETS["digits"])
    assert _with_dinov2(plain, str(tmp_path)) is plain


def test_a_ruler_takes_its_fid_on_dinov2_when_the_task_says_so(folder: Path, digits: Digits, trained: Trained) -> None:
    scoring = trained.scoring.model_copy(update={"features": "dinov2", "fid_scale": 1.0})
    test = digits.test[0][:20]
    ruler = Ruler(trained.scorers, scoring, *digits.train, test, dinov2=folder)
    assert ruler.score(test, digits.test[1][:20]).fid == pytest.approx(0, abs=1e-3)
    noise = np.random.default_rng(0).integers(0, 256, test.shape, dtype=np.uint8)
    assert ruler.score(noise, digits.test[1][:20]).fid > 0.01


def test_test_features_are_computed_once_and_again_only_where_they_must(
    tmp_path: Path, folder: Path, digits: Digits, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: every start of a node took DINOv2 through all its test pictures, and began again when it was killed."""
    scoring = trained.scoring.model_copy(update={"features": "dinov2"})
    test, labels = digits.test[0][:40], digits.test[1][:40]
    done: list[int] = []
    features = Dinov2.features

    def counted(extractor: Dinov2, images: np.ndarray) -> np.ndarray:
        done.append(len(images))
        return features(extractor, images)

    def ruler(pictures: np.ndarray, cache: Path | None = tmp_path / "kept", source: Path = folder) -> Ruler:
        done.clear()
        return Ruler(trained.scorers, scoring, *digits.train, pictures, dinov2=source, cache=cache)

    monkeypatch.setattr(Dinov2, "features", counted)
    first = ruler(test)
    assert done == [16, 16, 8]  # each on disk before the next is begun
    again = ruler(test)
    assert done == []
    fresh = ruler(test, cache=None)
    assert sum(done) == 40
    scores = [one.score(digits.unseen[0][:40], labels) for one in (first, again, fresh)]
    assert scores[0] == scores[1] == scores[2]
    ruler(test[1:])
    assert sum(done) == 39
    torch.manual_seed(1)
    Dinov2Model(Dinov2Config.from_pretrained(folder)).save_pretrained(tmp_path / "theirs")
    ruler(test, source=tmp_path / "theirs")
    assert sum(done) == 40


def test_a_step_of_judging_takes_dinov2_through_few_pictures(
    folder: Path, digits: Digits, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: a step took 64 pictures, with ViT-L on two cores four minutes without a sign of life."""
    scoring = trained.scoring.model_copy(update={"features": "dinov2"})
    ruler = Ruler(trained.scorers, scoring, *digits.train, digits.test[0][:20], dinov2=folder)
    of_step: list[int] = []
    features = Dinov2.features
    monkeypatch.setattr(Dinov2, "features", lambda self, images: of_step.append(len(images)) or features(self, images))
    shares = list(ruler.scoring(digits.unseen[0][:40], digits.unseen[1][:40]))
    assert of_step == [16, 16, 8] and shares == [0.4, 0.8, 1.0]
