# SPDX-License-Identifier: Apache-2.0
"""A deployed contract and its ghost, driven in lockstep: every call made here runs on both, and they must agree."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from typing import Any

from eth_hash.auto import keccak
from eth_utils import to_checksum_address

from pdfed import mechanism
from pdfed.mechanism import HEARD_TO_RETIRE, Call, Mechanism, MechanismError, Phase, Role, Score, Terms

from .chain import Interface, Node, Reverted

ETHER = 10**18
MILLI = 10**15

TERMS = Terms(
    genesis=keccak(b"genesis"),
    min_stake=ETHER,
    submission_fee=12 * MILLI,
    commit_bond=30 * MILLI,
    quorum=5000,
    release=2500,
    min_gain=2,
    jury=0,
    royalty=1000,
    commit_window=100,
    reveal_window=50,
    unbonding=1000,
    sunset=5000,
    sponsor=to_checksum_address("0xfeedfeedfeedfeedfeedfeedfeedfeedfeedfeed"),
    electorate=0,
    enrolment=0,
    pace=0,
)


@dataclass(frozen=True)
class Done:
    """A transaction that took effect. `function`: what was called, empty for the deployment; `events`: (name, args) in order."""

    function: str
    events: list[tuple[str, dict[str, Any]]]
    gas: int
    time: int
    block: int
    transaction: str


class Federation:
    """One deployed contract and its ghost. Every call moves the clock by one second, unless it gives a time."""

    def __init__(self, node: Node, interface: Interface, terms: Terms, deployer: str, *, pool: int = 0) -> None:
        self.node, self.interface, self.terms = node, interface, terms
        self.now = max(node.time() + 1, 1_900_000_000)
        self.refusing: set[str] = set()  # recipients that won't take a payment
        self.paid_in = pool
        self.withdrawn = 0
        self.forced = 0  # wei that came in by selfdestruct
        self.salts: dict[tuple[int, str], tuple[Score, bytes]] = {}
        self._people: set[str] = {deployer, terms.sponsor}
        receipt, failure = node.send(deployer, None, interface.deployment_data((astuple(terms),)), pool, self.now)
        call = self._call(receipt, deployer, self.now, pool)
        chain_id = int(node.rpc("eth_chainId"), 16)
        if failure is not None:
            error = interface.error(failure)
            _agree(lambda: Mechanism(terms, call), error)
            raise error
        self.address = to_checksum_address(receipt["contractAddress"])
        self.ghost = Mechanism(terms, call, address=self.address, chain_id=chain_id)
        self.deployment = self._done("", receipt, self.now)
        assert self.deployment.events == _ghost_events(self.ghost, 0)
        self.history = [self.deployment]  # all transactions that took effect
        self.now += 1

    # ------------------------------------------------------------------------------------------ calls

    def do(self, function: str, caller: str, *args: Any, value: int = 0, at: int | None = None) -> Done:
        """Call the contract and the ghost; both must give the same events or the same error. Raises Reverted."""
        self._people |= {caller, *(a for a in args if isinstance(a, str))}
        time = self.now if at is None else at
        data = self.call_data(function, *args)
        receipt, failure = self.node.send(caller, self.address, data, value, time)
        self.now = time + 1
        error = None if failure is None else self.interface.error(failure)
        before = len(self.ghost.events)
        call = self._call(receipt, caller, time, value)
        result = _agree(lambda: getattr(self.ghost, _snake(function))(call, *_ghost_args(function, args)), error)
        if error:
            assert len(self.ghost.events) == before
            raise error
        self.paid_in += value
        self.withdrawn += result if function == "withdraw" else 0
        done = self._done(function, receipt, time)
        assert done.events == _ghost_events(self.ghost, before)
        self.history.append(done)
        return done

    def _call(self, receipt: dict, caller: str, time: int, value: int) -> Call:
        """The ghost's context of a mined transaction."""
        randomness = self.node.prevrandao(int(receipt["blockNumber"], 16)) if self.terms.jury else bytes(32)
        return Call(caller, time, value, randomness, lambda to: to in self.refusing)

    def call_data(self, function: str, *args: Any) -> bytes:
        """The ABI encoding of a call. `multicall` takes pairs (function, arguments)."""
        if function == "multicall":
            args = ([self.call_data(name, *inner) for name, inner in args[0]],)
        return self.interface.call_data(function, tuple(astuple(a) if isinstance(a, Score) else a for a in args))

    def view(self, function: str, *args: Any, caller: str = mechanism.ZERO_ADDRESS) -> Any:
        """Call a view at the latest block (call `tick` first for a later time). Raises Reverted."""
        data, refused = self.node.call(self.address, self.call_data(function, *args), caller)
        if refused:
            raise self.interface.error(data)
        return self.interface.result(function, data)

    def views(self, *questions: tuple) -> list[Any]:
        """Call several views, each given as (function, arguments…), in one request."""
        batch = [(function, args) for function, *args in questions]
        data, refused = self.node.call(self.address, self.call_data("multicall", batch), mechanism.ZERO_ADDRESS)
        if refused:
            raise self.interface.error(data)
        answers = self.interface.result("multicall", data)
        return [self.interface.result(function, answer) for (function, *_), answer in zip(questions, answers, strict=True)]

    def wait(self, seconds: int) -> None:
        """Let time pass before the next call."""
        self.now += seconds

    def tick(self) -> None:
        """Mine an empty block at the current time, so that views see it."""
        self.now = max(self.now, self.node.time())
        self.node.rpc("evm_setNextBlockTimestamp", self.now)
        self.node.rpc("evm_mine")

    def mine(self, blocks: int) -> None:
        """Mine empty blocks, one second apart."""
        self.node.rpc("evm_setNextBlockTimestamp", self.now)
        self.node.rpc("anvil_mine", hex(blocks), hex(1))
        self.now = self.node.time() + 1

    # --------------------------------------------------------------------------------------- journeys

    def join(self, *accounts: str, role: Role = Role.TRAINER, stake: int | None = None) -> None:
        """Register accounts, each with the least stake by default."""
        for account in accounts:
            self.do("register", account, role, value=self.terms.min_stake if stake is None else stake)

    def submit(self, author: str, *parents: int, bundle: bytes | None = None) -> int:
        """Submit a model with a bundle of its own; returns its id."""
        bundle = keccak(f"bundle {self.ghost.model_count() + 1}".encode()) if bundle is None else bundle
        self.do("submit", author, bundle, list(parents) or [0], value=self.terms.submission_fee)
        return self.ghost.model_count()

    def commit(self, id: int, voter: str, score: Score, *, at: int | None = None) -> Done:
        """Commit to a score under a fresh salt, remembered for `reveal`."""
        salt = keccak(f"salt {id} {voter}".encode())
        self.salts[id, voter] = score, salt
        commitment = self.ghost.vote_commitment(id, voter, score, salt)
        model = self.ghost.models[id]
        return self.do("commitVote", voter, id, model.bundle, model.baseline, commitment, keccak(salt), at=at)

    def reveal(self, id: int, voter: str, *, by: str | None = None, at: int | None = None) -> Done:
        """Reveal the vote of `commit`, as its voter or as another account."""
        return self.do("revealVote", by or voter, id, voter, *self.salts[id, voter], at=at)

    def late_vote(self, id: int, voter: str, score: Score, *, at: int | None = None) -> Done:
        """Record a late score."""
        return self.do("lateVote", voter, id, self.ghost.models[id].bundle, score, at=at)

    def leave(self, *accounts: str) -> None:
        """Accounts request their exit."""
        for account in accounts:
            self.do("requestExit", account, account)

    def vote(self, id: int, votes: dict[str, Score]) -> None:
        """Commit and reveal all these votes, waiting for the reveals to open where they don't open early."""
        for voter, score in votes.items():
            self.commit(id, voter, score)
        self.now = max(self.now, self.ghost.models[id].reveals_open_at)
        for voter in votes:
            self.reveal(id, voter)

    def advance(self, author: str, voters: list[str], steps: int, *parents: int) -> int:
        """Submit a model that all voters score better by `steps`, and settle it; returns its id."""
        id = self.submit(author, *parents)
        self.vote(id, {voter: score_of(steps) for voter in voters})
        self.settle(id)
        return id

    def retire(self, account: str, author: str, voters: list[str]) -> Done:
        """Let 8 models of the author be heard by the voters and the account's time run out, and retire it."""
        for _ in range(HEARD_TO_RETIRE):
            self.advance(author, voters, 0)
        self.wait(self.terms.unbonding)
        return self.do("retire", author, account)

    def settle(self, id: int) -> Done:
        """Settle a model as soon as it is due."""
        if self.ghost.phase(id, self.now) == Phase.VOTING:
            self.now = self.ghost.models[id].reveals_open_at
        if self.ghost.phase(id, self.now) == Phase.REVEALING:
            self.now = self.deadline(id)
        return self.do("settle", self.terms.sponsor, id)

    def deadline(self, id: int) -> int:
        """Unix seconds at which a model's reveals close."""
        return self.ghost.models[id].submitted_at + self.terms.commit_window + self.terms.reveal_window

    # --------------------------------------------------------------------------------------- agreement

    def check(self) -> None:
        """Contract and ghost agree on the whole state, and the ledger is exact."""
        self.tick()
        self.check_ledger()
        ghost = self.ghost
        heads = {
            "modelCount": ghost.model_count(),
            "champion": ghost.champion,
            "frontier": ghost.frontier,
            "pool": ghost.pool,
            "activeWeight": ghost.active_weight(),
            "nextToSettle": ghost.next_to_settle,
            "opensAt": ghost.opens_at(),
            "payableSteps": ghost.payable_steps(self.now),
        }
        assert self.views(*((name,) for name in heads)) == list(heads.values()), heads
        for account in self._people:
            self._check_account(account)
        for id in range(len(ghost.models)):
            self._check_model(id)

    def check_ledger(self) -> None:
        """Invariant 1: balance == stakes + pool + credits + locked fees + locked royalties, exactly, on both sides."""
        ledger = self.view("ledger")
        ours = self.ghost.ledger()
        assert tuple(vars(ledger).values()) == astuple(ours)
        assert self.node.balance(self.address) == ours.total + self.forced

    def _check_account(self, account: str) -> None:
        node = self.ghost.nodes.get(account, mechanism.Node(Role.NONE, 0, 0, 0))
        expected = (node.role, node.stake, node.joined_at, node.exit_at, node.open_commits, node.retired)
        credit, payee, seen = self.views(("credit", account), ("payee", account), ("node", account))
        assert payee == self.ghost.payee(account)
        assert credit == self.ghost.credits.get(account, 0)
        assert tuple(vars(seen).values()) == expected

    def _check_model(self, id: int) -> None:
        ghost, people = self.ghost.models[id], sorted(self._people)
        ballots = (("ballot", id, account) for account in people)
        seen, phase, histogram, *found = self.views(("model", id), ("phase", id), ("histogram", id), *ballots)
        assert vars(seen) == {
            "author": ghost.author,
            "bundle": ghost.bundle,
            "parent": ghost.parents[0],
            "baseline": ghost.baseline,
            "submittedAt": ghost.submitted_at,
            "revealsOpenAt": ghost.reveals_open_at,
            "eligibleWeight": ghost.eligible_weight,
            "committedWeight": ghost.committed_weight,
            "revealedWeight": ghost.revealed_weight,
            "gain": ghost.gain,
            "level": ghost.level,
            "advance": ghost.advance,
            "payout": ghost.payout,
            "phase": self.ghost.phase(id, self.now),
        }
        assert phase == seen.phase
        assert histogram == ghost.histogram
        for account, ballot in zip(people, found, strict=True):
            expected = self.ghost.ballot(id, account)
            assert tuple(vars(ballot).values()) == (expected.commitment, expected.weight, expected.state)

    def _done(self, function: str, receipt: dict, time: int) -> Done:
        logs = [log for log in receipt["logs"] if to_checksum_address(log["address"]) == self.address]
        number = int(receipt["blockNumber"], 16)
        gas = int(receipt["gasUsed"], 16)
        return Done(function, [self.interface.event(log) for log in logs], gas, time, number, receipt["transactionHash"])


def score_of(steps: int, memorized: int = 0) -> Score:
    """A score whose gain is `steps` (-64..63), in the middle of its bucket."""
    qn = 50 * 10**6
    return Score(qn, round(qn * 2 ** ((steps + 0.5) / 64)), memorized)


def with_terms(**changes: Any) -> Terms:
    """The tests' usual terms with some changed."""
    return replace(TERMS, **changes)


def _agree(ghost_call: Any, error: Reverted | None) -> Any:
    """Run the ghost: it must succeed if the contract did, or refuse with the same error and figures."""
    try:
        result = ghost_call()
    except MechanismError as refusal:
        assert error is not None, f"the ghost refused what the contract did: {refusal}"
        assert (error.name, error.figures) == (refusal.name, refusal.figures)
        return None
    assert error is None, f"the contract refused what the ghost did: {error}"
    return result


def _ghost_args(function: str, args: tuple) -> tuple:
    if function != "multicall":
        return args
    return ([(_snake(name), _ghost_args(name, inner)) for name, inner in args[0]],)


def _ghost_events(ghost: Mechanism, start: int) -> list[tuple[str, dict[str, Any]]]:
    return [(event.name, event.args) for event in ghost.events[start:]]


def _snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name)
