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
from pdfed.chain.accounts import wallet_signer
from pdfed.chain.ledger import Ledger
from pdfed.data import ImageSet
from pdfed.diffusion import TrainingRun, load_weights, merge, save_weights
from pdfed.evaluation import OwnScore, weights_key
from pdfed.node.inbox import Inbox, paced, score_weights
from pdfed.node.workplace import Workplace
from pdfed.provenance import Claim, Parent, TrainingFacts, dataset_root, read_manifest, sign_model
from pdfed.storage import StoreUnreachable, cid_from_digest, cid_of, digest_of
from pdfed.strategy import choose_parents, should_submit
from pdfed.whole import OWNER_ONLY, write_whole

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
class DraftState:
    """stage: train | judge | sign | submit | publish | published | given up. parents: (bundle digest, coefficient)."""

    number: int
    stage: str
    parents: tuple[tuple[bytes, float], ...]
    bundle: bytes | None
    images: int


class Drafts:
    """Makes submissions, one after the other."""

    def __init__(self, place: Workplace, inbox: Inbox) -> None:
        self._place = place
        self._inbox = inbox
        self._running: tuple[TrainingRun, Path] | None = None
        self.publish_at = 0.0  # time.monotonic() from which on the store is tried again
        place.journal.declare(_TABLES)

    def current(self) -> DraftState | None:
        """The draft in hand, None between drafts."""
        rows = self._place.journal.rows(
            "SELECT number, stage, parents, bundle, images FROM draft WHERE stage NOT IN (?, ?) ORDER BY number DESC LIMIT 1",
            OVER,
        )
        if not rows:
            return None
        number, stage, parents, bundle, images = rows[0]
        return DraftState(number, stage, tuple((bytes.fromhex(d), c) for d, c in json.loads(parents)), bundle, images)

    def published(self) -> int:
        """How many submissions this node has made."""
        return int(self._place.journal.rows("SELECT count(*) FROM draft WHERE stage = 'published'")[0][0])

    def begin(self, ledger: Ledger, own: dict[int, OwnScore]) -> bool:
        """Choose what to continue from and open a draft; False while nothing has been scored yet."""
        choice = choose_parents(ledger, own, self._place.config)
        if choice is None:
            return False
        parents = [(ledger.models[i].bundle.hex(), c) for i, c in zip(choice.parents, choice.coefficients, strict=True)]
        with self._place.journal.transaction() as db:
            db.execute("INSERT INTO draft (stage, parents) VALUES ('train', ?)", (json.dumps(parents),))
        return True

    def work(self, draft: DraftState, champion: Callable[[], OwnScore]) -> Iterator[str]:
        """Train, judge and sign: everything before the transaction. champion: asks for this node's score of the champion."""
        if draft.stage == "train":
            yield from self._train(draft)
            draft = replace(draft, stage="judge")
        if draft.stage == "judge":
            score = yield from score_weights(self._place, self._folder(draft) / bundles.WEIGHTS, "candidate")
            best = champion()
            if not should_submit(score, best, self._place.config):
                self._end(draft, "given up")
                yield f"candidate given up: Q-N {score.qn:.2f}, champion {best.qn:.2f} on own data"
                return
            yield f"candidate better than the champion: Q-N {score.qn:.2f} against {best.qn:.2f}"
            self._move(draft, "sign")
            draft = replace(draft, stage="sign")
        if draft.stage == "sign":
            yield self._sign(draft)

    def mined(self, draft: DraftState) -> Iterator[str]:
        """Publish a bundle whose submission is on chain. A store that can't be used now is tried again later."""
        assert draft.bundle is not None
        cid, folder = cid_from_digest(draft.bundle), self._place.bundle_folder(draft.bundle)
        try:
            for sent in paced(self._place.store.adding(folder, self._place.address)):
                yield f"publishing {cid}: {sent / 1e6:.1f} MB"
        except StoreUnreachable as fault:
            self.publish_at = time.monotonic() + RETRY_SECONDS
            yield f"publishing {cid}: {fault.cause} {fault.remedy} Trying again."
            return
        self._end(draft, "published")
        yield f"published {cid}"

    def give_up(self, draft: DraftState, reason: str) -> str:
        """Drop a draft whose submission the chain refused."""
        self._end(draft, "given up")
        return f"submission given up: {reason}"

    def submitted(self, draft: DraftState) -> None:
        self._move(draft, "publish")

    def save_now(self) -> None:
        """Write a checkpoint of the training in hand, if there is any."""
        if self._running is not None:
            run, folder = self._running
            run.save(folder / "training")

    def _train(self, draft: DraftState) -> Iterator[str]:
        place, folder = self._place, self._folder(draft)
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
        save_weights(run.ema(), folder / bundles.WEIGHTS, place.task)
        facts = {
            "images_seen": run.images_seen,
            "steps": run.steps,
            "private_images": len(pictures),
            "excluded": len(place.train) - len(pictures),
            "dataset_root": dataset_root(place.train.hashes, place.secret.dataset_salt()).hex(),
        }
        write_whole(folder / "facts.json", json.dumps(facts), mode=OWNER_ONLY)
        self._move(draft, "judge")

    def _pictures(self, draft: DraftState) -> ImageSet:
        """What a draft is trained on, chosen once: a run that was stopped goes on with the same pictures, whatever was found
        memorised meanwhile. Where the node has other data by now, the training begins again."""
        place, folder = self._place, self._folder(draft)
        note, data = folder / "pictures.json", place.train.digest.hex()
        kept = json.loads(note.read_text()) if note.exists() else {}
        if kept.get("data") != data:
            shutil.rmtree(folder / "training", ignore_errors=True)
            left = place.exclusions.remaining(place.train) if place.config.objective == "qn+dedup" else place.train
            kept = {"data": data, "left_out": sorted({digest.hex() for digest in set(place.train.hashes) - set(left.hashes)})}
            write_whole(note, json.dumps(kept), mode=OWNER_ONLY)
        left_out = set(map(bytes.fromhex, kept["left_out"]))
        return place.train.subset([index for index, digest in enumerate(place.train.hashes) if digest not in left_out])

    def _open_run(self, draft: DraftState, pictures: ImageSet) -> TrainingRun:
        place, folder = self._place, self._folder(draft)
        if TrainingRun.saved(folder / "training"):
            return TrainingRun.resume(folder / "training", place.task, pictures.images, pictures.labels)
        start = merge(
            [load_weights(place.bundle_folder(parent) / bundles.WEIGHTS, place.task) for parent, _ in draft.parents],
            [coefficient for _, coefficient in draft.parents],
        )
        return TrainingRun(
            place.task,
            pictures.images,
            pictures.labels,
            start,
            seed=self._seed(draft),
            budget=place.config.images_per_submission,
        )

    def _sign(self, draft: DraftState) -> str:
        """Lay out the bundle, name it by its CID and keep it under that name: from here on it can be submitted."""
        place, folder = self._place, self._folder(draft)
        made = json.loads((folder / "facts.json").read_text())
        facts = TrainingFacts(
            objective=place.config.objective,
            optimiser="AdamW",
            images_seen=made["images_seen"],
            steps=made["steps"],
            seed=self._seed(draft),
            exchange=place.task.exchange,
            private_images=made["private_images"],
            dataset_root=made["dataset_root"],
            excluded=made["excluded"],
            epsilon=None,
        )
        parents = [parent_of(digest, bundles.open_bundle(place.bundle_folder(digest))) for digest, _ in draft.parents]
        claim = Claim(place.address, place.client.chain_id, place.client.address, tuple(digest for digest, _ in draft.parents))
        title = f"{place.task.name} by {place.address[:10]} no. {draft.number}"
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
            identity=place.identity,
            sign=wallet_signer(place.account),
        )
        (laid / bundles.MANIFEST).write_bytes(manifest)
        bundles.write_card(laid, card(place, title, facts, parents))
        cid = cid_of(laid)
        target = place.bundle_folder(digest_of(cid))
        if not target.is_dir():
            laid.rename(target)
        with place.journal.transaction() as db:
            db.execute("UPDATE draft SET stage = 'submit', bundle = ? WHERE number = ?", (digest_of(cid), draft.number))
            self._inbox.adopt(digest_of(cid), claim.parents, weights_key(target / bundles.WEIGHTS))
        return f"signed {cid}"

    def _seed(self, draft: DraftState) -> int:
        return self._place.config.seed * 1_000_003 + draft.number

    def _folder(self, draft: DraftState) -> Path:
        return self._place.home / "draft" / str(draft.number)

    def _move(self, draft: DraftState, stage: str) -> None:
        with self._place.journal.transaction() as db:
            db.execute("UPDATE draft SET stage = ? WHERE number = ?", (stage, draft.number))

    def _end(self, draft: DraftState, stage: str) -> None:
        self._move(draft, stage)
        shutil.rmtree(self._folder(draft), ignore_errors=True)


def parent_of(digest: bytes, bundle: bundles.Bundle) -> Parent:
    """A bundle on this machine as an ingredient of the next."""
    return Parent(digest, cid_from_digest(digest), bundle.weights, bundle.manifest, read_manifest(bundle.manifest).title)


def card(place: Workplace, title: str, facts: TrainingFacts, parents: list[Parent]) -> dict[str, object]:
    """What a person or a catalogue wants to know of a bundle."""
    task = place.task
    return {
        "title": title,
        "task": task.name,
        "author": place.address,
        "contract": place.client.address,
        "chain_id": place.client.chain_id,
        "parents": [parent.cid for parent in parents],
        "objective": facts.objective,
        "images_seen": facts.images_seen,
        "image_size": [task.images.size, task.images.size, task.images.channels],
        "classes": list(task.images.classes),
        "sampler": task.sampling.model_dump(),
        "licence": task.licence,
    }
