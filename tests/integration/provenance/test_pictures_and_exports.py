# SPDX-License-Identifier: Apache-2.0
"""Pictures, weights and diffusers folders from a federation: all carry credentials that name the model's authors."""

from __future__ import annotations

import io
import json
import runpy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from click.testing import CliRunner
from diffusers import DiffusionPipeline
from PIL import Image

from pdfed import bundle as bundles
from pdfed.audit.card import card_faults
from pdfed.chain.client import ContractClient
from pdfed.diffusion import grid, load_weights
from pdfed.diffusion.network import network_with
from pdfed.diffusion.noise import scheduler, to_uint8
from pdfed.diffusion.sampling import _denoise
from pdfed.export import _readme
from pdfed.generate import GRID_PIXELS, columns, grid_capacity
from pdfed.provenance import WeightsAltered, read_manifest, verify_embedded, verify_picture
from pdfed.provenance.picture_credentials import MAX_PICTURE_BYTES, sign_picture
from pdfed.public import Public
from pdfed.spec import Images
from pdfed.storage import LocalStore
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
    """Also the largest grid, uncompressed."""
    count = grid_capacity(Images(size=size, channels=channels, classes=("a",)))
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
    [
        (("--classes", "cat"), "NoSuchClass"),
        (("--classes", ","), "NoSuchClass"),
        (("--model", "99"), "NoSuchModel"),
        (("--model", "best"), "NoSuchModel"),
        (("--model", "9" * 5000), "NoSuchModel"),
    ],
)
def test_a_wish_that_can_not_be_met(command: Command, tmp_path: Path, words: tuple[str, ...], error: str) -> None:
    done = command("generate", *words, "--out", tmp_path / "out", "--home", tmp_path / "home")
    assert done.exit_code == 1 and f"Error: {error}" in done.output and not (tmp_path / "out").exists()


def test_a_guidance_that_is_no_number_is_refused_before_anything_is_drawn(command: Command, tmp_path: Path) -> None:
    """Regression: a batch was drawn before the command refused the value."""
    done = command("generate", "--guidance", "nan", "--out", tmp_path / "out", "--home", tmp_path / "home")
    assert done.exit_code == 2 and "--guidance" in done.output and not (tmp_path / "out").exists()


@pytest.mark.parametrize("fault", ["flipped", "lost"])
def test_a_model_whose_copy_here_is_damaged_is_fetched_again(command: Command, tmp_path: Path, fault: str) -> None:
    """Regression: every later command reported altered weights and refused the model."""
    wish = ("--model", 2, "--n", 1, "--steps", 2, "--home", tmp_path / "home")
    assert command("generate", *wish, "--out", tmp_path / "before").exit_code == 0
    (weights,) = (tmp_path / "home" / "bundles").glob("*/model.safetensors")
    whole = weights.read_bytes()
    weights.unlink() if fault == "lost" else weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    done = command("generate", *wish, "--out", tmp_path / "after")
    assert done.exit_code == 0, done.output
    assert weights.read_bytes() == whole


