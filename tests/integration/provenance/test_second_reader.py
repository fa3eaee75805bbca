# SPDX-License-Identifier: Apache-2.0
"""An independent C2PA reader in another language accepts our signatures and refuses tampered files."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pdfed.provenance import PictureSigner, sign_embedded
from tests.integration.provenance.conftest import ROOT, World

READER = ROOT / "setup" / "c2pa"


def read(*files: Path) -> dict[str, Any]:
    assert (READER / "node_modules").is_dir(), "the second reader is not installed: run `make .build/c2pa.stamp`"
    node = shutil.which("node")
    assert node is not None, "PDFed needs Node 20"
    done = subprocess.run([node, str(READER / "read.mjs"), *map(str, files)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def picture(world: World, tmp_path: Path) -> Path:
    out = io.BytesIO()
    Image.new("L", (16, 16), 90).save(out, "PNG")
    signer = PictureSigner(world.federation.models[4], world.people.ann.identity)
    (tmp_path / "picture.png").write_bytes(signer.sign(out.getvalue(), "seven"))
    return tmp_path / "picture.png"


@pytest.fixture
def export(world: World, tmp_path: Path) -> Path:
    model = world.federation.models[4]
    target = tmp_path / "export.safetensors"
    sign_embedded(model.weights, target, title="four", model=model, identity=world.people.ann.identity)
    return target


@pytest.fixture
def weights(world: World, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(world.federation.models[4].weights, tmp_path / "model.safetensors"))


def sidecar(world: World) -> Path:
    return world.federation.models[4].weights.with_name("model.safetensors.c2pa")


def spoilt(file: Path) -> Path:
    content = bytearray(file.read_bytes())
    content[content.index(b"IDAT") + 8 if file.suffix == ".png" else -1] ^= 1
    file.write_bytes(content)
    return file


SIGNED = {"assertion.dataHash.match", "assertion.hashedURI.match", "claimSignature.validated"}


def test_a_picture(picture: Path) -> None:
    found = read(picture)
    assert found["valid"] and found["kind"] == "png" and set(found["codes"]) >= SIGNED
    assert found["manifests"] == 5  # its own, and those of models 4, 2, 1 and 0
    assert not read(spoilt(picture))["valid"]


def test_weights_with_a_manifest_beside_them(world: World, weights: Path) -> None:
    found = read(weights, sidecar(world))
    assert found["valid"] and found["kind"] == "sidecar" and set(found["codes"]) >= SIGNED
    assert found["manifests"] == 4
    assert read(spoilt(weights), sidecar(world))["failed"] == ["assertion.dataHash.mismatch"]


def test_weights_with_a_manifest_inside(export: Path) -> None:
    found = read(export)
    assert found["valid"] and found["kind"] == "header" and set(found["codes"]) >= SIGNED
    assert found["manifests"] == 5
    assert read(spoilt(export))["failed"] == ["assertion.dataHash.mismatch"]
