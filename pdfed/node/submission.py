# SPDX-License-Identifier: Apache-2.0
"""The node's own next submission, from the choice of a parent to the published bundle.

    train → judge → sign → submit → publish            one draft at a time; every stage can be killed and run again

What can't be made again is stored before it matters: the choice of parents before training, the signed bundle before its
transaction. The bundle goes to the store only after the transaction is mined: a watcher of the mempool has nothing to copy.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pdfed import bundle as bundles
from pdfed.atomic import OWNER_ONLY, write_atomic
from pdfed.chain.accounts import wallet_signer
from pdfed.chain.ledger import Ledger
from pdfed.data import ImageSet
from pdfed.diffusion import TrainingRun, load_weights, merge, save_weights
from pdfed.node.context import NodeContext
from pdfed.node.evaluation import OwnScore, weights_key
from pdfed.node.inbox import Inbox, paced, score_weights
from pdfed.node.strategy import choose_parents, should_submit
from pdfed.provenance import Claim, Parent, TrainingFacts, dataset_root, read_manifest, sign_model
from pdfed.storage import StoreUnreachable, cid_from_digest, cid_of, digest_of

SLICE_SECONDS = 0.5  # of training per step
CHECKPOINT_SECONDS = 20.0
RETRY_SECONDS = 10.0  # between attempts to publish while the store can't be used

_TABLES = """
CREATE TABLE IF NOT EXISTS draft (
    number INTEGER PRIMARY KEY, stage TEXT NOT NULL, parents TEXT NOT NULL, bundle BLOB, images INTEGER NOT NULL DEFAULT 0
);
"""
OVER = ("published", "given up")


@dataclass(frozen=True)
class Draft:
    """stage: train | judge | sign | submit | publish | published | given up. parents: (bundle digest, coefficient)."""

    number: int
    stage: str
    parents: tuple[tuple[bytes, float], ...]
    bundle: bytes | None
    images: int


class Submissions:
    """Makes submissions, one after the other."""

    def __init__(self, ctx: NodeContext, inbox: Inbox) -> None:
        self._ctx = ctx
        self._inbox = inbox
        self._running: tuple[TrainingRun, Path] | None = None
        self.publish_at = 0.0  # time.monotonic() from which on the store is tried again
        ctx.journal.declare(_TABLES)

    def current(self) -> Draft | None:
        """The draft in hand, None between submissions."""
        rows = self._ctx.journal.rows(
            "SELECT number, stage, parents, bundle, images FROM draft WHERE stage NOT IN (?, ?) ORDER BY number DESC LIMIT 1",
            OVER,
        )
        if not rows:
            return None
        number, stage, parents, bundle, images = rows[0]
        return Draft(number, stage, tuple((bytes.fromhex(d), c) for d, c in json.loads(parents)), bundle, images)

    def published(self) -> int:
        """How many submissions this node has made."""
        return int(self._ctx.journal.rows("SELECT count(*) FROM draft WHERE stage = 'published'")[0][0])

    def begin(self, ledger: Ledger, own: dict[int, OwnScore]) -> bool:
        """Choose what to continue from and open a draft; False while nothing has been scored yet."""
        choice = choose_parents(ledger, own, self._ctx.config)
        if choice is None:
            return False
        parents = [(ledger.models[i].bundle.hex(), c) for i, c in zip(choice.parents, choice.coefficients, strict=True)]
        with self._ctx.journal.transaction() as db:
            db.execute("INSERT INTO draft (stage, parents) VALUES ('train', ?)", (json.dumps(parents),))
        return True

    def work(self, draft: Draft, champion: Callable[[], OwnScore]) -> Iterator[str]:
        """Train, judge and sign: everything before the transaction. champion: asks for this node's score of the champion."""
        if draft.stage == "train":
            yield from self._train(draft)
            draft = replace(draft, stage="judge")
        if draft.stage == "judge":
            score = yield from score_weights(self._ctx, self._folder(draft) / bundles.WEIGHTS, "candidate")
            best = champion()
            if not should_submit(score, best, self._ctx.config):
                self._end(draft, "given up")
                yield f"candidate given up: Q-N {score.qn:.2f}, champion {best.qn:.2f} on own data"
                return
            yield f"candidate better than the champion: Q-N {score.qn:.2f} against {best.qn:.2f}"
            self._move(draft, "sign")
            draft = replace(draft, stage="sign")
        if draft.stage == "sign":
            yield self._sign(draft)

    def publish(self, draft: Draft) -> Iterator[str]:
        """Publish a bundle whose submission is on chain. A store that can't be used now is tried again later."""
        assert draft.bundle is not None
        cid, folder = cid_from_digest(draft.bundle), self._ctx.bundle_folder(draft.bundle)
        try:
            for sent in paced(self._ctx.store.adding(folder, self._ctx.address)):
                yield f"publishing {cid}: {sent / 1e6:.1f} MB"
        except StoreUnreachable as fault:
            self.publish_at = time.monotonic() + RETRY_SECONDS
            yield f"publishing {cid}: {fault.cause} {fault.remedy} Trying again."
            return
        self._end(draft, "published")
        yield f"published {cid}"

    def give_up(self, draft: Draft, reason: str) -> str:
        """Drop a draft whose submission the chain refused."""
        self._end(draft, "given up")
        return f"submission given up: {reason}"

    def submitted(self, draft: Draft) -> None:
        self._move(draft, "publish")

    def save_now(self) -> None:
        """Write a checkpoint of the training in hand, if there is any."""
        if self._running is not None:
            run, folder = self._running
            run.save(folder / "training")

    def _train(self, draft: Draft) -> Iterator[str]:
        ctx, folder = self._ctx, self._folder(draft)
        pictures = self._pictures(draft)
        run = self._open_run(draft, pictures)
        self._running = run, folder
        saved = time.monotonic()
        while run.images_seen < run.budget:
            progress = run.step(SLICE_SECONDS)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                run.save(folder / "training")
                saved = time.monotonic()
            speed = f"{progress.images_per_second:.0f} images/s"
            yield f"training {run.images_seen}/{run.budget} images, {speed}, loss {progress.loss:.4f}"
        self._running = None
        save_weights(run.ema(), folder / bundles.WEIGHTS, ctx.task)
        facts = {
            "images_seen": run.images_seen,
            "steps": run.steps,
            "private_images": len(pictures),
            "excluded": len(ctx.train) - len(pictures),
            "dataset_root": dataset_root(ctx.train.hashes, ctx.secret.dataset_salt()).hex(),
        }
        write_atomic(folder / "facts.json", json.dumps(facts), mode=OWNER_ONLY)
        self._move(draft, "judge")

    def _pictures(self, draft: Draft) -> ImageSet:
        """What a draft is trained on, chosen once: a run that was stopped goes on with the same pictures, whatever was found
        memorised meanwhile. Where the node has other data by now, the training begins again."""
        ctx, folder = self._ctx, self._folder(draft)
        note, data = folder / "pictures.json", ctx.train.digest.hex()
        kept = json.loads(note.read_text()) if note.exists() else {}
        if kept.get("data") != data:
            shutil.rmtree(folder / "training", ignore_errors=True)
            left = ctx.exclusions.remaining(ctx.train) if ctx.config.objective == "qn+dedup" else ctx.train
            kept = {"data": data, "left_out": sorted({digest.hex() for digest in set(ctx.train.hashes) - set(left.hashes)})}
            write_atomic(note, json.dumps(kept), mode=OWNER_ONLY)
        left_out = set(map(bytes.fromhex, kept["left_out"]))
        return ctx.train.subset([index for index, digest in enumerate(ctx.train.hashes) if digest not in left_out])

    def _open_run(self, draft: Draft, pictures: ImageSet) -> TrainingRun:
        ctx, folder = self._ctx, self._folder(draft)
        if TrainingRun.saved(folder / "training"):
            return TrainingRun.resume(folder / "training", ctx.task, pictures.images, pictures.labels)
        start = merge(
            [load_weights(ctx.bundle_folder(parent) / bundles.WEIGHTS, ctx.task) for parent, _ in draft.parents],
            [coefficient for _, coefficient in draft.parents],
        )
        return TrainingRun(
            ctx.task,
            pictures.images,
            pictures.labels,
            start,
            seed=self._seed(draft),
            budget=ctx.config.images_per_submission,
        )

    def _sign(self, draft: Draft) -> str:
        """Lay out the bundle, name it by its CID and keep it under that name: from here on it can be submitted."""
        ctx, folder = self._ctx, self._folder(draft)
        made = json.loads((folder / "facts.json").read_text())
        facts = TrainingFacts(
            objective=ctx.config.objective,
            optimiser="AdamW",
            images_seen=made["images_seen"],
            steps=made["steps"],
            seed=self._seed(draft),
            exchange=ctx.task.exchange,
            private_images=made["private_images"],
            dataset_root=made["dataset_root"],
            excluded=made["excluded"],
            epsilon=None,
        )
        parents = [parent_of(digest, bundles.open_bundle(ctx.bundle_folder(digest))) for digest, _ in draft.parents]
        claim = Claim(ctx.address, ctx.client.chain_id, ctx.client.address, tuple(digest for digest, _ in draft.parents))
        title = f"{ctx.task.name} by {ctx.address[:10]} no. {draft.number}"
        laid = folder / "bundle"
        shutil.rmtree(laid, ignore_errors=True)
        laid.mkdir()
        shutil.copyfile(folder / bundles.WEIGHTS, laid / bundles.WEIGHTS)
        manifest = sign_model(
            laid / bundles.WEIGHTS,
            title=title,
            claim=claim,
            parents=parents,
            facts=facts,
            weights_cid=cid_of(laid / bundles.WEIGHTS),
            identity=ctx.identity,
            sign=wallet_signer(ctx.account),
        )
        (laid / bundles.MANIFEST).write_bytes(manifest)
        bundles.write_card(laid, card(ctx, title, facts, parents))
        cid = cid_of(laid)
        target = ctx.bundle_folder(digest_of(cid))
        if not target.is_dir():
            laid.rename(target)
        with ctx.journal.transaction() as db:
            db.execute("UPDATE draft SET stage = 'submit', bundle = ? WHERE number = ?", (digest_of(cid), draft.number))
            self._inbox.adopt(digest_of(cid), claim.parents, weights_key(target / bundles.WEIGHTS))
        return f"signed {cid}"

    def _seed(self, draft: Draft) -> int:
        return self._ctx.config.seed * 1_000_003 + draft.number

    def _folder(self, draft: Draft) -> Path:
        return self._ctx.home / "draft" / str(draft.number)

    def _move(self, draft: Draft, stage: str) -> None:
        with self._ctx.journal.transaction() as db:
            db.execute("UPDATE draft SET stage = ? WHERE number = ?", (stage, draft.number))

    def _end(self, draft: Draft, stage: str) -> None:
        self._move(draft, stage)
        shutil.rmtree(self._folder(draft), ignore_errors=True)


def parent_of(digest: bytes, bundle: bundles.Bundle) -> Parent:
    """A bundle on this machine as an ingredient of the next."""
    return Parent(digest, cid_from_digest(digest), bundle.weights, bundle.manifest, read_manifest(bundle.manifest).title)


def card(ctx: NodeContext, title: str, facts: TrainingFacts, parents: list[Parent]) -> dict[str, object]:
    """What a person or a catalogue wants to know of a bundle."""
    task = ctx.task
    return {
        "title": title,
        "task": task.name,
        "author": ctx.address,
        "contract": ctx.client.address,
        "chain_id": ctx.client.chain_id,
        "parents": [parent.cid for parent in parents],
        "objective": facts.objective,
        "images_seen": facts.images_seen,
        "image_size": [task.images.size, task.images.size, task.images.channels],
        "classes": list(task.images.classes),
        "sampler": task.sampling.model_dump(),
        "licence": task.licence,
    }
