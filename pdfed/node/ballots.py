# SPDX-License-Identifier: Apache-2.0
"""The node's votes: committed when scored, revealed when reveals open, remembered in between.

The score and the salt are stored in the transaction that queues the commit. If the journal is lost, both come back: the
salt from the node's secret, the score from the `sealed` word of the commit's own event.
"""

from __future__ import annotations

from pdfed.chain.client import vote_commitment
from pdfed.chain.ledger import GENESIS, Ledger, ModelFacts
from pdfed.chain.outbox import Outbox
from pdfed.mechanism import BallotState, Phase, Role, Score
from pdfed.node.context import NodeContext
from pdfed.node.evaluation import OwnScore, vote
from pdfed.node.strategy import crowded, crowding

_TABLES = """
CREATE TABLE IF NOT EXISTS ballot (
    bundle BLOB NOT NULL, model INTEGER NOT NULL, qn INTEGER NOT NULL, baseline_qn INTEGER NOT NULL,
    memorized INTEGER NOT NULL, salt BLOB NOT NULL, PRIMARY KEY (bundle, model)
);
"""


class Ballots:
    """Queues commits, reveals and late votes of one node."""

    def __init__(self, ctx: NodeContext, outbox: Outbox) -> None:
        self._ctx = ctx
        self._outbox = outbox
        ctx.journal.declare(_TABLES)

    def queue(self, model: ModelFacts, ledger: Ledger, own: dict[int, OwnScore], now: int) -> str | None:
        """Queue what this node owes `model` now; says what was queued, None if nothing."""
        me = self._ctx.address
        if model.id == GENESIS or model.author == me:
            return None
        ballot = model.ballots.get(me)
        phase = ledger.phase(model.id, now)
        if ballot is not None and ballot.state == BallotState.COMMITTED and phase == Phase.REVEALING:
            return self._reveal(model, ballot.sealed)
        if ballot is None and model.id in own and model.baseline in own and self._may_vote(model, ledger):
            score = vote(own[model.id], own[model.baseline])
            if phase == Phase.VOTING:
                return self._commit(model, score)
            return self._put("late", model, "lateVote", (model.id, astuple(score)))
        return None

    def _may_vote(self, model: ModelFacts, ledger: Ledger) -> bool:
        node = ledger.nodes.get(self._ctx.address)
        if node is None or node.role == Role.NONE or node.exit_at:
            return False
        if crowded(model, crowding(ledger, self._ctx.address), self._ctx.address):
            return False
        needed = self._ctx.terms.commit_bond * (node.open_commits + 1)
        return node.joined_at < model.submitted_at and node.stake >= needed and ledger.on_jury(model.id, self._ctx.address)

    def _commit(self, model: ModelFacts, score: Score) -> str | None:
        ctx = self._ctx
        if self._outbox.state(_key("commit", model)) is not None:
            return None  # what it hides is remembered: it is what the reveal must say
        salt = ctx.secret.salt(model.bundle, model.id)
        sealed = ctx.secret.seal(score, model.bundle, model.id)
        commitment = vote_commitment(ctx.client.chain_id, ctx.client.address, model.id, model.baseline, ctx.address, score, salt)
        with ctx.journal.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO ballot VALUES (?, ?, ?, ?, ?, ?)",
                (model.bundle, model.id, score.qn, score.baseline_qn, score.memorized, salt),
            )
            arguments = (model.id, model.bundle, commitment, sealed)
            return self._put("commit", model, "commitVote", arguments, model.submitted_at + ctx.terms.commit_window)

    def _reveal(self, model: ModelFacts, sealed: bytes) -> str | None:
        rows = self._ctx.journal.rows(
            "SELECT qn, baseline_qn, memorized, salt FROM ballot WHERE bundle = ? AND model = ?", (model.bundle, model.id)
        )
        if rows:
            qn, baseline_qn, memorized, salt = rows[0]
            score = Score(qn, baseline_qn, memorized)
        else:
            score = self._ctx.secret.unseal(sealed, model.bundle, model.id)
            salt = self._ctx.secret.salt(model.bundle, model.id)
        return self._put("reveal", model, "revealVote", (model.id, astuple(score), salt))

    def _put(
        self, kind: str, model: ModelFacts, function: str, arguments: tuple[object, ...], valid_until: int | None = None
    ) -> str | None:
        key = _key(kind, model)
        # A reorg may have made a reveal fail; while reveals are open, the bond is at stake.
        if not (self._outbox.retry(key) if kind == "reveal" else self._outbox.state(key) is None):
            return None
        self._outbox.put(key, function, arguments, valid_until=valid_until)
        return f"{kind} vote on model {model.id}"


def _key(kind: str, model: ModelFacts) -> str:
    return f"{kind}:{model.id}:{model.bundle.hex()}"


def astuple(score: Score) -> tuple[int, int, int]:
    """A score in the order of the contract's struct."""
    return (score.qn, score.baseline_qn, score.memorized)
