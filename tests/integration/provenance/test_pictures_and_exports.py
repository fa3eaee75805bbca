# SPDX-License-Identifier: Apache-2.0
"""What people take out of a federation: pictures, weights, a folder for diffusers. All of it tells who trained the model."""

from __future__ import annotations

import io
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from diffusers import DiffusionPipeline
from PIL import Image

from pdfed import bundle as bundles
from pdfed.diffusion import grid, load_weights
from pdfed.diffusion.network import network_with
from pdfed.diffusion.noise import scheduler, to_uint8
from pdfed.diffusion.sampling import _denoise
from pdfed.generate import GRID_PIXELS, columns, most_shown
from pdfed.provenance import verify_embedded, verify_picture
from pdfed.provenance.pictures import MAX_PICTURE_BYTES
from pdfed.spec import Images
from tests.integration.provenance.conftest import ROOT, Command, World


def test_anyone_draws_with_the_champion(world: World, command: Command, tmp_path: Path) -> None:
    out, home = tmp_path / "out", tmp_path / "home"
    wish = ("--classes", "3,7", "--n", 4, "--steps", 2, "--guidance", 1.5, "--seed", 5, "--out", out, "--home", home)
    done = command("generate", *wish, "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["model"] == 2 and [Path(file).name for file in facts["files"]] == [
        "00000-3.png", "00001-7.png", "00002-3.png", "00003-7.png", "grid.png",
    ]  # fmt: skip
    found = verify_picture((out / "00001-7.png").read_bytes())
    assert found.model_cid == world.federation.models[2].cid == facts["bundle"] and found.complete
    assert found.authors[:2] == (world.people.bob.address, world.people.ann.address)
    assert found.drawing is not None
    assert vars(found.drawing) == {
        "label": "7", "seed": 5, "index": 1, "steps": 2, "guidance": 1.5, "sampler": world.federation.task.sampling.sampler,
    }  # fmt: skip
    assert verify_picture((out / "grid.png").read_bytes()).drawing is not None
    first = (out / "00000-3.png").read_bytes()
    again = command("generate", *wish)
    assert again.exit_code == 0 and np.array_equal(*(np.asarray(Image.open(out / "00000-3.png")), pixels(first)))


