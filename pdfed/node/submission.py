# SPDX-License-Identifier: Apache-2.0
"""The node's own next submission, from the choice of its parents to the published bundle.

    train | merge → judge → sign → submit → publish → published | given up

One draft at a time; every stage can be killed and run again. The choice of parents is stored before training, the signed
bundle before its transaction. The bundle is published only after its transaction is mined, so an observer of the mempool
has nothing to copy.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from pdfed import bundle as bundles
from pdfed.atomic import OWNER_ONLY, write_atomic
from pdfed.chain.accounts import wallet_signer
from pdfed.chain.ledger import Ledger
from pdfed.data import ImageSet
from pdfed.diffusion import TrainingRun, Weights, load_weights, merge, save_weights
from pdfed.node.context import NodeContext
from pdfed.node.evaluation import MICRO, OwnScore, author_score, weights_key
from pdfed.node.inbox import Inbox, paced, score_weights
from pdfed.node.parent_rules import Outlook, check_choice, merge_due, rule_of
from pdfed.node.strategy import ranking, should_submit
from pdfed.provenance import MERGE, AuthorScore, Claim, TrainingFacts, dataset_root
from pdfed.storage import StoreUnreachable, cid_from_digest, digest_of

SLICE_SECONDS = 0.5  # of training per step
CHECKPOINT_SECONDS = 20.0
RETRY_SECONDS = 10.0  # between attempts to publish while the store is unreachable

_TABLES = """
CREATE TABLE IF NOT EXISTS draft (
    number INTEGER PRIMARY KEY, stage TEXT NOT NULL, parents TEXT NOT NULL, bundle BLOB, images INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS draft_merge (parents TEXT PRIMARY KEY);
"""


class Stage(StrEnum):
    """Stage of a draft; the journal stores the value."""

    TRAIN = "train"
    MERGE = "merge"  # the mean of the parents, with nothing trained
    JUDGE = "judge"  # score the candidate on the node's own data
    SIGN = "sign"
    SUBMIT = "submit"  # signed and stored; the transaction is not mined yet
    PUBLISH = "publish"  # on chain, not yet in the store
    PUBLISHED = "published"
    GIVEN_UP = "given up"


FINAL_STAGES = (Stage.PUBLISHED, Stage.GIVEN_UP)


@dataclass(frozen=True)
class Draft:
    """The next submission. parents: (bundle digest, coefficient of the merge). bundle: its digest once signed."""

    number: int
    stage: Stage
    parents: tuple[tuple[bytes, float], ...]
    bundle: bytes | None
    images: int


class Submissions:
    """Makes the node's submissions, one after the other."""

    def __init__(self, ctx: NodeContext, inbox: Inbox) -> None:
        self._ctx = ctx
        self._inbox = inbox
        self._rule = rule_of(ctx.config)
        self._run: tuple[TrainingRun, Path] | None = None  # the open run and its draft's folder
        self.images_trained = 0  # by this process
        self.publish_after = 0.0  # time.monotonic() of the next attempt to publish
        ctx.journal.declare(_TABLES)

    def current(self) -> Draft | None:
        """Return the unfinished draft, None between submissions."""
        rows = self._ctx.journal.rows(
            "SELECT number, stage, parents, bundle, images FROM draft WHERE stage NOT IN (?, ?) ORDER BY number DESC LIMIT 1",
            FINAL_STAGES,
        )
        if not rows:
            return None
        number, stage, parents, bundle, images = rows[0]
        return Draft(number, Stage(stage), tuple((bytes.fromhex(d), c) for d, c in json.loads(parents)), bundle, images)

    def published_count(self) -> int:
        """Count the submissions that this node has published."""
        return int(self._ctx.journal.rows("SELECT count(*) FROM draft WHERE stage = ?", (Stage.PUBLISHED,))[0][0])

    def begin(self, ledger: Ledger, own_scores: dict[int, OwnScore], baselines: dict[int, int], now: int) -> bool:
        """Choose the parents and open a draft; False while the node has scored no model.

        baselines: of `strategy.baselines`. now: block time.
        """
        ranked = ranking(ledger, own_scores, baselines, self._ctx.config)
        if not ranked:
            return False
        known = self._inbox.merged(ledger), self._inbox.unread(ledger)
        outlook = Outlook(ledger, self._ctx.config, self._ctx.address, *known)
        choice = check_choice(self._rule.choose(ranked, outlook), ranked)
        parents = [(ledger.models[i].bundle.hex(), c) for i, c in zip(choice.parents, choice.coefficients, strict=True)]
        with self._ctx.journal.transaction() as db:
            stage = Stage.TRAIN
            if self._rule.merges and merge_due(choice, outlook, now):
                bundles_of = (json.dumps(sorted(digest for digest, _ in parents)),)
                # Once: a merge that was given up or refused would be so again.
                if db.execute("INSERT OR IGNORE INTO draft_merge VALUES (?)", bundles_of).rowcount:
                    stage = Stage.MERGE
            db.execute("INSERT INTO draft (stage, parents) VALUES (?, ?)", (stage, json.dumps(parents)))
        return True

    def work(
        self, draft: Draft, to_beat: Callable[[], int | None], baseline: Callable[[], tuple[bytes, int] | None]
    ) -> Iterator[str]:
        """Train, judge and sign, a bounded piece per `next`: all before the transaction.

        to_beat: of `strategy.to_beat`. baseline: digest of the champion's bundle and its Q-N of `strategy.baselines`, for the
        author's own score. Ends before the stage whose figure is not known yet.
        """
        if draft.stage == Stage.TRAIN:
            yield from self._train(draft)
            draft = replace(draft, stage=Stage.JUDGE)
        if draft.stage == Stage.MERGE:
            yield self._merge(draft)
            draft = replace(draft, stage=Stage.JUDGE)
        if draft.stage == Stage.JUDGE:
            score = yield from score_weights(self._ctx, self._folder(draft) / bundles.WEIGHTS, "candidate")
            least = to_beat() if self._rule.gated else None
            if least is None and self._rule.gated:
                return  # the node opens this job again once it is known
            figures = f"Q-N {score.qn:.2f}" + (f", to beat {least / MICRO:.2f} on own data" if least is not None else "")
            if not should_submit(score, least, self._ctx.config):
                self._end(draft, Stage.GIVEN_UP)
                yield f"candidate given up: {figures}"
                return
            yield f"candidate will be submitted: {figures}"
            self._move(draft, Stage.SIGN)
            draft = replace(draft, stage=Stage.SIGN)
        if draft.stage == Stage.SIGN:
            # Stored since it was judged; measured again if the pictures have changed since.
            score = yield from score_weights(self._ctx, self._folder(draft) / bundles.WEIGHTS, "candidate")
            champion = baseline()
            if champion is not None:
                yield self._sign(draft, author_score(score, *champion))

    def publish(self, draft: Draft) -> Iterator[str]:
        """Add the bundle of a mined submission to the store; retries later while the store is unreachable."""
        assert draft.bundle is not None
        cid, folder = cid_from_digest(draft.bundle), self._ctx.bundle_folder(draft.bundle)
        try:
            for sent in paced(self._ctx.store.add_steps(folder, self._ctx.address)):
                yield f"publishing {cid}: {sent / 1e6:.1f} MB"
        except StoreUnreachable as fault:
            self.publish_after = time.monotonic() + RETRY_SECONDS
            yield f"publishing {cid}: {fault.cause} {fault.remedy} Trying again."
            return
        self._end(draft, Stage.PUBLISHED)
        yield f"published {cid}"

    def give_up(self, draft: Draft, reason: str) -> str:
        """Drop a draft that can't be submitted; return a line that says why."""
        self._end(draft, Stage.GIVEN_UP)
        return f"submission given up: {reason}"

    def mark_submitted(self, draft: Draft) -> None:
        """Move a draft on to publication: its transaction is mined."""
        self._move(draft, Stage.PUBLISH)

    def save_checkpoint(self) -> None:
        """Save the open training run, if there is one."""
        if self._run is not None:
            run, folder = self._run
            run.save(folder / "training")

    def _train(self, draft: Draft) -> Iterator[str]:
        ctx, folder = self._ctx, self._folder(draft)
        pictures = self._pictures(draft)
        run = self._open_run(draft, pictures)
        self._run = run, folder
        saved = time.monotonic()
        while run.images_seen < run.budget:
            before = run.images_seen
            progress = run.step(SLICE_SECONDS)
            self.images_trained += run.images_seen - before
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                run.save(folder / "training")
                saved = time.monotonic()
            speed = f"{progress.images_per_second:.0f} images/s"
            yield f"training {run.images_seen}/{run.budget} images, {speed}, loss {progress.loss:.4f}"
        self._run = None
        self._finish(
            draft,
            run.ema(),
            objective=ctx.config.objective,
            optimiser="AdamW",
            images_seen=run.images_seen,
            steps=run.steps,
            private_images=len(pictures),
            excluded=len(ctx.train) - len(pictures),
            dataset_root=dataset_root(ctx.train.hashes, ctx.secret.dataset_salt()).hex(),
        )

    def _merge(self, draft: Draft) -> str:
        """Make the mean of the parents the candidate: nothing is trained, no private picture is used."""
        self._folder(draft).mkdir(parents=True, exist_ok=True)
        nothing = dataset_root([], self._ctx.secret.dataset_salt()).hex()
        counts = {"images_seen": 0, "steps": 0, "private_images": 0, "excluded": 0}
        self._finish(draft, self._start(draft), objective=MERGE, optimiser="none", dataset_root=nothing, **counts)
        return f"merged {len(draft.parents)} models"

    def _finish(self, draft: Draft, weights: Weights, **facts: Any) -> None:
        """Store a candidate and the facts to sign with it; move the draft on to its judgement."""
        folder = self._folder(draft)
        save_weights(weights, folder / bundles.WEIGHTS, self._ctx.task)
        write_atomic(folder / "facts.json", json.dumps(facts), mode=OWNER_ONLY)
        self._move(draft, Stage.JUDGE)

    def _start(self, draft: Draft) -> Weights:
        """Return the merge of the draft's parents."""
        paths = [self._ctx.bundle_folder(parent) / bundles.WEIGHTS for parent, _ in draft.parents]
        return merge([load_weights(path, self._ctx.task) for path in paths], [coefficient for _, coefficient in draft.parents])

    def _pictures(self, draft: Draft) -> ImageSet:
        """Return the draft's training pictures; with the objective "qn+dedup" without the excluded ones (`Exclusions`).

        Chosen once: a resumed run keeps its pictures, whatever is found memorised meanwhile. If the node's data has changed,
        the training starts again.
        """
        ctx, folder = self._ctx, self._folder(draft)
        note, data = folder / "pictures.json", ctx.train.digest.hex()
        choice = json.loads(note.read_text()) if note.exists() else {}
        if choice.get("data") != data:
            shutil.rmtree(folder / "training", ignore_errors=True)
            remaining = ctx.exclusions.remaining(ctx.train) if ctx.config.objective == "qn+dedup" else ctx.train
            choice = {
                "data": data,
                "left_out": sorted({digest.hex() for digest in set(ctx.train.hashes) - set(remaining.hashes)}),
            }
            write_atomic(note, json.dumps(choice), mode=OWNER_ONLY)
        excluded = set(map(bytes.fromhex, choice["left_out"]))
        return ctx.train.subset([index for index, digest in enumerate(ctx.train.hashes) if digest not in excluded])

    def _open_run(self, draft: Draft, pictures: ImageSet) -> TrainingRun:
        """Resume the draft's training from its checkpoint, or start it from the merged parents."""
        ctx, folder = self._ctx, self._folder(draft)
        if TrainingRun.has_checkpoint(folder / "training"):
            return TrainingRun.resume(folder / "training", ctx.task, pictures.images, pictures.labels)
        return TrainingRun(
            ctx.task,
            pictures.images,
            pictures.labels,
            self._start(draft),
            seed=self._seed(draft),
            budget=ctx.config.images_per_submission,
        )

    def _sign(self, draft: Draft, own: AuthorScore) -> str:
        """Write the bundle, signed with the node's own score, store it under its CID, and move the draft on to submission."""
        ctx, folder = self._ctx, self._folder(draft)
        stored = json.loads((folder / "facts.json").read_text())
        coefficients = tuple(coefficient for _, coefficient in draft.parents)
        facts = TrainingFacts(
            **stored, seed=self._seed(draft), exchange=ctx.task.exchange, epsilon=None, coefficients=coefficients
        )
        parents = [bundles.open_bundle(ctx.bundle_folder(digest)).as_parent(digest) for digest, _ in draft.parents]
        claim = Claim(ctx.address, ctx.client.chain_id, ctx.client.address, tuple(digest for digest, _ in draft.parents))
        laid_out = folder / "bundle"
        cid = bundles.write_bundle(
            laid_out,
            folder / bundles.WEIGHTS,
            ctx.task,
            title=f"{ctx.task.name} by {ctx.address[:10]} no. {draft.number}",
            claim=claim,
            parents=parents,
            facts=facts,
            identity=ctx.identity,
            sign=wallet_signer(ctx.account),
            author_score=own,
        )
        target = ctx.bundle_folder(digest_of(cid))
        if not target.is_dir():
            laid_out.rename(target)
        with ctx.journal.transaction() as db:
            db.execute("UPDATE draft SET stage = ?, bundle = ? WHERE number = ?", (Stage.SUBMIT, digest_of(cid), draft.number))
            self._inbox.adopt(digest_of(cid), claim.parents, weights_key(target / bundles.WEIGHTS), facts.objective == MERGE)
        return f"signed {cid}"

    def _seed(self, draft: Draft) -> int:
        return self._ctx.config.seed * 1_000_003 + draft.number

    def _folder(self, draft: Draft) -> Path:
        return self._ctx.home / "draft" / str(draft.number)

    def _move(self, draft: Draft, stage: Stage) -> None:
        with self._ctx.journal.transaction() as db:
            db.execute("UPDATE draft SET stage = ? WHERE number = ?", (stage, draft.number))

    def _end(self, draft: Draft, stage: Stage) -> None:
        self._move(draft, stage)
        shutil.rmtree(self._folder(draft), ignore_errors=True)
