# SPDX-License-Identifier: Apache-2.0
"""The genesis, a federation's first model: trained with its scoring models on public pictures, signed and bundled.

    public pictures → scoring models → FID scale → trained genesis → noise of a vote (→ minGain) → manifest → bundle

Each stage stores its result in the working folder, so an interrupted run resumes. The genesis is trained until its samples
resemble pictures: a pure-noise genesis would pay the first submission a whole `release` for trivial work.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pdfed import bundle as bundles
from pdfed.atomic import replacing, write_atomic
from pdfed.data import ImageSet, classes_in, load, split
from pdfed.diffusion import TrainingRun, initial_weights, load_weights, sample_all, save_weights
from pdfed.errors import PDFedError
from pdfed.mechanism import STEPS_PER_HALVING
from pdfed.provenance import Claim, Identity, TrainingFacts, WalletSigner, dataset_root
from pdfed.scoring import Dinov2, Ruler, Scorers, noise_fid_scale, train_scorers
from pdfed.spec import DINOV2, TaskFile, TaskSpec
from pdfed.spec.task import MAX_SCALE
from pdfed.storage import cid_of, digest_of

NOISE_ROUNDS = 10  # paired measurements from which the noise of a gain is estimated
# Upper 90 % confidence limit of the noise over its estimate, a standard deviation from ten normal values: √(9 / χ²₉(0.1)).
# With five values, estimates below half the noise are not rare (docs/economics.md).
NOISE_MARGIN = 1.47
FEW_VOTERS = 5  # with no more voters than this, the median needs a wider margin against luck
SLICE_SECONDS = 2.0
EARLIER = 0.75  # share of the genesis's images after which the earlier model is saved; the noise is that of their paired gain
EARLIER_WEIGHTS = "earlier.safetensors"

Say = Callable[[str], None]


class GenesisUnfit(PDFedError):
    """The genesis or its scoring models can't measure a gain, so no federation can start from them."""


@dataclass(frozen=True)
class Genesis:
    """A finished genesis. folder, cid: its bundle. noise: standard deviation of one voter's paired gain, in steps of 1/64
    halving of Q-N."""

    folder: Path
    cid: str
    task: TaskSpec
    noise: float

    @property
    def digest(self) -> bytes:
        return digest_of(self.cid)

    def min_gain(self, voters: int) -> int:
        """Propose the contract's minGain, the smallest gain that is paid: twice the noise (its upper confidence limit), three
        times with few voters; 2..63 steps."""
        width = 3 if voters <= FEW_VOTERS else 2
        return min(63, max(2, math.ceil(width * NOISE_MARGIN * self.noise)))


def complete_task(task_file: TaskFile) -> TaskFile:
    """Fill in the class names from the folder of public pictures if the task file names none."""
    if task_file.task.images.classes != ("picture",) or not Path(task_file.public).is_dir():
        return task_file
    images = task_file.task.images.model_copy(update={"classes": classes_in(task_file.public)})
    task = TaskSpec.model_validate({**task_file.task.model_dump(), "images": images.model_dump()})
    return task_file.model_copy(update={"task": task})


def make_genesis(
    task_file: TaskFile, home: Path, author: str, chain_id: int, sign: WalletSigner, say: Say, *, dinov2: str = DINOV2
) -> Genesis:
    """Make the genesis of a task, or resume an interrupted run. Raises ModelMissing, GenesisUnfit.

    home: working folder. sign: the author's wallet. say: receives one line per stage. dinov2: weights for a task with
    `features: dinov2`, a folder or their name in the hub's cache.
    """
    task_file = _with_dinov2(complete_task(task_file), dinov2)
    recipe = hashlib.sha256(f"{task_file.model_dump_json()} {author} {chain_id}".encode()).hexdigest()[:16]
    work = home / "genesis" / f"{task_file.task.name}-{recipe}"
    work.mkdir(parents=True, exist_ok=True)
    pictures = load(task_file.public, task_file.task.images)
    say(f"public pictures: {len(pictures)}, {len(pictures.skipped)} skipped")
    scorers = _scorers(task_file, pictures, work, say)
    task = _scaled(task_file.task, scorers, pictures)
    _train(task_file, task, pictures, work, say)
    noise = _vote_noise(task, scorers, pictures, work, say, dinov2)
    folder = _bundle(task_file, task, pictures, work, author, chain_id, sign)
    return Genesis(folder=folder, cid=cid_of(folder), task=task, noise=noise)


