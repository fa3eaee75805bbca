# SPDX-License-Identifier: Apache-2.0
"""The start of a federation: scoring models and initial weights from pictures that are not private, signed and bundled.

    public pictures → scoring models → FID scale → trained genesis → noise of the paired gain → manifest → bundle

Each stage leaves its result in the working folder, so that a stopped run goes on where it was. The genesis is trained until
it draws something: a pure-noise genesis would hand the first submission a whole `release` for trivial work.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pdfed import bundle as bundles
from pdfed.atomic import replacing, write_atomic
from pdfed.data import ImageSet, classes_in, load, split
from pdfed.diffusion import TrainingRun, initial_weights, load_weights, sample_all, save_weights
from pdfed.errors import PDFedError
from pdfed.mechanism import STEPS_PER_HALVING
from pdfed.provenance import Claim, Identity, TrainingFacts, WalletSigner, dataset_root, sign_model
from pdfed.scoring import Dinov2, Ruler, Scorers, noise_fid_scale, train_scorers
from pdfed.spec import DINOV2, TaskFile, TaskSpec
from pdfed.spec.task import MAX_SCALE
from pdfed.storage import cid_of, digest_of

NOISE_ROUNDS = 10  # paired measurements from which the noise of a gain is estimated
# The noise itself is smaller than this many estimates of it in 9 of 10 cases: the upper 90 % limit of a standard deviation from
# ten normal values, √(9 / χ²₉(0.1)). From five values an estimate below half the noise is not rare (docs/economics.md).
NOISE_MARGIN = 1.47
FEW_VOTERS = 5  # up to here the median is taken over so few that luck needs a wider margin
SLICE_SECONDS = 2.0
EARLIER = 0.75  # of the genesis's images: then the model is taken that it is compared with to measure the noise
EARLIER_WEIGHTS = "earlier.safetensors"

Say = Callable[[str], None]


class GenesisUnfit(PDFedError):
    """A genesis by which nothing can be measured: no federation can start from it."""


@dataclass(frozen=True)
class Genesis:
    """A finished genesis. folder, cid: its bundle. noise: standard deviation of one voter's paired gain, in steps."""

    folder: Path
    cid: str
    task: TaskSpec
    noise: float

    @property
    def digest(self) -> bytes:
        return digest_of(self.cid)

    def min_gain(self, voters: int) -> int:
        """The smallest gain that is paid: 2 standard deviations of the noise (its upper limit), 3 where few vote; 2..63 steps."""
        width = 3 if voters <= FEW_VOTERS else 2
        return min(63, max(2, math.ceil(width * NOISE_MARGIN * self.noise)))


def complete_task(given: TaskFile) -> TaskFile:
    """Fill in the class names of a folder of pictures where the task leaves them open."""
    if given.task.images.classes != ("picture",) or not Path(given.public).is_dir():
        return given
    images = given.task.images.model_copy(update={"classes": classes_in(given.public)})
    return given.model_copy(update={"task": TaskSpec.model_validate({**given.task.model_dump(), "images": images.model_dump()})})


def make_genesis(
    given: TaskFile, home: Path, author: str, chain_id: int, sign: WalletSigner, say: Say, *, dinov2: str = DINOV2
) -> Genesis:
    """Make, or finish, the genesis of a task. home: working folder; sign: the author's wallet. Reports each stage to `say`.
    dinov2: weights of a task with `features: dinov2`, a folder or their name in the hub's cache. Raises ModelMissing,
    GenesisUnfit."""
    given = _with_dinov2(complete_task(given), dinov2)
    recipe = hashlib.sha256(f"{given.model_dump_json()} {author} {chain_id}".encode()).hexdigest()[:16]
    work = home / "genesis" / f"{given.task.name}-{recipe}"
    work.mkdir(parents=True, exist_ok=True)
    pictures = load(given.public, given.task.images)
    say(f"public pictures: {len(pictures)}, {len(pictures.skipped)} skipped")
    scorers = _scorers(given, pictures, work, say)
    task = _scaled(given.task, scorers, pictures)
    _train(given, task, pictures, work, say)
    noise = _measured_noise(task, scorers, pictures, work, say, dinov2)
    folder = _bundle(given, task, pictures, work, author, chain_id, sign)
    return Genesis(folder=folder, cid=cid_of(folder), task=task, noise=noise)


