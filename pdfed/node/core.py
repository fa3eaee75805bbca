# SPDX-License-Identifier: Apache-2.0
"""One node: events in, transactions out, one bounded step at a time.

`step()` does one small piece of work and returns it as an Activity. A process killed at any instruction resumes from the
journal, the chain and the store: nothing is lost and nothing is sent twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from pdfed.chain.chain_errors import ReorgTooDeep, Unfunded
from pdfed.chain.feed import EventFeed
from pdfed.chain.ledger import Ledger
from pdfed.chain.outbox import IntentState, Outbox, Outcome
from pdfed.mechanism import BallotState, Phase, Role
from pdfed.node.ballots import Ballots
from pdfed.node.context import NodeContext
from pdfed.node.evaluation import OwnScore
from pdfed.node.inbox import Inbox
from pdfed.node.pinning import Pinning
from pdfed.node.strategy import baselines, may_begin, to_beat
from pdfed.node.submission import Draft, Stage, Submissions
from pdfed.node.terms_check import pool_fault
from pdfed.storage import cid_from_digest

UNFUNDED_SECONDS = 300.0  # between two warnings that money is missing: their figures change with every block
COURTESY_SECONDS = 20.0  # after which others settle a model that its author has not settled: only one transaction is needed

JobKind = Literal["publish", "score", "keep", "train"]
ActivityKind = Literal["event", "chain", "idle"] | JobKind


@dataclass(frozen=True)
class Activity:
    """Result of a step. kind: "event", events read; "chain", a transaction; "keep", pins; the others as named. text: one line
    for people."""

    kind: ActivityKind
    text: str


class Node:
    """A trainer or validator on one contract with one account."""

    def __init__(self, ctx: NodeContext) -> None:
        self.ctx = ctx
        self.feed = EventFeed(ctx.client, ctx.journal, confirmations=ctx.config.confirmations)
        self.outbox = Outbox(ctx.client, ctx.account, ctx.journal)
        self.inbox = Inbox(ctx)
        self.submissions = Submissions(ctx, self.inbox)
        self.pinning = Pinning(ctx, self.inbox)
        self.ballots = Ballots(ctx, self.outbox)
        self.ledger = Ledger.from_events(self.feed.events(), ctx.terms)
        self.own_scores: dict[int, OwnScore] = self.inbox.own_scores(self.ledger)  # by model id
        self.training = ctx.config.role == "trainer"  # set it to False to stop making submissions
        self._jobs: dict[JobKind, Iterator[str]] = {}
        self._opens_at = ctx.client.opens_at()
        self._departures: int | None = None  # as the event log told when it was first read to its end
        self._due_since: dict[str, float] = {}
        self._caught_up = False
        self._pool_grew = False
        self._pool_named = False
        self._unfunded_at = -UNFUNDED_SECONDS  # time.monotonic() of the last warning that money is missing

    def step(self) -> Activity:
        """Do one bounded piece of work: no longer than a training slice, a sampling batch or a network call."""
        return self.follow() or self._step_outbox() or self._queue_transactions() or self._run_job() or self._idle()

    def close(self) -> None:
        """Save a checkpoint of the training and release the node's folder. After a kill, seconds of training are lost."""
        self.submissions.save_checkpoint()
        self.ctx.close()

    @property
    def registered(self) -> bool:
        return self._role() != Role.NONE

    @property
    def settled_count(self) -> int:
        """Number of settled models, the genesis not counted."""
        return len(self.ledger.models) - 1 - len(self.ledger.unsettled())

    @property
    def busy(self) -> bool:
        """True while a transaction or a publication of this node is pending."""
        draft = self.submissions.current()
        return self.outbox.pending() > 0 or (draft is not None and draft.stage in (Stage.SUBMIT, Stage.PUBLISH))

    # ------------------------------------------------------------------ events in

    def follow(self) -> Activity | None:
        """Read a bounded page of new events into the ledger; None if there are none."""
        try:
            changes = self.feed.poll()
        except ReorgTooDeep as fault:
            self._rebuild()
            return Activity("event", f"{fault.cause} Reading the whole event log again.")
        self._caught_up = self.feed.caught_up
        if not changes:
            return self._pool_risk() if self._pool_grew else None
        if any(change.undo for change in changes):
            self._rebuild()
        else:
            for change in changes:
                self.ledger.apply(change.event)
        self.own_scores = self.inbox.own_scores(self.ledger)
        self.pinning.changed = True
        self._pool_grew = self._pool_grew or any(change.event.name == "Funded" for change in changes)
        last = changes[-1]
        return Activity("event", f"{len(changes)} events, the last {'undone: ' if last.undo else ''}{last.event.name}")

    def _pool_risk(self) -> Activity | None:
        """Name a pool that has outgrown the stake, once: it is paid in after the node joined."""
        self._pool_grew = False
        risk = pool_fault(self.ctx.terms, self.ledger.pool, self.ctx.client.active_weight())
        if not risk or self._pool_named:
            return None
        self._pool_named = True
        return Activity("event", f"warning: {risk}")

    def _rebuild(self) -> None:
        """Rebuild the ledger from the valid events after a reorg, and drop the scoring of a model that may be gone."""
        self.ledger = Ledger.from_events(self.feed.events(), self.ctx.terms)
        self.inbox.reconsider()
        self.own_scores = self.inbox.own_scores(self.ledger)
        self._jobs.pop("score", None)

    # ------------------------------------------------------------------ transactions out

    def _step_outbox(self) -> Activity | None:
        """Advance the outbox; move a draft on whose submission finished."""
        try:
            outcomes = self.outbox.step()
        except Unfunded as fault:  # work that needs no money continues
            if time.monotonic() - self._unfunded_at < UNFUNDED_SECONDS:
                return None
            self._unfunded_at = time.monotonic()
            return Activity("chain", f"{fault.cause} {fault.remedy}")
        if not outcomes:
            return None
        for outcome in outcomes:
            draft = self.submissions.current()
            if draft is not None and draft.stage == Stage.SUBMIT and outcome.key == submit_key(draft):
                if outcome.ok or outcome.error_name == "AlreadySubmitted":
                    self.submissions.mark_submitted(draft)
                else:
                    self.submissions.give_up(draft, str(outcome.error) or "refused")
            if self._commits_again(outcome):
                self.outbox.forget(outcome.key)
        lines = [outcome.key.split(":")[0] + ("" if outcome.ok else f" refused: {outcome.error}") for outcome in outcomes]
        return Activity("chain", ", ".join(lines))

    def _commits_again(self, outcome: Outcome) -> bool:
        """True if a refused commit is queued again: a reorg took back the jury's draw, or gave the model another baseline."""
        kind, _, model = outcome.key.partition(":")
        if kind != "commit" or outcome.ok:
            return False
        facts = self.ledger.models.get(int(model.partition(":")[0]))
        not_drawn = outcome.error_name == "NotOnJury" and facts is not None and not facts.jury_seed
        return not_drawn or outcome.error_name in ("JuryNotDrawn", "BaselineMismatch")

    def _queue_transactions(self) -> Activity | None:
        """Queue the next transaction that is due; none before the whole event log is read."""
        if not self._caught_up:
            return None
        if self._departures is None:
            self._departures = self._departed()
        if not self.registered:
            return self._queue_registration()
        now = self.ctx.client.now()
        known = self._baselines(now)
        for model in self.ledger.unsettled():
            queued = self.ballots.draw(model, self.ledger, now)
            queued = queued or self.ballots.queue(model, self.ledger, self.own_scores, known, now)
            if queued is not None:
                return Activity("chain", queued)
        return self._queue_submission(now) or self._queue_settlement(now) or self._queue_keep_alive(now)

    def _queue_registration(self) -> Activity | None:
        """Queue the registration of a new node; not of one whose stake was claimed while this process ran: an exit is final."""
        ctx = self.ctx
        if self._departed() != self._departures:
            return None
        if self.outbox.state("register") in (IntentState.QUEUED, IntentState.SENT):
            return None
        if ctx.client.node(ctx.address).role != Role.NONE:
            return None  # mined, but not in the feed yet: a second registration would be refused, or be unaffordable
        if self.outbox.state("register") == IntentState.MINED:
            self.outbox.forget("register")  # the node had left since
        elif not self.outbox.retry("register"):
            return None
        role = Role.TRAINER if ctx.config.role == "trainer" else Role.VALIDATOR
        self.outbox.put("register", "register", (int(role),), value=ctx.stake)
        return Activity("chain", f"registering as {ctx.config.role}")

    def _queue_submission(self, now: int) -> Activity | None:
        """Queue the submission of a signed draft, once the enrolment is over."""
        draft = self.submissions.current()
        if now < self._opens_at or draft is None or draft.stage != Stage.SUBMIT:
            return None
        if self.outbox.state(submit_key(draft)) is not None:
            return None
        by_bundle = {model.bundle: model.id for model in reversed(self.ledger.models.values())}  # of copies, the first
        parents = tuple(by_bundle[digest] for digest, _ in draft.parents if digest in by_bundle)
        if len(parents) != len(draft.parents):
            return Activity("train", self.submissions.give_up(draft, "a parent vanished in a reorg"))
        self.outbox.put(submit_key(draft), "submit", (draft.bundle, parents), value=self.ctx.terms.submission_fee)
        return Activity("chain", f"submitting {cid_from_digest(draft.bundle or b'')}")

    def _queue_settlement(self, now: int) -> Activity | None:
        model = self.ledger.next_to_settle()
        if model is None or self.ledger.phase(model.id, now) != Phase.DUE:
            return None
        key = f"settle:{model.id}:{model.bundle.hex()}"
        if model.author != self.ctx.address and not self._courtesy_over(key):
            return None
        deadline = model.submitted_at + self.ctx.terms.commit_window + self.ctx.terms.reveal_window
        if now >= deadline:
            for voter, ballot in model.ballots.items():
                forfeit = f"forfeit:{model.id}:{model.bundle.hex()}:{voter}"
                if ballot.state == BallotState.COMMITTED and self.outbox.state(forfeit) is None:
                    self.outbox.put(forfeit, "forfeit", (model.id, voter))
                    return Activity("chain", f"forfeit of {voter} on model {model.id}")
        if not self.outbox.retry(key):
            return None
        self.outbox.put(key, "settle", (model.id,))
        return Activity("chain", f"settling model {model.id}")

    def _queue_keep_alive(self, now: int) -> Activity | None:
        """Queue `keepAlive` by itself once the node was inactive for half of `unbonding` and models were submitted meanwhile: an
        inactive node can be retired by anyone. Queue `cancelExit` after that has happened; a requested exit is final."""
        node = self.ledger.nodes[self.ctx.address]
        if node.exit_at and node.retired and self.outbox.state(f"return:{node.exit_at}") is None:
            self.outbox.put(f"return:{node.exit_at}", "cancelExit", ())
            return Activity("chain", "returning: this node was retired")
        key = f"alive:{node.active_at}"
        inactive = now - node.active_at > self.ctx.terms.unbonding // 2
        if not node.exit_at and inactive and self.ledger.models_since(node.active_at) and self.outbox.state(key) is None:
            self.outbox.put(key, "keepAlive", ())
            return Activity("chain", "keepAlive: this node is still here")
        return None

    def _courtesy_over(self, key: str) -> bool:
        """True once the settlement with this key has been due for COURTESY_SECONDS."""
        since = self._due_since.setdefault(key, time.monotonic())
        return time.monotonic() - since > COURTESY_SECONDS

    # ------------------------------------------------------------------ work

    def _run_job(self) -> Activity | None:
        """Run one piece of the most urgent job that doesn't wait: publishing, then scoring, pinning, training."""
        waiting = None
        jobs: tuple[tuple[JobKind, Callable[[], Iterator[str] | None]], ...] = (
            ("publish", self._publish_job),
            ("score", self._score_job),
            ("keep", self._pin_job),
            ("train", self._draft_job),
        )
        for kind, open_job in jobs:
            job = self._jobs.get(kind) or open_job()
            if job is None:
                continue
            self._jobs[kind] = job
            try:
                activity = Activity(kind, next(job))
            except StopIteration:
                del self._jobs[kind]
                self.own_scores = self.inbox.own_scores(self.ledger)
                self.pinning.changed = self.pinning.changed or kind != "keep"
            else:
                if activity.text:
                    return activity
                waiting = Activity(kind, "waiting for the store")
        return waiting

    def _publish_job(self) -> Iterator[str] | None:
        draft = self.submissions.current()
        due = draft is not None and draft.stage == Stage.PUBLISH and time.monotonic() >= self.submissions.publish_after
        return self.submissions.publish(draft) if draft is not None and due else None

    def _score_job(self) -> Iterator[str] | None:
        model = self.inbox.next_model(self.ledger) if self._caught_up else None
        return self.inbox.work(model, self.ledger) if model is not None else None

    def _pin_job(self) -> Iterator[str] | None:
        """Pin and unpin, once the event log is read and the node is registered. The current draft's parents are kept."""
        draft = self.submissions.current()
        parents = [digest for digest, _ in draft.parents] if draft is not None else []
        return self.pinning.work(self.ledger, parents) if self._caught_up and self.registered else None

    def _draft_job(self) -> Iterator[str] | None:
        """Continue the current draft, or begin one if the node is a trainer (a validator trains nothing) and may begin."""
        if not self.training or self._leaving():
            return None
        now = self.ctx.client.now()
        known = self._baselines(now)
        if self.ledger.champion not in known:
            return None
        draft = self.submissions.current()
        if draft is None:
            limit = self.ctx.config.max_submissions
            if limit is not None and self.submissions.published_count() >= limit:
                return None
            if not may_begin(self.ledger, self.ctx.address):
                return None
            if not self.submissions.begin(self.ledger, self._scores_on_disk(), known, now):
                return None
            draft = self.submissions.current()
        if draft is None or draft.stage not in (Stage.TRAIN, Stage.MERGE, Stage.JUDGE, Stage.SIGN):
            return None
        return self.submissions.work(draft, self._to_beat, self._baseline)

    def _idle(self) -> Activity:
        """Return the idle activity, which says what the next settlement waits for."""
        model = self.ledger.next_to_settle()
        if not self.registered and self._departed() != self._departures:
            return Activity("idle", "this node has left; run the command again to join anew")
        if model is None and self.ctx.client.now() < self._opens_at:
            return Activity("idle", f"waiting for the end of the enrolment, {_date(self._opens_at)}")
        if model is None:
            return Activity("idle", "waiting for submissions")
        voted = 100 * model.committed_weight // model.eligible_weight if model.eligible_weight else 100
        opens, ends = _date(model.reveals_open_at), _date(self.ledger.deadline(model))
        return Activity("idle", f"waiting for model {model.id}: {voted} % voted; voting ends {opens}, reveals end {ends}")

    def _baselines(self, now: int) -> dict[int, int]:
        """Return Q-N of the champions as baselines (`strategy.baselines`)."""
        return baselines(self.ledger, self.own_scores, self.inbox.missing(self.ledger, now))

    def _to_beat(self) -> int | None:
        """Return the Q-N that a candidate must beat (`strategy.to_beat`)."""
        known = self._baselines(self.ctx.client.now())
        return to_beat(self.ledger, self.own_scores, known, self.ctx.config)

    def _baseline(self) -> tuple[bytes, int] | None:
        """Return the digest of the champion's bundle and its Q-N as a baseline; None while that is not known."""
        champion = self.ledger.models[self.ledger.champion]
        qn = self._baselines(self.ctx.client.now()).get(champion.id)
        return None if qn is None else (champion.bundle, qn)

    def _departed(self) -> int:
        """Return how often this account has claimed its stake."""
        return self.ledger.departures.get(self.ctx.address, 0)

    def _leaving(self) -> bool:
        """True if this node is not registered, or takes part no more."""
        node = self.ledger.nodes.get(self.ctx.address)
        return node is None or bool(node.exit_at)

    def _scores_on_disk(self) -> dict[int, OwnScore]:
        """Return the own scores of the models whose bundles are on disk."""
        folder = self.ctx.bundle_folder
        return {id: score for id, score in self.own_scores.items() if folder(self.ledger.models[id].bundle).is_dir()}

    def _role(self) -> Role:
        node = self.ledger.nodes.get(self.ctx.address)
        return Role.NONE if node is None else node.role


def _date(time_: int) -> str:
    return time.strftime("%d %b %H:%M", time.localtime(time_))


def submit_key(draft: Draft) -> str:
    """Return the outbox key of a draft's submission."""
    return f"submit:{(draft.bundle or b'').hex()}"
