# SPDX-License-Identifier: Apache-2.0
"""A folder of mixed JPEG and PNG pictures of different sizes trains and submits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.integration.conftest import Sepolia

CLASSES = ("circles", "stripes")


def paint(kind: str, rng: np.random.Generator) -> Image.Image:
    """A colourful picture of its class, of any size and shape."""
    width, height = rng.integers(24, 90, 2)
    y, x = np.mgrid[0:height, 0:width]
    colours = rng.integers(0, 255, (2, 3))
    if kind == "circles":
        mask = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(width, height) * rng.uniform(0.2, 0.45)) ** 2
    else:
        mask = ((x * rng.uniform(-1, 1) + y) // rng.integers(4, 10)) % 2 == 0
    noise = rng.integers(-12, 12, (height, width, 3))
    return Image.fromarray(np.clip(np.where(mask[..., None], colours[0], colours[1]) + noise, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A public and a private folder, with modes and formats as people have them, and some broken files."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for part, count in (("public", 60), ("private", 30)):
        for kind in CLASSES:
            folder = root / part / kind
            folder.mkdir(parents=True)
            for number in range(count):
                picture = paint(kind, rng)
                match number % 4:
                    case 0:
                        picture.save(folder / f"{number}.jpg", quality=90)
                    case 1:
                        picture.save(folder / f"{number}.png")
                    case 2:
                        picture.convert("P").save(folder / f"{number}.png")
                    case _:
                        picture.convert("L").save(folder / f"{number}.jpeg")
    (root / "private" / "circles" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    (root / "private" / "stripes" / "notes.txt").write_text("not a picture either")
    return root / "public", root / "private"


def test_a_folder_of_mixed_pictures_trains_and_submits(sepolia: Sepolia, folders: tuple[Path, Path], tmp_path: Path) -> None:
    public, private = folders
    task = tmp_path / "task.yaml"
    given = {
        "preset": "art64",
        "task": {
            "images": {"size": 16},
            "network": {"unshuffle": 2, "channels": [32]},
            "sampling": {"steps": 4, "images": 40},
            "scoring": {"training_images": 1500},
        },
        "terms": {"commit_window": 600, "reveal_window": 600, "unbonding": 1200, "enrolment": 0},
        "public": str(public),
        "genesis_images": 1500,
    }
    task.write_text(yaml.safe_dump(given))
    store, home = f"local:{tmp_path}/store", str(tmp_path / "home")
    made = sepolia.ape(
        "run", "deploy", "--network", "sepolia", "--task", str(task), "--account", "sponsor", "--store", store, "--home", home,
        "--threads", "1",
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    contract = next(line.split()[-1] for line in made.stdout.splitlines() if line.startswith("Deployed on chain"))
    ran = sepolia.ape(
        "run", "node", "--network", "sepolia", "--contract", contract, "--account", "cyd", "--data", str(private),
        "--store", store, "--home", home, "--images-per-submission", "600", "--submit-worse", "--max-submissions", "1",
        "--until-published", "1",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "60 pictures, 2 skipped" in ran.stdout
    assert "broken.jpg" in ran.stdout
    told = sepolia.ape("run", "status", "--network", "sepolia", "--contract", contract, "--json")
    models = json.loads(told.stdout[told.stdout.index("{") :])["models"]
    assert len(models) == 2