def _with_dinov2(given: TaskFile, source: str) -> TaskFile:
    """The digest of the DINOv2 weights becomes a term of the task. Asked for before hours of training, not after."""
    scoring = given.task.scoring
    if scoring.features != "dinov2":
        return given
    scoring = scoring.model_copy(update={"dinov2": Dinov2.load(source, scoring.dinov2).digest})
    return given.model_copy(update={"task": given.task.model_copy(update={"scoring": scoring})})


def _scorers(given: TaskFile, pictures: ImageSet, work: Path, say: Say) -> Scorers:
    done = work / "scorers.done"
    if not done.exists():
        scorers = train_scorers(
            pictures.images,
            pictures.labels,
            given.task.scoring,
            seed=given.seed,
            progress=in_tenths(say),
            checkpoint=work / "scorers.training",
        )
        scorers.save(work / bundles.SCORING)
        done.touch()
        (work / "scorers.training").unlink()
    return Scorers.load(work / bundles.SCORING, given.task.scoring, given.task.images)


def in_tenths(say: Say) -> Callable[[str, float], None]:
    """Turns fine-grained progress (what, share 0..1) into a line per tenth."""
    told: dict[str, int] = {}

    def tell(what: str, share: float) -> None:
        tenth = int(share * 10 + 1e-6)
        if tenth > told.get(what, 0):
            told[what] = tenth
            say(f"training the {what}: {share:.0%}")

    return tell


def _scaled(task: TaskSpec, scorers: Scorers, pictures: ImageSet) -> TaskSpec:
    """The task with its FID scale measured: pure noise scores 1000 on the public pictures. DINOv2 keeps its own scale."""
    if task.scoring.features != "fingerprint":
        return task
    scale = noise_fid_scale(scorers, pictures.images)
    if not scale <= MAX_SCALE:  # no reader would take such a task
        raise GenesisUnfit(
            f"The scoring models hardly tell noise from the public pictures: fid_scale would be {scale:.3g}.",
            "Raise scoring.training_images in the task file, or look at the public pictures.",
        )
    return task.model_copy(update={"scoring": task.scoring.model_copy(update={"fid_scale": scale})})


def _train(given: TaskFile, task: TaskSpec, pictures: ImageSet, work: Path, say: Say) -> None:
    """Leave earlier.safetensors and model.safetensors in `work`. The earlier one is taken where the first batch ends at or after
    3/4 of the images: the noise, and with it a term of the contract, must not depend on how fast this machine is."""
    if (work / bundles.WEIGHTS).exists():
        return
    checkpoint = work / "training"
    if TrainingRun.saved(checkpoint):
        run = TrainingRun.resume(checkpoint, task, pictures.images, pictures.labels)
    else:
        start = initial_weights(task, given.seed)
        run = TrainingRun(task, pictures.images, pictures.labels, start, seed=given.seed, budget=given.genesis_images)
    mark = math.ceil(EARLIER * given.genesis_images)
    while run.images_seen < given.genesis_images:
        before = run.images_seen
        progress = run.step(SLICE_SECONDS, mark if before < mark else None)
        if before < mark <= run.images_seen:  # kept before the checkpoint: a run killed in between comes here again
            with replacing(work / EARLIER_WEIGHTS) as fresh:
                save_weights(run.ema(), fresh, task)
        run.save(checkpoint)
        left = (given.genesis_images - run.images_seen) / progress.images_per_second
        say(
            f"training the genesis: {run.images_seen}/{given.genesis_images} images, "
            f"{progress.images_per_second:.0f} images/s, loss {progress.loss:.4f}, {max(0.0, left):.0f} s left"
        )
    with replacing(work / bundles.WEIGHTS) as fresh:
        save_weights(run.ema(), fresh, task)


