# SPDX-License-Identifier: Apache-2.0
"""The strategies experiment: is the voted champion better than what a member reaches alone, and how far from FedAvg?

Real nodes with each rule of `parent` federate on a local chain (`experiments.federation`) until they have trained on a number of
images; members alone, FedAvg and a centralised model are trained on as many images, and in as much time. Every model is measured
by its Fréchet distance to pictures that nobody trained, tested or scored with; by what it gives away of each member's
pictures; and by Q-N on each member's own held-out half.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pdfed import bundle as bundles
from pdfed.atomic import write_atomic
from pdfed.chain.accounts import wallet_signer
from pdfed.chain.local_chain import LocalChain
from pdfed.data import ImageSet, load, partition, split
from pdfed.data.images import image_set
from pdfed.diffusion import TrainingRun, Weights, load_weights, merge, sample_all
from pdfed.diffusion.membership_scores import membership_scores
from pdfed.experiments.cases import Count
from pdfed.experiments.federation import Member, Played, federation
from pdfed.experiments.record import Record
from pdfed.genesis import Genesis, make_genesis
from pdfed.scoring import Ruler, Scorers, frechet_distance, membership
from pdfed.spec import TaskFile, TaskSpec, TermsSpec, read_task_file

TEST_SHARE = 0.5
JUDGED = 1000  # samples for the Fréchet distance
SLICE_SECONDS = 5.0
COLUMNS = [
    "partition",
    "seed",
    "arm",
    "model",
    "time",
    "fd",
    "floor",
    "auc",
    "qn",
    "qns",
    "submissions",
    "merges",
    "champions",
    "training",
]
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """Settings of the strategies experiment.

    preset: of the task. widths: of the network. source: pictures for all, of which `public` make the genesis and its scoring
    models, `pictures` go to each member (half of them held out), and `union` to the final measure. speeds: of the members.
    alphas: of the partitions (0: IID; else Dirichlet by label). images: trained on in each arm; per_submission: in one
    submission. samples: drawn for a vote. window: commit and reveal window, time units (of one image at speed 1).
    rules: of `parent`. seeds: how many repetitions, from `seed`.
    """

    preset: str = "digits"
    widths: tuple[Count, ...] = (32, 32)
    source: str = "digits"
    public: Annotated[int, Field(ge=40)] = 500
    pictures: Annotated[int, Field(ge=8)] = 80
    union: Annotated[int, Field(ge=40)] = 700
    speeds: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (1.0, 0.5, 0.25)
    alphas: tuple[Annotated[float, Field(ge=0)], ...] = (0.0, 0.3)
    images: Count = 36_000
    per_submission: Count = 3_000
    samples: Annotated[int, Field(ge=20)] = 100
    genesis_images: Annotated[int, Field(ge=256)] = 640
    scorer_images: Annotated[int, Field(ge=100)] = 30_000
    window: Count = 6_000
    rules: tuple[str, ...] = ("best", "mean", "authors")
    seeds: Count = 3
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Yard:
    """What every arm of one partition is measured with. parts: the members' pictures; members: training and held-out half of
    each; union: pictures of nobody's, `features` their fingerprints."""

    settings: Settings
    task: TaskSpec
    scorers: Scorers
    genesis: Weights
    parts: tuple[ImageSet, ...]
    members: tuple[tuple[ImageSet, ImageSet], ...]
    union: ImageSet
    features: np.ndarray = field(repr=False)

    def measure(self, weights: Weights, seed: int) -> Row:
        """Return the figures of one model: fd; the largest membership AUC of a member; Q-N on each member's held-out half."""
        images, labels = sample_all(weights, self.task, seed=seed, n=JUDGED)
        fd = frechet_distance(self.scorers.fingerprinter.fingerprints(images), self.features)
        aucs = [self._auc(weights, train) for train, _ in self.members]
        few = slice(0, self.task.sampling.images)
        qns = [self._ruler(*halves).score(images[few], labels[few]).value for halves in self.members]
        scaled = fd * self.task.scoring.fid_scale
        return {"fd": scaled, "auc": max(aucs), "qn": statistics.mean(qns), "qns": qns, "aucs": aucs}

    def floor(self) -> float:
        """Return the distance to the union of the members' own pictures: no model can be expected below it."""
        real = np.concatenate([part.images for part in self.parts])
        return frechet_distance(self.scorers.fingerprinter.fingerprints(real), self.features) * self.task.scoring.fid_scale

    def _ruler(self, train: ImageSet, test: ImageSet) -> Ruler:
        scoring, flip = self.task.scoring, self.task.images.flip
        return Ruler(self.scorers, scoring, train.images, train.labels, test.images, flip=flip)

    def _auc(self, weights: Weights, train: ImageSet) -> float:
        count = min(len(train), len(self.union))
        sides = (train, self.union)
        scores = [
            np.concatenate([loss for loss, _ in membership_scores(weights, self.task, s.images[:count], s.labels[:count], 0)])
            for s in sides
        ]
        return membership(*scores).auc