def test_a_grid_does_not_grow_with_the_number_of_pictures(
    world: World, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pdfed.generate.GRID_PICTURES", 4)
    out = tmp_path / "out"
    done = command("generate", "--n", 6, "--steps", 2, "--out", out, "--home", tmp_path / "home")
    assert done.exit_code == 0, done.output
    assert len(list(out.iterdir())) == 6 + 1
    sheet, task = (out / "grid.png").read_bytes(), world.federation.task
    assert verify_picture(sheet).title == f"{task.name}: the first 4 of 6 pictures"
    first = pixels((out / "00003-3.png").read_bytes())
    scale = -(-GRID_PIXELS // task.images.size)
    assert np.array_equal(pixels(sheet)[::scale, ::scale][-1 - task.images.size : -1, -1 - task.images.size : -1], first)


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (16, 3), (255, 3), (512, 3)])
def test_every_grid_can_be_read_again(size: int, channels: int) -> None:
    """At its largest, and not compressed at all."""
    count = most_shown(Images(size=size, channels=channels, classes=("a",)))
    drawn = np.zeros((count, size, size, channels), dtype=np.uint8)
    content = io.BytesIO()
    grid(drawn, columns(count, 1), -(-GRID_PIXELS // size)).save(content, "PNG", compress_level=0)
    assert count >= 25 and len(content.getvalue()) < MAX_PICTURE_BYTES - 4_000_000  # room for the credentials


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_the_audit_command_reads_a_picture_without_chain_and_store(world: World, command: Command, tmp_path: Path) -> None:
    command("generate", "--n", 1, "--steps", 2, "--out", tmp_path / "out", "--home", tmp_path / "home", "--model", "4")
    cli = runpy.run_path(str(ROOT / "scripts" / "audit.py"))["cli"]
    picture = tmp_path / "out" / "00000-0.png"
    facts = json.loads(CliRunner().invoke(cli, ["--file", str(picture), "--json"]).stdout)
    assert [entry["parents"][:1] for entry in facts["lineage"]][-1] == [] and len(facts["lineage"]) == 4
    assert facts["authors"][0] == world.people.ann.address and facts["state"] == "Valid"
    anchors = next((tmp_path / "home" / "identity").rglob("ca.pem"))  # the certificate, and its key
    assert (
        json.loads(CliRunner().invoke(cli, ["--file", str(picture), "--anchors", str(anchors), "--json"]).stdout)["state"]
        == "Trusted"
    )
    said = CliRunner().invoke(cli, ["--file", str(picture)], env={"COLUMNS": "200"}).stdout
    assert world.people.bob.address in said and "Who trained it" in said
    content = bytearray(picture.read_bytes())
    content[content.index(b"IDAT") + 8] ^= 1
    picture.write_bytes(content)
    refused = CliRunner().invoke(cli, ["--file", str(picture)])
    assert refused.exit_code == 1 and "Error: PictureAltered" in refused.output


@pytest.mark.parametrize(
    ("words", "error"),
    [(("--classes", "cat"), "NoSuchClass"), (("--model", "99"), "NoSuchModel"), (("--model", "best"), "NoSuchModel")],
)
def test_a_wish_that_can_not_be_met(command: Command, tmp_path: Path, words: tuple[str, ...], error: str) -> None:
    done = command("generate", *words, "--out", tmp_path / "out", "--home", tmp_path / "home")
    assert done.exit_code == 1 and f"Error: {error}" in done.output and not (tmp_path / "out").exists()


@pytest.fixture
def exported(command: Command, tmp_path: Path) -> Path:
    out = tmp_path / "exported"
    done = command("export", "--model", 4, "--out", out, "--home", tmp_path / "home")
    assert done.exit_code == 0, done.output
    return out


def test_an_export_carries_its_credentials(world: World, exported: Path) -> None:
    weights = verify_embedded(exported / "model.safetensors")
    assert weights.same_weights and weights.model_cid == world.federation.models[4].cid
    converted = verify_embedded(exported / "diffusers" / "transformer" / "diffusion_pytorch_model.safetensors")
    assert not converted.same_weights and converted.authors == weights.authors
    assert json.loads((exported / "card.json").read_text())["title"] == weights.model_title


def test_diffusers_loads_an_export_and_draws_what_we_draw(world: World, exported: Path) -> None:
    """DiTPipeline, UNet2DModel, AutoencoderDC: all of them diffusers' own, and the same pictures to one level of 255."""
    pipeline = DiffusionPipeline.from_pretrained(str(exported / "diffusers"))
    pipeline.set_progress_bar_config(disable=True)
    task = world.federation.task
    assert pipeline.get_label_ids(["3", "7"]) == [3, 7]
    network = network_with(
        task, load_weights(exported.parent / "home" / "bundles" / world.federation.models[4].cid / "model.safetensors", task)
    )
    solver = scheduler(task.training)
    block, size = task.network.unshuffle, task.images.size // task.network.unshuffle
    for guidance in (0.0, 2.0):
        drawn = pipeline(
            class_labels=[3, 7],
            guidance_scale=1 + guidance,
            num_inference_steps=5,
            generator=torch.Generator().manual_seed(1),
            output_type="np",
        ).images
        noise = torch.randn((2, task.images.channels * block**2, size, size), generator=torch.Generator().manual_seed(1))
        solver.set_timesteps(5)
        ours = to_uint8(_denoise(network.eval(), solver, F.pixel_shuffle(noise, block), torch.tensor([3, 7]), guidance))
        assert np.abs((drawn * 255).round() - ours).max() <= 1
        assert ours.std() > 10


def test_a_hostile_title_does_not_reach_an_export(world: World, command: Command, tmp_path: Path) -> None:
    def spoil(folder: Path) -> None:
        card = json.loads((folder / bundles.CARD).read_text())
        (folder / bundles.CARD).write_text(json.dumps(card | {"title": "\x1b[2Jhi\nEVIL \ud800"}))

    id = world.federation.publish(world.people.bob, [2], change=spoil)
    done = command("export", "--model", id, "--out", tmp_path / "out", "--home", tmp_path / "home")
    assert done.exit_code == 0, done.output
    assert "([2Jhi EVIL):" in done.output and "\x1b" not in (tmp_path / "out" / "diffusers" / "README.md").read_text()


def test_an_export_overwrites_nothing(command: Command, exported: Path, tmp_path: Path) -> None:
    done = command("export", "--model", 4, "--out", exported, "--home", tmp_path / "home")
    assert done.exit_code == 1 and "Error: TargetExists" in done.output
