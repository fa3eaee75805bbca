# SPDX-License-Identifier: Apache-2.0
"""World of a game: a deployed task under any terms, eight actors, and a record of all events."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from eth_hash.auto import keccak
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from pdfed.chain.events import Event
from pdfed.chain.ledger import Ledger
from pdfed.mechanism import JURY_DELAY, Phase, Role, Score, Terms
from tests.contract.chain import Interface, Node, Reverted
from tests.contract.federation import ETHER, MILLI, Done, Federation, score_of, with_terms
from tests.contract.recipient import REFUSE, WASTE_GAS, Recipient

TRAINERS, VALIDATORS, MALLORY, STRANGER = range(4), range(4, 6), 6, 7
ACTORS = st.integers(0, STRANGER)  # Mallory is a contract that misbehaves when paid; the stranger joins by chance only
VOTERS = (*TRAINERS, *VALIDATORS, MALLORY)
AUTHORS = st.integers(0, 3)
MODELS = st.one_of(st.integers(0, 2), st.integers(0, 100))  # see `World.id`
NEWEST = 0
GAINS = st.one_of(st.integers(-64, 63), st.sampled_from([0, 1, 2, 5, 63]))

# Of each voter: the gain they see, whether they commit, whether they reveal.
VOTES = st.lists(st.tuples(GAINS, st.integers(0, 3).map(bool), st.integers(0, 5).map(bool)), min_size=7, max_size=7)

# (commit window, reveal window, unbonding, sunset), seconds; each is at least what the others ask of it (see `_terms`).
WINDOWS = st.sampled_from([(30, 30, 60, 400), (30, 30, 60, 0), (30, 30, 60, 60), (20, 1, 500, 1), (3, 30, 40, 100), (1, 1, 2, 2)])


def _terms(windows: tuple[int, int, int, int], jury: int, enrolment: int, **terms: Any) -> Terms:
    commit, reveal, unbonding, sunset = windows
    commit += JURY_DELAY if jury else 0
    reveal = max(reveal, commit // 4)
    return with_terms(
        commit_window=commit,
        reveal_window=reveal,
        unbonding=max(unbonding, commit + reveal),
        sunset=sunset and max(sunset, enrolment + commit + reveal),
        jury=jury,
        enrolment=enrolment,
        **terms,
    )


TERMS = st.builds(
    _terms,
    WINDOWS,
    min_stake=st.sampled_from([ETHER, ETHER, MILLI, ETHER + 1]),
    submission_fee=st.sampled_from([0, 1, 7, 12 * MILLI]),
    commit_bond=st.sampled_from([0, 1, MILLI // 3, MILLI]),
    quorum=st.sampled_from([1, 3334, 5000, 10_000]),
    release=st.sampled_from([1, 2500, 9999]),
    min_gain=st.sampled_from([1, 2, 20, 63]),
    jury=st.sampled_from([0, 0, 0, 1, 2, 4, 65_535]),
    royalty=st.sampled_from([0, 1, 1000, 5000]),
    electorate=st.sampled_from([0, 0, 0, 300, 801, 5000]),
    enrolment=st.sampled_from([0, 0, 0, 1, 90]),
    pace=st.sampled_from([0, 0, 64, 65, 640, 10**6]),
)


class World(RuleBasedStateMachine):
    """One task and its actors. Refusals are part of the game, as long as contract and ghost refuse alike."""

    node: ClassVar[Node]
    compiled: ClassVar[dict[str, Any]]
    people: ClassVar[list[str]]
    start: ClassVar[str]  # the chain's state before every game
    calls: ClassVar[Counter[tuple[str, str]]] = Counter()  # (function, error or "done"), of all games

    fed: Federation

    def begin(self, terms: Terms, pool: int) -> None:
        """Deploy on the chain, restored to its state before the first game."""
        self.node.revert(World.start)
        World.start = self.node.rpc("evm_snapshot")
        accounts = list(self.people)
        self.recipient = Recipient(self.node, self.compiled["Recipient"], accounts[18])
        self.node.rpc("anvil_setBalance", self.recipient.address, hex(1000 * ETHER))
        self.actors = [*accounts[:MALLORY], self.recipient.address, accounts[MALLORY]]
        self.fed = Federation(self.node, Interface(self.compiled["PDFed"]), terms, self.actors[0], pool=pool)
        self.ledger = Ledger(terms)
        self.events: list[Event] = []
        self.read = 0  # transactions of `fed.history` that `events` and `ledger` know

    # ---------------------------------------------------------------------------------------- acting

    def do(self, function: str, actor: int, *args: Any, value: int = 0) -> bool:
        """Make a call; True if it took effect."""
        try:
            self.fed.do(function, self.actors[actor], *args, value=value)
        except Reverted as refusal:
            World.calls[function, refusal.name] += 1
            return False
        World.calls[function, "done"] += 1
        return True

    def id(self, number: int) -> int:
        """A known model most of the time (0: the newest), else one past the last."""
        count = self.fed.ghost.model_count()
        return count + 1 if number == 100 else count - number % (count + 1)

    def model_of(self, id: int) -> tuple[bytes, int]:
        """Bundle and baseline of a model, or others if there is none."""
        model = self.fed.ghost.models[id] if id <= self.fed.ghost.model_count() else None
        return (model.bundle, model.baseline) if model else (bytes(32), 0)

    def payee_of(self, actor: int) -> int:
        """The actor that is an actor's payee."""
        return self.actors.index(self.fed.ghost.payee(self.actors[actor]))

    def join(self, actor: int) -> bool:
        """Register with one to three times the least stake."""
        role = Role.VALIDATOR if actor in VALIDATORS else Role.TRAINER
        return self.do("register", actor, role, value=(1 + actor % 3) * self.fed.terms.min_stake)

    def submit(self, actor: int, bundle: int, parents: list[int]) -> bool:
        return self.do("submit", actor, keccak(str(bundle).encode()), parents, value=self.fed.terms.submission_fee)

    def voting_model(self, actor: int) -> int | None:
        """The newest model if the actor can vote on it now, else a new one of another author, its jury ready to be drawn; None
        if nobody can submit."""
        id = self.fed.ghost.model_count()
        votable = self.fed.ghost.phase(id, self.fed.now) == Phase.VOTING
        if not votable or self.fed.ghost.models[id].author == self.actors[actor]:
            others = (author for author in TRAINERS if author != actor)
            if not any(self.submit(author, 1000 + id, [self.fed.ghost.champion]) for author in others):
                return None
            id += 1
        self.wait_for_the_draw(id)
        return id

    def wait_for_the_draw(self, id: int) -> None:
        if self.fed.terms.jury:
            self.fed.now = max(self.fed.now, self.fed.ghost.models[id].submitted_at + JURY_DELAY)

    def commit(self, actor: int, id: int, score: Score) -> bool:
        salt = keccak(bytes([actor, id % 256]))
        commitment = self.fed.ghost.vote_commitment(id, self.actors[actor], score, salt)
        done = self.do("commitVote", actor, id, *self.model_of(id), commitment, salt)
        if done:
            self.fed.salts[id, self.actors[actor]] = score, salt
        return done

    def reveal(self, actor: int, id: int, by: int | None = None) -> bool:
        """Reveal an actor's vote, as another actor if that is given."""
        return self.do("revealVote", actor if by is None else by, id, self.actors[actor], *self.vote_of(actor, id))

    def vote_of(self, actor: int, id: int) -> tuple[Score, bytes]:
        """Score and salt of an actor's commit, or others if there is none."""
        return self.fed.salts.get((id, self.actors[actor]), (score_of(0), bytes(32)))

    def vote_on(self, id: int, votes: list[tuple[int, bool, bool]]) -> None:
        """Let voters commit and reveal on a model that is Voting."""
        if self.fed.ghost.phase(id, self.fed.now) != Phase.VOTING:
            return
        self.wait_for_the_draw(id)
        voting = [(actor, *vote) for actor, vote in zip(VOTERS, votes, strict=True)]
        committed = [actor for actor, gain, commits, _ in voting if commits and self.commit(actor, id, score_of(gain))]
        self.fed.now = max(self.fed.now, self.fed.ghost.models[id].reveals_open_at)
        for actor, _, _, reveals in voting:
            if reveals and actor in committed:
                self.reveal(actor, id)

    def settle_up_to(self, id: int) -> None:
        """Settle all models up to this one, each as soon as it is due."""
        while (upcoming := self.fed.ghost.next_to_settle) <= id:
            self.fed.settle(upcoming)

    def misbehave(self, manner: int) -> None:
        """Choose Mallory's behaviour on payments."""
        assert self.recipient.do("behave", manner) is None
        self.fed.now = max(self.fed.now, self.node.time() + 1)
        self.fed.refusing = {self.recipient.address} if manner in (REFUSE, WASTE_GAS) else set()

    # ---------------------------------------------------------------------------------------- recording

    def take_events(self) -> list[Done]:
        """Apply the events since the last call to the ledger; returns the transactions."""
        new = self.fed.history[self.read :]
        self.read += len(new)
        for done in new:
            for index, (name, args) in enumerate(done.events):
                plain = {key: tuple(value) if isinstance(value, list) else value for key, value in args.items()}
                event = Event(name, plain, done.block, "", index, done.transaction, done.time)
                self.events.append(event)
                self.ledger.apply(event)
        return new