def run(settings: Settings, record: Record) -> None:
    """Play every rule and train every comparison, for each partition and seed; finished arms are kept and not played again."""
    rows: list[Row] = []
    with LocalChain() as chain:
        genesis = _genesis(settings, chain, record)
        arms = len(settings.alphas) * settings.seeds * (len(settings.rules) + 1)
        with record.progress(arms, "arms") as bar:
            for alpha in settings.alphas:
                for seed in range(settings.seed, settings.seed + settings.seeds):
                    yard = _yard(settings, genesis, alpha, seed)
                    for found in _arms(yard, genesis, chain, alpha, seed, record):
                        rows += found
                        bar.advance(1)
                        record.table("models", [_flat(row) for row in rows])
    record.table("strategies", summary(rows))
    _draw(rows, record)


def _genesis(settings: Settings, chain: LocalChain, record: Record) -> Genesis:
    """Make the genesis on the public pictures; stored, so that a rerun goes on."""
    preset = read_task_file(settings.preset)
    pictures = load(settings.source, preset.task.images)
    order = np.random.default_rng(settings.seed).permutation(len(pictures))
    public = pictures.subset(np.sort(order[: settings.public]))
    file = record.folder / "public.npz"
    np.savez(file, x=public.images, y=public.labels)
    task = preset.task.model_dump()
    task["network"]["channels"] = settings.widths
    task["sampling"]["images"] = settings.samples
    task["scoring"]["training_images"] = settings.scorer_images
    task_file = TaskFile.model_validate(
        {"task": task, "public": str(file), "genesis_images": settings.genesis_images, "seed": settings.seed}
    )
    sponsor = chain.account(0)
    return make_genesis(task_file, record.folder, str(sponsor.address), chain.chain_id, wallet_signer(sponsor), record.say)


def _yard(settings: Settings, genesis: Genesis, alpha: float, seed: int) -> Yard:
    """Divide the pictures that are not public among the members and the union."""
    task = genesis.task
    pictures = load(settings.source, task.images)
    order = np.random.default_rng(settings.seed).permutation(len(pictures))[settings.public :]
    order = np.random.default_rng((seed, 1)).permutation(order)
    of_members = settings.pictures * len(settings.speeds)
    shared = pictures.subset(np.sort(order[:of_members]))
    union = pictures.subset(np.sort(order[of_members : of_members + settings.union]))
    parts = partition(shared, len(settings.speeds), alpha=alpha or None, seed=seed)
    scorers = Scorers.load(genesis.folder / bundles.SCORING, task.scoring, task.images)
    return Yard(
        settings=settings,
        task=task,
        scorers=scorers,
        genesis=load_weights(genesis.folder / bundles.WEIGHTS, task),
        parts=tuple(parts),
        members=tuple(split(part, TEST_SHARE, seed) for part in parts),
        union=union,
        features=scorers.fingerprinter.fingerprints(union.images),
    )


def _arms(yard: Yard, genesis: Genesis, chain: LocalChain, alpha: float, seed: int, record: Record) -> Iterator[list[Row]]:
    """Yield the rows of each rule, then those of the comparisons, which get as many images and as much time."""
    settings, kind = yard.settings, {"partition": "IID" if not alpha else f"Dirichlet {alpha:g}", "seed": seed}
    times = []
    for rule in settings.rules:
        play = partial(_play, yard, genesis, chain, rule, seed, record)
        played = _kept(record, f"{rule}-{alpha:g}-{seed}", play)
        times.append(played[0]["time"])
        yield [{**kind, **row} for row in played]
    time = statistics.mean(times)
    compared = _kept(record, f"compared-{alpha:g}-{seed}", partial(_compared, yard, time, seed))
    yield [{**kind, **row} for row in compared]