class Counting(LocalStore):
    """A store that records fetched bundles. meanwhile: called once, before the next fetch."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.fetched: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def fetch(self, cid: str, dest: Path, max_bytes: int, deadline: float, paths: Sequence[str] = ()) -> None:
        callback, self.meanwhile = self.meanwhile, lambda: None
        callback()
        if len(paths) > 1:
            self.fetched.append(cid)
        super().fetch(cid, dest, max_bytes, deadline, paths)


def public(world: World, store: LocalStore, folder: Path) -> Public:
    return Public(world.federation.client, world.federation.ledger, store, folder)


def test_a_model_that_is_itself_wrong_is_not_fetched_again(world: World, tmp_path: Path) -> None:
    federation = world.federation

    def spoil(folder: Path) -> None:
        content = (folder / bundles.WEIGHTS).read_bytes()
        (folder / bundles.WEIGHTS).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    id = federation.publish(world.people.bob, [2], change=spoil)
    store = Counting(federation.store.root)
    for _ in range(2):
        with pytest.raises(WeightsAltered):
            public(world, store, tmp_path / "bundles").as_parent(federation.ledger.models[id])
    assert store.fetched == [federation.models[id].cid]


def test_two_commands_may_fetch_one_model_at_the_same_time(world: World, tmp_path: Path) -> None:
    """Regression: the slower one failed."""
    federation = world.federation
    store = Counting(federation.store.root)
    slower, faster = (public(world, each, tmp_path / "bundles") for each in (store, federation.store))
    assert slower.task == faster.task
    model = federation.ledger.models[2]
    store.meanwhile = lambda: faster.as_parent(model)
    found = slower.as_parent(model)
    assert store.fetched == [found.cid] and found.title == "digits no. 1" and found == faster.as_parent(model)


def test_a_picture_is_looked_up_on_the_chain(world: World, command: Command, tmp_path: Path) -> None:
    """Regression: with --file, --network and --contract were ignored."""
    federation = world.federation
    home = ("--home", tmp_path / "home")
    assert command("generate", "--n", 1, "--steps", 2, "--out", tmp_path / "out", "--model", 4, *home).exit_code == 0
    picture = tmp_path / "out" / "00000-0.png"
    assert json.loads(command("audit", "--file", picture, "--json").stdout)["id"] == 4
    assert "this is model 4" in command("audit", "--file", picture).stdout
    cli = runpy.run_path(str(ROOT / "scripts" / "audit.py"))["cli"]
    other = ContractClient.deploy(federation.client.terms(), 10**18, federation.chain.account(0)).address
    for contract, error in ((other, "NotOfContract"), ("0x" + "11" * 20, "NotPDFed")):
        done = CliRunner().invoke(cli, ["--file", str(picture), "--network", federation.chain.url, "--contract", contract])
        assert done.exit_code == 1 and f"Error: {error}" in done.output, done.output
    assert command("audit", 4, "--file", picture).exit_code == 2


def test_a_picture_that_names_a_model_with_the_history_of_another(world: World, command: Command, tmp_path: Path) -> None:
    """Anyone can sign a picture that names model 2 and carries another author's manifest."""
    federation, ann, bob = world.federation, world.people.ann, world.people.bob
    posing = replace(federation.models[2], weights=federation.models[4].weights, manifest=federation.models[4].manifest)
    blank = io.BytesIO()
    Image.new("L", (16, 16)).save(blank, "PNG")
    (tmp_path / "a.png").write_bytes(sign_picture(blank.getvalue(), title="mine", model=posing, identity=ann.identity))
    done = command("audit", "--file", tmp_path / "a.png")
    assert done.exit_code == 1 and "Error: NotOfContract" in done.output
    assert f"names author {ann.address.lower()}, the submission {bob.address.lower()}" in done.output


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
    """With diffusers' own DiTPipeline, UNet2DModel and AutoencoderDC; pictures are equal within one level of 255."""
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


@pytest.mark.parametrize("title", ["\x1b[2Jhi\nEVIL \ud800", "Official champion"])
def test_a_false_card_does_not_reach_what_we_sign(world: World, command: Command, tmp_path: Path, title: str) -> None:
    """Regression: `audit` rejected such a model, but `export` signed its title and copied its card."""
    federation, bob, out = world.federation, world.people.bob, tmp_path / "out"

    def spoil(folder: Path) -> None:
        lies = {"title": title, "licence": "CC0-1.0", "author": "0x" + "11" * 20}
        (folder / bundles.CARD).write_text(json.dumps(json.loads((folder / bundles.CARD).read_text()) | lies))

    id = federation.publish(bob, [2], change=spoil)
    done = command("export", "--model", id, "--out", out, "--home", tmp_path / "home")
    assert done.exit_code == 0, done.output
    found = verify_embedded(out / bundles.WEIGHTS)
    assert found.title == found.model_title == found.lineage[0].title and found.title.startswith("digits no. ")
    card = json.loads((out / bundles.CARD).read_text())
    assert card_faults(card, read_manifest(federation.models[id].manifest), federation.task) == []
    assert (card["author"], card["title"], card["licence"]) == (bob.address, found.title, federation.task.licence)
    assert title not in done.output and "EVIL" not in done.output
    assert f"# {found.title}\n" in (out / "diffusers" / "README.md").read_text()


def test_the_head_of_an_exported_readme_is_yaml_whatever_the_licence(world: World) -> None:
    """Regression: a licence of several lines replaced the whole page."""
    federation = world.federation
    task = federation.task.model_copy(update={"licence": 'MIT: "mine" # yours'})
    page = _readme(federation.models[2], task)
    assert yaml.safe_load(page.split("---")[1])["license"] == task.licence.lower()


def test_an_export_overwrites_nothing(command: Command, exported: Path, tmp_path: Path) -> None:
    done = command("export", "--model", 4, "--out", exported, "--home", tmp_path / "home")
    assert done.exit_code == 1 and "Error: TargetExists" in done.output