def _with_dinov2(task_file: TaskFile, source: str) -> TaskFile:
    """Return the task file with the digest of the DINOv2 weights as a term. First of all: missing weights are an error before
    hours of training, not after."""
    scoring = task_file.task.scoring
    if scoring.features != "dinov2":
        return task_file
    scoring = scoring.model_copy(update={"dinov2": Dinov2.load(source, scoring.dinov2).digest})
    return task_file.model_copy(update={"task": task_file.task.model_copy(update={"scoring": scoring})})


def _scorers(task_file: TaskFile, pictures: ImageSet, work: Path, say: Say) -> Scorers:
    """Train the scoring models, or load those of an earlier run."""
    done = work / "scorers.done"
    if not done.exists():
        scorers = train_scorers(
            pictures.images,
            pictures.labels,
            task_file.task.scoring,
            seed=task_file.seed,
            progress=in_tenths(say),
            checkpoint=work / "scorers.training",
        )
        scorers.save(work / bundles.SCORING)
        done.touch()
        (work / "scorers.training").unlink()
    return Scorers.load(work / bundles.SCORING, task_file.task.scoring, task_file.task.images)


def in_tenths(say: Say) -> Callable[[str, float], None]:
    """Return a progress callback (model name, share 0..1) that says one line per tenth."""
    last_tenth: dict[str, int] = {}

    def report(model: str, share: float) -> None:
        tenth = int(share * 10 + 1e-6)
        if tenth > last_tenth.get(model, 0):
            last_tenth[model] = tenth
            say(f"training the {model}: {share:.0%}")

    return report


def _scaled(task: TaskSpec, scorers: Scorers, pictures: ImageSet) -> TaskSpec:
    """Return the task with its FID scale, at which pure noise scores 1000 on the public pictures. DINOv2 keeps its own scale.
    Raises GenesisUnfit."""
    if task.scoring.features != "fingerprint":
        return task
    scale = noise_fid_scale(scorers, pictures.images)
    if not scale <= MAX_SCALE:  # the task spec would be refused by every reader
        raise GenesisUnfit(
            f"The scoring models hardly tell noise from the public pictures: fid_scale would be {scale:.3g}.",
            "Raise scoring.training_images in the task file, or check the public pictures.",
        )
    return task.model_copy(update={"scoring": task.scoring.model_copy(update={"fid_scale": scale})})


def _train(task_file: TaskFile, task: TaskSpec, pictures: ImageSet, work: Path, say: Say) -> None:
    """Train the genesis; write model.safetensors and earlier.safetensors in `work`.

    The earlier model is saved after the first batch that ends at or beyond 3/4 of the images: the noise of a vote, and so a
    term of the contract, must not depend on the speed of this machine.
    """
    if (work / bundles.WEIGHTS).exists():
        return
    checkpoint = work / "training"
    if TrainingRun.has_checkpoint(checkpoint):
        run = TrainingRun.resume(checkpoint, task, pictures.images, pictures.labels)
    else:
        start = initial_weights(task, task_file.seed)
        run = TrainingRun(task, pictures.images, pictures.labels, start, seed=task_file.seed, budget=task_file.genesis_images)
    mark = math.ceil(EARLIER * task_file.genesis_images)
    while run.images_seen < task_file.genesis_images:
        before = run.images_seen
        progress = run.step(SLICE_SECONDS, mark if before < mark else None)
        if before < mark <= run.images_seen:  # saved before the checkpoint: a run killed in between passes here again
            with replacing(work / EARLIER_WEIGHTS) as fresh:
                save_weights(run.ema(), fresh, task)
        run.save(checkpoint)
        seconds = (task_file.genesis_images - run.images_seen) / progress.images_per_second
        say(
            f"training the genesis: {run.images_seen}/{task_file.genesis_images} images, "
            f"{progress.images_per_second:.0f} images/s, loss {progress.loss:.4f}, {max(0.0, seconds):.0f} s left"
        )
    with replacing(work / bundles.WEIGHTS) as fresh:
        save_weights(run.ema(), fresh, task)