def _kept(record: Record, name: str, make: Callable[[], list[Row]]) -> list[Row]:
    """Return the rows of an arm, of an earlier run if it is stored."""
    file = record.folder / "arms" / f"{name}.json"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        write_atomic(file, json.dumps(make()))
    rows: list[Row] = json.loads(file.read_text())
    return rows


def _play(yard: Yard, genesis: Genesis, chain: LocalChain, rule: str, seed: int, record: Record) -> list[Row]:
    """Let real nodes federate by a rule; return a row for the voted champion and one for the mean of the newest models."""
    settings = yard.settings
    members = []
    for pictures, speed in zip(yard.parts, settings.speeds, strict=True):
        choices = {
            "parent": rule,
            "images_per_submission": settings.per_submission,
            "alarm": 1_000_000,
            "test_share": TEST_SHARE,
            "seed": seed,
            "accept_terms": True,
        }
        members.append(Member(pictures, speed, choices))
    window = settings.window
    terms = TermsSpec(commit_window=window, reveal_window=window, unbonding=2 * window, sunset=0, min_gain=1, pace=0)
    home = Path(tempfile.mkdtemp(prefix="pdfed-strategies-"))
    try:
        with record.progress(settings.images, f"{rule}, images trained on") as bar:
            done = 0

            def tell(trained: int) -> None:
                nonlocal done
                bar.advance(trained - done)
                done = trained

            with federation(chain, genesis, members, terms, settings.images, home / "arm", tell) as played:
                return [{"arm": rule, **row} for row in _outcome(yard, played, seed)]
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _outcome(yard: Yard, played: Played, seed: int) -> Iterator[Row]:
    node = played.nodes[0]
    ledger = node.ledger

    def weights(id: int) -> Weights:
        holder = next(n for n in played.nodes if n.ctx.bundle_folder(ledger.models[id].bundle).is_dir())
        return load_weights(holder.ctx.bundle_folder(ledger.models[id].bundle) / bundles.WEIGHTS, yard.task)

    merged = frozenset().union(*(each.inbox.merged(ledger) for each in played.nodes))
    trained = [model for model in ledger.models.values() if model.id and model.id not in merged]
    newest = {model.author: model.id for model in trained}
    mean = merge([weights(id) for id in newest.values()], [1 / len(newest)] * len(newest))
    counts = [sum(model.author == each.ctx.address for model in trained) for each in played.nodes]
    facts = {
        "time": played.time,
        "submissions": counts,
        "merges": len(merged),
        "champions": len(ledger.champions),
        "training": [round(share, 3) for share in played.training_share],
    }
    yield {"model": "champion", **facts, **yard.measure(weights(ledger.champion), seed)}
    yield {"model": "mean of newest", **facts, **yard.measure(mean, seed)}


