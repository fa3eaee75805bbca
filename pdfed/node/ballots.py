# SPDX-License-Identifier: Apache-2.0
"""Votes of one node: juries drawn, scores committed once the model is scored, revealed when reveals open.

The score of a vote is stored before its commit is sent: score and salt are in the journal transaction that queues the commit.
If the journal is lost, both are recovered: the salt from the node's secret, the score from the `sealed` word of the commit's
own event.
"""

from __future__ import annotations

from collections.abc import Mapping

from pdfed.chain.client import vote_commitment
from pdfed.chain.ledger import GENESIS, Ledger, ModelFacts
from pdfed.chain.outbox import Outbox
from pdfed.mechanism import BallotState, Phase, Role, Score
from pdfed.node.context import NodeContext
from pdfed.node.evaluation import OwnScore, vote
from pdfed.node.strategy import flooding_authors, vote_waits

_TABLES = """
CREATE TABLE IF NOT EXISTS ballot (
    bundle BLOB NOT NULL, model INTEGER NOT NULL, qn INTEGER NOT NULL, baseline_qn INTEGER NOT NULL,
    memorized INTEGER NOT NULL, salt BLOB NOT NULL, PRIMARY KEY (bundle, model)
);
"""


class Ballots:
    """Queues the draws, commits, reveals and late votes of one node."""

    def __init__(self, ctx: NodeContext, outbox: Outbox) -> None:
        self._ctx = ctx
        self._outbox = outbox
        ctx.journal.declare(_TABLES)

    def draw(self, model: ModelFacts, ledger: Ledger, now: int) -> str | None:
        """Queue the draw of the model's jury as soon as the contract allows it: whoever waits lets others choose the seed."""
        start = ledger.draws_from(model.id)
        if start is None or now < start or ledger.phase(model.id, now) != Phase.VOTING:
            return None
        end = model.submitted_at + self._ctx.terms.commit_window
        return self._put("draw", model, "drawJury", (model.id,), end, "jury of")

    def queue(
        self, model: ModelFacts, ledger: Ledger, own_scores: Mapping[int, OwnScore], baselines: Mapping[int, int], now: int
    ) -> str | None:
        """Queue the vote transaction on `model` that is due at `now` (Unix seconds); return a line about it, None if none is.

        baselines: of `strategy.baselines`, Q-N by champion.
        """
        me = self._ctx.address
        if model.id == GENESIS or model.author == me:
            return None
        ballot = model.ballots.get(me)
        phase = ledger.phase(model.id, now)
        if ballot is not None and ballot.state == BallotState.COMMITTED and phase == Phase.REVEALING:
            return self._reveal(model, ballot.sealed)
        if ballot is None and model.id in own_scores and model.baseline in baselines and self._may_vote(model, ledger):
            score = vote(own_scores[model.id], baselines[model.baseline])
            if phase != Phase.VOTING:
                return self._put("late", model, "lateVote", (model.id, model.bundle, astuple(score)))
            if ledger.draws_from(model.id) is None:  # else a commit would be refused, or draw the jury itself
                return self._commit(model, score)
        return None

    def _may_vote(self, model: ModelFacts, ledger: Ledger) -> bool:
        """True if the contract would accept a vote of this node on the model, and no flood holds it back."""
        node = ledger.nodes.get(self._ctx.address)
        if node is None or node.role == Role.NONE or node.exit_at:
            return False
        if vote_waits(model, flooding_authors(ledger, self._ctx.address), self._ctx.address):
            return False
        needed = self._ctx.terms.commit_bond * (node.open_commits + 1)
        return node.joined_at < model.submitted_at and node.stake >= needed and ledger.on_jury(model.id, self._ctx.address)

    def _commit(self, model: ModelFacts, score: Score) -> str | None:
        ctx = self._ctx
        if self._outbox.state(_key("commit", model)) is not None:
            return None  # queued before: the reveal must match the score stored then
        salt = ctx.secret.salt(model.bundle, model.id)
        sealed = ctx.secret.seal(score, model.bundle, model.id)
        commitment = vote_commitment(ctx.client.chain_id, ctx.client.address, model.id, model.baseline, ctx.address, score, salt)
        with ctx.journal.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO ballot VALUES (?, ?, ?, ?, ?, ?)",
                (model.bundle, model.id, score.qn, score.baseline_qn, score.memorized, salt),
            )
            arguments = (model.id, model.bundle, model.baseline, commitment, sealed)
            return self._put("commit", model, "commitVote", arguments, model.submitted_at + ctx.terms.commit_window)

    def _reveal(self, model: ModelFacts, sealed: bytes) -> str | None:
        """Queue the reveal of the stored score, or of the one in the commit's `sealed` word if the journal was lost."""
        rows = self._ctx.journal.rows(
            "SELECT qn, baseline_qn, memorized, salt FROM ballot WHERE bundle = ? AND model = ?", (model.bundle, model.id)
        )
        if rows:
            qn, baseline_qn, memorized, salt = rows[0]
            score = Score(qn, baseline_qn, memorized)
        else:
            score = self._ctx.secret.unseal(sealed, model.bundle, model.id)
            salt = self._ctx.secret.salt(model.bundle, model.id)
        return self._put("reveal", model, "revealVote", (model.id, self._ctx.address, astuple(score), salt))

    def _put(
        self,
        kind: str,
        model: ModelFacts,
        function: str,
        arguments: tuple[object, ...],
        valid_until: int | None = None,
        words: str = "vote on",
    ) -> str | None:
        key = _key(kind, model)
        # A reveal that failed, after a reorg for instance, is sent again: its bond is at stake while reveals are open. So is a
        # draw, without which nobody votes.
        if not (self._outbox.retry(key) if kind in ("reveal", "draw") else self._outbox.state(key) is None):
            return None
        self._outbox.put(key, function, arguments, valid_until=valid_until)
        return f"{kind} {words} model {model.id}"


def _key(kind: str, model: ModelFacts) -> str:
    return f"{kind}:{model.id}:{model.bundle.hex()}"


def astuple(score: Score) -> tuple[int, int, int]:
    """Return a score as a tuple in the order of the contract's struct."""
    return (score.qn, score.baseline_qn, score.memorized)