def _measured_noise(task: TaskSpec, scorers: Scorers, pictures: ImageSet, work: Path, say: Say, dinov2: str) -> float:
    """Standard deviation, in steps of 1/64 halving, of the gain that voters with other data and other noise measure. Each gain
    is kept as it is measured. Raises GenesisUnfit."""
    note = work / "noise.json"
    gains = _noted_gains(note)
    for gain in _paired_gains(task, scorers, pictures, work, dinov2, range(len(gains), NOISE_ROUNDS)):
        gains.append(gain)
        write_atomic(note, json.dumps({"gains": gains}))
        say(f"measuring the noise of a vote: {len(gains)}/{NOISE_ROUNDS}")
    noise = statistics.stdev(gains) * STEPS_PER_HALVING
    if not noise > 0:  # no two voters agree to the last bit: nothing was measured, and the least min_gain would pay luck
        raise GenesisUnfit(
            f"The noise of a vote can't be measured: all gains of the genesis over its earlier model are {gains[0]:g}.",
            "Raise genesis_images in the task file, or take other public pictures, and deploy again.",
        )
    return noise


def _noted_gains(note: Path) -> list[float]:
    """What an earlier run measured; nothing where its note is missing or unreadable: it is measured again."""
    try:
        return [float(gain) for gain in json.loads(note.read_text())["gains"]][:NOISE_ROUNDS]
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return []


def _paired_gains(task: TaskSpec, scorers: Scorers, pictures: ImageSet, work: Path, dinov2: str, turns: range) -> Iterator[float]:
    later, earlier = (load_weights(work / name, task) for name in (bundles.WEIGHTS, EARLIER_WEIGHTS))
    for turn in turns:
        voter_share = pictures.subset(np.random.default_rng(turn).permutation(len(pictures))[: max(8, len(pictures) // 2)])
        train, test = split(voter_share, 0.5, turn)
        mine, flip = (train.images, train.labels, test.images), task.images.flip
        ruler = Ruler(scorers, task.scoring, *mine, flip=flip, dinov2=dinov2)
        scores = [ruler.score(*sample_all(weights, task, seed=turn)).value for weights in (earlier, later)]
        yield math.log2(max(scores[0], 1e-6) / max(scores[1], 1e-6))


def _bundle(
    given: TaskFile, task: TaskSpec, pictures: ImageSet, work: Path, author: str, chain_id: int, sign: WalletSigner
) -> Path:
    """Lay out and sign the genesis bundle. Its contract does not exist yet, so the claim names none."""
    folder = work / "bundle"
    if (work / "bundle.done").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copyfile(work / bundles.WEIGHTS, folder / bundles.WEIGHTS)
    shutil.copytree(work / bundles.SCORING, folder / bundles.SCORING)
    (folder / bundles.TASK).write_text(task.model_dump_json(indent=1) + "\n", encoding="utf-8")
    salt = hashlib.sha256(given.model_dump_json().encode()).digest()  # the data is public: nothing to hide
    facts = TrainingFacts(
        objective="genesis",
        optimiser="AdamW",
        images_seen=given.genesis_images,
        steps=math.ceil(given.genesis_images / task.training.batch),
        seed=given.seed,
        exchange=task.exchange,
        private_images=0,
        dataset_root=dataset_root(pictures.hashes, salt).hex(),
        excluded=0,
        epsilon=None,
    )
    title = f"{task.name} genesis"
    manifest = sign_model(
        folder / bundles.WEIGHTS,
        title=title,
        claim=Claim(author, chain_id, bundles.NO_CONTRACT, ()),
        parents=(),
        facts=facts,
        weights_cid=cid_of(folder / bundles.WEIGHTS),
        identity=Identity.load_or_create(work / "identity", author),
        sign=sign,
    )
    (folder / bundles.MANIFEST).write_bytes(manifest)
    bundles.write_card(
        folder,
        {
            "title": title,
            "task": task.name,
            "description": task.description,
            "author": author,
            "chain_id": chain_id,
            "parents": [],
            "images_seen": given.genesis_images,
            "public_pictures": len(pictures),
            "classes": list(task.images.classes),
            "sampler": task.sampling.model_dump(),
            "licence": task.licence,
        },
    )
    (work / "bundle.done").touch()
    return folder