def _compared(yard: Yard, time: float, seed: int) -> list[Row]:
    """Train members alone, FedAvg and a centralised model: on as many images, and in as much time (nobody of them votes)."""
    settings = yard.settings
    rows = []
    speeds = settings.speeds
    for number, ((train, _), speed) in enumerate(zip(yard.members, speeds, strict=True)):
        weights = _trained(yard, train, yard.genesis, int(time * speed), seed)
        rows.append({"arm": "alone", "model": f"member {number}, equal time", **yard.measure(weights, seed)})
    fastest = yard.members[int(np.argmax(speeds))][0]
    alone = _trained(yard, fastest, yard.genesis, settings.images, seed)
    rows.append({"arm": "alone", "model": "fastest, equal images", **yard.measure(alone, seed)})
    halves = [train for train, _ in yard.members]
    images, labels = (np.concatenate(column) for column in zip(*((half.images, half.labels) for half in halves), strict=True))
    pooled = image_set(images, labels, halves[0].classes)
    central = _trained(yard, pooled, yard.genesis, settings.images, seed)
    rows.append({"arm": "centralised", "model": "equal images", **yard.measure(central, seed)})
    each = settings.per_submission
    rounds = {
        "equal images": settings.images // (each * len(speeds)),
        "equal time": int(time // (each / min(speeds))),  # a round lasts as long as its slowest member
    }
    for model, count in rounds.items():
        weights = _fedavg(yard, max(1, count), each, seed)
        rows.append({"arm": "fedavg", "model": model, "rounds": count, **yard.measure(weights, seed)})
    return [{"time": time, "floor": yard.floor(), **row} for row in rows]


def _trained(yard: Yard, pictures: ImageSet, start: Weights, images: int, seed: int) -> Weights:
    """Continue training on `images` images, in one run."""
    run = TrainingRun(yard.task, pictures.images, pictures.labels, start, seed=seed, budget=max(1, images))
    while run.images_seen < run.budget:
        run.step(SLICE_SECONDS)
    return run.ema()


def _fedavg(yard: Yard, rounds: int, images: int, seed: int) -> Weights:
    """Federated averaging (McMahan et al. 2017): every member trains from the mean, which weighs members by their pictures."""
    sizes = [len(train) for train, _ in yard.members]
    weights = yard.genesis
    for turn in range(rounds):
        states = [_trained(yard, train, weights, images, seed * 1000 + turn) for train, _ in yard.members]
        weights = merge(states, [size / sum(sizes) for size in sizes])
    return weights


def _flat(row: Row) -> Row:
    """Return a row of the table of all models: the same columns for all, lists as text."""
    return {name: _text(row.get(name, "")) for name in COLUMNS}


def _text(value: Any) -> Any:
    return " ".join(f"{each:.4g}" for each in value) if isinstance(value, list) else value


def summary(rows: Sequence[Row]) -> list[Row]:
    """Return a row per partition, arm and model: means over the seeds with standard deviations; `worst`: the worst member's
    halvings of Q-N below what that member reaches alone in the same time (below 0: worse off), the worst seed."""
    keys = list(dict.fromkeys((row["partition"], row["arm"], row["model"]) for row in rows))
    table = []
    for partition_, arm, model in keys:
        chosen = [row for row in rows if (row["partition"], row["arm"], row["model"]) == (partition_, arm, model)]
        table.append(
            {
                "partition": partition_,
                "arm": arm,
                "model": model,
                "FD": _spread([row["fd"] for row in chosen]),
                "largest AUC": _spread([row["auc"] for row in chosen]),
                "Q-N, mean member": _spread([row["qn"] for row in chosen]),
                "worst member": min(_worst(row, rows) for row in chosen),
                "seeds": len(chosen),
            }
        )
    return table


def _worst(row: Row, rows: Sequence[Row]) -> float:
    """Halvings of Q-N by which the model is better than the member's own, for the member where that is least."""
    beside = [other for other in rows if (other["partition"], other["seed"]) == (row["partition"], row["seed"])]
    alone = {other["model"]: other["qns"] for other in beside if other["arm"] == "alone"}
    own = [alone[f"member {number}, equal time"][number] for number in range(len(row["qns"]))]
    return min(float(np.log2(mine / qn)) for mine, qn in zip(own, row["qns"], strict=True))


def _spread(values: Sequence[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.3g}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4g}{deviation}"


def _draw(rows: Sequence[Row], record: Record) -> None:
    """Plot the Fréchet distance over the largest membership AUC: low and left is better."""
    kinds = list(dict.fromkeys((row["arm"], row["model"]) for row in rows if not row["model"].startswith("member")))
    partitions = list(dict.fromkeys(row["partition"] for row in rows))
    with record.figure("strategies", width=5.2 * len(partitions), height=4) as figure:
        for index, partition_ in enumerate(partitions):
            axes = figure.add_subplot(1, len(partitions), index + 1)
            for number, (arm, model) in enumerate(kinds):
                chosen = [row for row in rows if (row["partition"], row["arm"], row["model"]) == (partition_, arm, model)]
                x, y = [row["auc"] for row in chosen], [row["fd"] for row in chosen]
                axes.plot(x, y, "o^svDPX*<>"[number % 10], label=f"{arm}, {model}", color=f"C{number % 10}", alpha=0.8)
            axes.set_title(partition_, fontsize=9)
            axes.set_xlabel("largest membership AUC", fontsize=8)
            axes.set_ylabel("Fréchet distance to the union", fontsize=8)
            axes.tick_params(labelsize=7)
            axes.grid(alpha=0.3)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=7)
