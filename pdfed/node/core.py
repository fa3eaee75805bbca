# SPDX-License-Identifier: Apache-2.0
"""One node: events in, transactions out, one bounded step at a time.

`step()` does one small thing and returns what it did. Whatever instruction the process is killed at, the next start goes on
from the journal, the chain and the store: nothing is lost and nothing is sent twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from pdfed.chain.chain_errors import ReorgTooDeep, Unfunded
from pdfed.chain.feed import EventFeed
from pdfed.chain.ledger import Ledger
from pdfed.chain.outbox import Outbox, Outcome
from pdfed.mechanism import BallotState, Phase, Role
from pdfed.node.ballots import Ballots
from pdfed.node.context import NodeContext
from pdfed.node.evaluation import OwnScore
from pdfed.node.inbox import Inbox
from pdfed.node.pinning import Pinning
from pdfed.node.strategy import may_begin
from pdfed.node.submission import Draft, Submissions
from pdfed.storage import cid_from_digest

UNFUNDED_SECONDS = 300.0  # between two words about money that is missing: the figures change with every block
COURTESY_SECONDS = 20.0  # the author settles first; others step in after this long, so that they don't all pay for it


@dataclass(frozen=True)
class Activity:
    """What a step did. kind: "event" | "chain" | "score" | "keep" | "train" | "publish" | "idle"; text: one line for people."""

    kind: str
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
        self.own: dict[int, OwnScore] = self.inbox.own_scores(self.ledger)
        self.training = ctx.config.role == "trainer"  # set to False to stop making submissions
        self._jobs: dict[str, Iterator[str]] = {}
        self._due_since: dict[str, float] = {}
        self._caught_up = False
        self._unfunded_at = -UNFUNDED_SECONDS  # when it was last said that money is missing

    def step(self) -> Activity:
        """Do one bounded thing. Never blocks for longer than a training slice, a sampling batch or a network call."""
        return self.follow() or self._send() or self._queue() or self._work() or self._idle()

    def close(self) -> None:
        """Save the training in hand and let go of the folder. A node that was killed instead loses seconds of training."""
        self.submissions.save_now()
        self.ctx.close()

    @property
    def registered(self) -> bool:
        return self._role() != Role.NONE

    @property
    def settled(self) -> int:
        """How many models are settled."""
        return len(self.ledger.models) - 1 - len(self.ledger.unsettled())

    @property
    def busy(self) -> bool:
        """Whether transactions or publications of this node are under way."""
        draft = self.submissions.current()
        return self.outbox.pending() > 0 or (draft is not None and draft.stage in ("submit", "publish"))

    # ------------------------------------------------------------------ events in

    def follow(self) -> Activity | None:
        """Read what is new on chain, a bounded page of it; None when there is nothing."""
        try:
            changes = self.feed.poll()
        except ReorgTooDeep as fault:
            self._rebuild()
            return Activity("event", f"{fault.cause} Reading the whole log anew.")
        self._caught_up = self.feed.caught_up
        if not changes:
            return None
        if any(change.undo for change in changes):
            self._rebuild()
        else:
            for change in changes:
                self.ledger.apply(change.event)
        self.own = self.inbox.own_scores(self.ledger)
        self.pinning.changed = True
        last = changes[-1]
        return Activity("event", f"{len(changes)} events, the last {'undone: ' if last.undo else ''}{last.event.name}")

    def _rebuild(self) -> None:
        """After a reorg: the facts anew from what still counts, and no work on a model that may be gone."""
        self.ledger = Ledger.from_events(self.feed.events(), self.ctx.terms)
        self.own = self.inbox.own_scores(self.ledger)
        self._jobs.pop("score", None)

    # ------------------------------------------------------------------ transactions out

    def _send(self) -> Activity | None:
        """Advance the outbox; a finished submission moves its draft on."""
        try:
            outcomes = self.outbox.step()
        except Unfunded as fault:  # all that needs no money goes on
            if time.monotonic() - self._unfunded_at < UNFUNDED_SECONDS:
                return None
            self._unfunded_at = time.monotonic()
            return Activity("chain", f"{fault.cause} {fault.remedy}")
        if not outcomes:
            return None
        for outcome in outcomes:
            draft = self.submissions.current()
            if draft is not None and draft.stage == "submit" and outcome.key == submit_key(draft):
                if outcome.ok or "AlreadySubmitted" in (outcome.error or ""):
                    self.submissions.submitted(draft)
                else:
                    self.submissions.give_up(draft, outcome.error or "refused")
            if self._jury_to_come(outcome):
                self.outbox.forget(outcome.key)  # the vote is queued again
        said = [outcome.key.split(":")[0] + ("" if outcome.ok else f" refused: {outcome.error}") for outcome in outcomes]
        return Activity("chain", ", ".join(said))

    def _jury_to_come(self, outcome: Outcome) -> bool:
        """Whether a commit was refused by a jury that is not drawn yet: in the model's own block, or after the 256 blocks
        that the contract remembers, from when on every block would draw another one until somebody's commit draws it."""
        kind, _, model = outcome.key.partition(":")
        if kind != "commit" or outcome.ok:
            return False
        facts = self.ledger.models.get(int(model.partition(":")[0]))
        undrawn = "NotOnJury" in (outcome.error or "") and facts is not None and not facts.jury_seed
        return undrawn or "JuryNotDrawn" in (outcome.error or "")

    def _queue(self) -> Activity | None:
        """Queue every transaction that is due. Nothing is decided before the node has read the whole log."""
        if not self._caught_up:
            return None
        if not self.registered:
            return self._register()
        now = self.ctx.client.now()
        for model in self.ledger.unsettled():
            queued = self.ballots.queue(model, self.ledger, self.own, now)
            if queued is not None:
                return Activity("chain", queued)
        return self._queue_submission() or self._queue_settlement(now) or self._queue_presence(now)

    def _register(self) -> Activity | None:
        ctx = self.ctx
        if self.outbox.state("register") in ("queued", "sent"):
            return None
        if ctx.client.node(ctx.address).role != Role.NONE:
            return None  # it is mined, and the feed has not told it yet: a second one would be refused, or not be payable
        if self.outbox.state("register") == "mined":
            self.outbox.forget("register")  # of an earlier stay
        elif not self.outbox.retry("register"):
            return None
        role = Role.TRAINER if ctx.config.role == "trainer" else Role.VALIDATOR
        self.outbox.put("register", "register", (int(role),), value=ctx.stake)
        return Activity("chain", f"registering as {ctx.config.role}")

    def _queue_submission(self) -> Activity | None:
        draft = self.submissions.current()
        if draft is None or draft.stage != "submit" or self.outbox.state(submit_key(draft)) is not None:
            return None
        by_bundle = {model.bundle: model.id for model in reversed(self.ledger.models.values())}  # the first, not a copy of it
        parents = tuple(by_bundle[digest] for digest, _ in draft.parents if digest in by_bundle)
        if len(parents) != len(draft.parents):
            return Activity("train", self.submissions.give_up(draft, "a parent vanished in a reorg"))
        self.outbox.put(submit_key(draft), "submit", (draft.bundle, parents), value=self.ctx.terms.submission_fee)
        return Activity("chain", f"submitting {cid_from_digest(draft.bundle or b'')}")

    def _queue_settlement(self, now: int) -> Activity | None:
        model = self.ledger.next_to_settle()
        if model is None or self.ledger.phase(model.id, now) != Phase.DUE:
            return None
        if not self._my_turn(f"settle:{model.id}:{model.bundle.hex()}", model.author == self.ctx.address):
            return None
        deadline = model.submitted_at + self.ctx.terms.commit_window + self.ctx.terms.reveal_window
        if now >= deadline:
            for voter, ballot in model.ballots.items():
                key = f"forfeit:{model.id}:{model.bundle.hex()}:{voter}"
                if ballot.state == BallotState.COMMITTED and self.outbox.state(key) is None:
                    self.outbox.put(key, "forfeit", (model.id, voter))
                    return Activity("chain", f"forfeit of {voter} on model {model.id}")
        key = f"settle:{model.id}:{model.bundle.hex()}"
        if not self.outbox.retry(key):
            return None
        self.outbox.put(key, "settle", (model.id,))
        return Activity("chain", f"settling model {model.id}")

    def _queue_presence(self, now: int) -> Activity | None:
        """A node that someone retired comes back; one that has been quiet for long says that it lives."""
        node = self.ledger.nodes[self.ctx.address]
        if node.exit_at and node.retired and self.outbox.state(f"return:{node.exit_at}") is None:
            self.outbox.put(f"return:{node.exit_at}", "cancelExit", ())
            return Activity("chain", "coming back after being retired")
        key = f"alive:{node.active_at}"
        quiet = now - node.active_at > self.ctx.terms.unbonding // 2
        if not node.exit_at and quiet and self.ledger.models_since(node.active_at) and self.outbox.state(key) is None:
            self.outbox.put(key, "keepAlive", ())
            return Activity("chain", "saying that this node lives")
        return None

    def _my_turn(self, what: str, first: bool) -> bool:
        since = self._due_since.setdefault(what, time.monotonic())
        return first or time.monotonic() - since > COURTESY_SECONDS

    # ------------------------------------------------------------------ work

    def _work(self) -> Activity | None:
        """One piece of the most urgent job: publishing before scoring, scoring before training; while one waits, the next."""
        waiting = None
        jobs = (("publish", self._publishing), ("score", self._scoring), ("keep", self._keeping), ("train", self._drafting))
        for kind, open_job in jobs:
            job = self._jobs.get(kind) or open_job()
            if job is None:
                continue
            self._jobs[kind] = job
            try:
                done = Activity(kind, next(job))
            except StopIteration:
                del self._jobs[kind]
                self.own = self.inbox.own_scores(self.ledger)
                self.pinning.changed = self.pinning.changed or kind != "keep"
            else:
                if done.text:
                    return done
                waiting = Activity(kind, "waiting for the store")
        return waiting

    def _publishing(self) -> Iterator[str] | None:
        draft = self.submissions.current()
        due = draft is not None and draft.stage == "publish" and time.monotonic() >= self.submissions.publish_at
        return self.submissions.publish(draft) if draft is not None and due else None

    def _scoring(self) -> Iterator[str] | None:
        model = self.inbox.next_model(self.ledger) if self._caught_up else None
        return self.inbox.work(model, self.ledger) if model is not None else None

    def _keeping(self) -> Iterator[str] | None:
        """Pins, once the node knows what is on chain and no draft may choose its parents at the same time."""
        draft = self.submissions.current()
        parents = [digest for digest, _ in draft.parents] if draft is not None else []
        return self.pinning.work(self.ledger, parents) if self._caught_up and self.registered else None

    def _drafting(self) -> Iterator[str] | None:
        """Go on with the draft in hand, or open one, if this node trains now."""
        if not self.training or not self.registered or self.ledger.champion not in self.own:
            return None
        draft = self.submissions.current()
        if draft is None:
            limit = self.ctx.config.max_submissions
            if limit is not None and self.submissions.published() >= limit:
                return None
            if not may_begin(self.ledger, self.ctx.address) or not self.submissions.begin(self.ledger, self._own_here()):
                return None
            draft = self.submissions.current()
        if draft is None or draft.stage not in ("train", "judge", "sign"):
            return None
        return self.submissions.work(draft, lambda: self.own[self.ledger.champion])

    def _idle(self) -> Activity:
        """Nothing to do now; says what the next settlement waits for."""
        model = self.ledger.next_to_settle()
        if model is None:
            return Activity("idle", "waiting for submissions")
        voted = 100 * model.committed_weight // model.eligible_weight if model.eligible_weight else 100
        times = (model.reveals_open_at, self.ledger.deadline(model))
        opens, ends = (time.strftime("%d %b %H:%M", time.localtime(at)) for at in times)
        return Activity("idle", f"waiting for model {model.id}: {voted} % voted; voting ends {opens}, reveals end {ends}")

    def _own_here(self) -> dict[int, OwnScore]:
        """Own scores of the models whose bundles are on this machine."""
        folder = self.ctx.bundle_folder
        return {id: score for id, score in self.own.items() if folder(self.ledger.models[id].bundle).is_dir()}

    def _role(self) -> Role:
        node = self.ledger.nodes.get(self.ctx.address)
        return Role.NONE if node is None else node.role


def submit_key(draft: Draft) -> str:
    return f"submit:{(draft.bundle or b'').hex()}"