def _vote_noise(task: TaskSpec, scorers: Scorers, pictures: ImageSet, work: Path, say: Say, dinov2: str) -> float:
    """Measure how noisy a vote is: the standard deviation, in steps of 1/64 halving, of the gain of the genesis over its earlier
    model between voters with other data and other sampling noise. Each gain is stored at once. Raises GenesisUnfit."""
    note = work / "noise.json"
    gains = _stored_gains(note)
    for gain in _paired_gains(task, scorers, pictures, work, dinov2, range(len(gains), NOISE_ROUNDS)):
        gains.append(gain)
        write_atomic(note, json.dumps({"gains": gains}))
        say(f"measuring the noise of a vote: {len(gains)}/{NOISE_ROUNDS}")
    noise = statistics.stdev(gains) * STEPS_PER_HALVING
    if not noise > 0:  # real voters never agree to the last bit, and the smallest min_gain would pay for luck
        raise GenesisUnfit(
            f"The noise of a vote can't be measured: all gains of the genesis over its earlier model are {gains[0]:g}.",
            "Raise genesis_images in the task file, or use other public pictures, and deploy again.",
        )
    return noise


def _stored_gains(note: Path) -> list[float]:
    """Return the gains that an earlier run stored; none if the file is missing or unreadable."""
    try:
        return [float(gain) for gain in json.loads(note.read_text())["gains"]][:NOISE_ROUNDS]
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return []


def _paired_gains(task: TaskSpec, scorers: Scorers, pictures: ImageSet, work: Path, dinov2: str, turns: range) -> Iterator[float]:
    """Yield the gain in halvings of Q-N that the voter of each turn measures: its own half of the pictures, its own noise."""
    later, earlier = (load_weights(work / name, task) for name in (bundles.WEIGHTS, EARLIER_WEIGHTS))
    for turn in turns:
        voter_share = pictures.sample(max(8, len(pictures) // 2), turn)
        train, test = split(voter_share, 0.5, turn)
        ruler = Ruler(scorers, task.scoring, train.images, train.labels, test.images, flip=task.images.flip, dinov2=dinov2)
        scores = [ruler.score(*sample_all(weights, task, seed=turn)).value for weights in (earlier, later)]
        yield math.log2(max(scores[0], 1e-6) / max(scores[1], 1e-6))


def _bundle(
    task_file: TaskFile, task: TaskSpec, pictures: ImageSet, work: Path, author: str, chain_id: int, sign: WalletSigner
) -> Path:
    """Write the genesis bundle; return its folder. Its contract does not exist yet, so the claim names none."""
    folder = work / "bundle"
    if (work / "bundle.done").exists():
        return folder
    salt = hashlib.sha256(task_file.model_dump_json().encode()).digest()  # no secret: the data is public
    facts = TrainingFacts(
        objective="genesis",
        optimiser="AdamW",
        images_seen=task_file.genesis_images,
        steps=math.ceil(task_file.genesis_images / task.training.batch),
        seed=task_file.seed,
        exchange=task.exchange,
        private_images=0,
        dataset_root=dataset_root(pictures.hashes, salt).hex(),
        excluded=0,
        epsilon=None,
    )
    bundles.write_bundle(
        folder,
        work / bundles.WEIGHTS,
        task,
        title=f"{task.name} genesis",
        claim=Claim(author, chain_id, bundles.NO_CONTRACT, ()),
        parents=(),
        facts=facts,
        identity=Identity.load_or_create(work / "identity", author),
        sign=sign,
        genesis=bundles.GenesisParts(work / bundles.SCORING, public_pictures=len(pictures)),
    )
    (work / "bundle.done").touch()
    return folder
