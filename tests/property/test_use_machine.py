# SPDX-License-Identifier: Apache-2.0
"""Any sequence of calls on the second contract, PDFedUse, beside a real task: U1 to U10 hold, and everything drains at the end.

Every call runs on the contract and on its ghost (`tests/contract/use_ghost.py`), which must give the same events, errors and
money. `PDFED_MACHINE_SEED=…` plays the same games again.
"""

from __future__ import annotations

import os
import random
from typing import Any, ClassVar

import pytest
from eth_utils import to_checksum_address
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from pdfed.mechanism import Phase
from tests.contract.chain import Interface, Node, Reverted
from tests.contract.federation import ETHER, Federation, score_of, with_terms
from tests.contract.recipient import ACCEPT, REFUSE, Recipient
from tests.contract.use_ghost import Events
from tests.contract.using import LICENCE, OTHER_LICENCE, Use

SEED = "PDFED_MACHINE_SEED"
QUICK = (10, 40)  # games, steps
MEMBERS, MALLORY, STRANGER = range(4), 4, 5
ACTORS = st.integers(0, STRANGER)  # Mallory is a contract that refuses money and receipts at times; the stranger is no member
MODELS = st.integers(0, 30)  # see `UseGame.id`
VALUES = st.one_of(st.integers(0, 100), st.integers(0, 5 * ETHER))


class UseGame(RuleBasedStateMachine):
    """Six accounts that buy, claim and withdraw while the task goes on."""

    node: ClassVar[Node]
    compiled: ClassVar[dict[str, Any]]
    people: ClassVar[list[str]]
    start: ClassVar[str]
    done: ClassVar[set[str]]

    @initialize(
        share=st.sampled_from([0, 1, 1000, 3333, 10_000]),
        genesis=st.sampled_from([0, 1, 10, 65_535]),
        steps=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    )
    def deploy(self, share: int, genesis: int, steps: list[int]) -> None:
        self.node.revert(UseGame.start)
        UseGame.start = self.node.rpc("evm_snapshot")
        self.mallory = Recipient(self.node, self.compiled["Collector"], self.people[18])
        self.node.rpc("anvil_setBalance", self.mallory.address, hex(10**6 * ETHER))
        self.actors = [*self.people[:MALLORY], self.mallory.address, self.people[MALLORY]]
        task = Interface(self.compiled["PDFed"])
        self.fed = Federation(self.node, task, with_terms(min_gain=2), self.actors[0], pool=ETHER)
        for member in MEMBERS:
            self.fed.join(self.actors[member])
        self.fed.join(self.mallory.address)
        payee = self.people[7]
        interface = Interface(self.compiled["PDFedUse"])
        self.use = Use(self.fed, interface, self.actors[0], pool_share=share, genesis_steps=genesis, genesis_payee=payee)
        self.accounts = [*self.actors, payee]
        self.receipts: list[Any] = []
        for index, each in enumerate(steps):
            self.advance(index, each)

    # ------------------------------------------------------------------------------------------ acting

    def do(self, function: str, caller: str, *args: Any, value: int = 0) -> bool:
        """Make a call; True if it took effect."""
        try:
            events = self.use.do(function, caller, *args, value=value).events
        except Reverted as refusal:
            UseGame.done.add(refusal.name)
            return False
        UseGame.done.add(function)
        self.invariant_U3_who_is_paid(events)
        return True

    def id(self, number: int) -> int:
        """A known model most of the time (0: the newest), else one past the last."""
        count = self.fed.ghost.model_count()
        return count + 1 if number == 30 else count - number % (count + 1)

    @rule(author=st.integers(0, MALLORY), steps=st.integers(0, 40))
    def advance(self, author: int, steps: int) -> None:
        """Settle what is open, then play a model to its end."""
        self.settle()
        voters = [self.actors[member] for member in MEMBERS if member != author]
        self.fed.advance(self.actors[author], voters, steps)

    @rule(author=st.integers(0, MALLORY))
    def submit(self, author: int) -> None:
        self.fed.submit(self.actors[author])

    @rule()
    def settle(self) -> None:
        while self.fed.ghost.next_to_settle <= self.fed.ghost.model_count():
            id = self.fed.ghost.next_to_settle
            model = self.fed.ghost.models[id]
            if self.fed.now + len(MEMBERS) < model.reveals_open_at and id % 2:  # a commit takes a second
                self.fed.vote(id, {self.actors[m]: score_of(9) for m in MEMBERS if self.actors[m] != model.author})
            self.fed.settle(id)

    @rule(
        actor=ACTORS, number=MODELS, own=st.booleans(), price=VALUES, licence=st.sampled_from([LICENCE, OTHER_LICENCE, bytes(32)])
    )
    def offer(self, actor: int, number: int, own: bool, price: int, licence: bytes) -> None:
        id = self.id(number)
        author = self.author(id) if own else None
        self.do("offer", author or self.actors[actor], id, price, licence)

    def author(self, id: int) -> str | None:
        if id > self.fed.ghost.model_count():
            return None
        return self.fed.ghost.models[id].author if id else self.use.ghost.genesis_payee

    @rule(
        actor=ACTORS,
        to=ACTORS,
        number=MODELS,
        units=st.integers(0, 4),
        slip=st.sampled_from([0, 0, 0, 0, 1]),
        right=st.booleans(),
    )
    def buy(self, actor: int, to: int, number: int, units: int, slip: int, right: bool) -> None:
        """At the price in force most of the time; where there is no offer, the author makes one."""
        id = self.id(number)
        if not self.use.ghost.offer_of(id)[0] and self.author(id):
            self.do("offer", self.author(id), id, 1000 + number, LICENCE)
        price, licence = self.use.ghost.offer_of(id)
        given = licence if right or slip == 0 else OTHER_LICENCE
        self.do("buy", self.actors[actor], id, units, given, self.actors[to], value=price * units + slip)

    @rule(actor=ACTORS, number=MODELS, value=VALUES)
    def tip(self, actor: int, number: int, value: int) -> None:
        self.do("use", self.actors[actor], self.id(number), bytes(32), value=value)

    @rule(actor=ACTORS, champion=MODELS, used=st.lists(MODELS, max_size=4))
    def claim(self, actor: int, champion: int, used: list[int]) -> None:
        self.do("claim", self.actors[actor], self.id(champion), [self.id(number) for number in used])

    @rule(actor=ACTORS)
    def claim_all(self, actor: int) -> None:
        """Whatever is due, in some order."""
        self.claim_everything(self.actors[actor], list(range(actor, 60)))

    @rule(actor=ACTORS)
    def forward(self, actor: int) -> None:
        self.do("forward", self.actors[actor])

    @rule(caller=ACTORS, account=st.integers(0, STRANGER + 1), to=ACTORS, own=st.booleans())
    def withdraw(self, caller: int, account: int, to: int, own: bool) -> None:
        whose = self.accounts[account]
        by = self.fed.ghost.payee(whose) if own else self.actors[caller]
        self.do("withdraw", by, whose, self.actors[to])

    @rule(account=ACTORS, payee=ACTORS)
    def set_payee(self, account: int, payee: int) -> None:
        whose = self.actors[account]
        self.fed.do("setPayee", self.fed.ghost.payee(whose), whose, self.actors[payee])

    @rule(manner=st.sampled_from([ACCEPT, REFUSE]))
    def misbehave(self, manner: int) -> None:
        assert self.mallory.do("behave", manner, b"", 0) is None
        self.fed.now = max(self.fed.now, self.node.time() + 1)
        self.use.refusing = {self.mallory.address} if manner == REFUSE else set()

    def claim_everything(self, caller: str, order: list[int]) -> None:
        """Claim all that is due, pair by pair, in an order of champions and models that `order` stirs."""
        count = self.fed.ghost.model_count() + 1
        pairs = [(champion, used) for champion in range(count) for used in range(count)]
        for champion, used in sorted(pairs, key=lambda pair: order[(3 * pair[0] + 7 * pair[1]) % len(order)] % 11):
            settled = self.fed.ghost.models[used].outcome in (Phase.SCORED, Phase.UNSCORED)
            if settled and champion in self.use.ghost.sharers(used) and self.use.ghost.claimable(champion, used):
                assert self.do("claim", caller, champion, [used])

    # ------------------------------------------------------------------------------------------ invariants

    @invariant()
    def everything_holds(self) -> None:
        if not hasattr(self, "use"):
            return
        self.invariant_U1_the_balance_is_the_sum()
        self.invariant_U2_no_more_is_claimed_than_was_paid()
        self.invariant_U6_tokens_are_units_bought()
        self.invariant_U8_receipts_never_change()

    def invariant_U1_the_balance_is_the_sum(self) -> None:
        ledger, count = self.use.view("useLedger"), self.fed.ghost.model_count() + 1
        incomes = [self.use.view("incomeOf", id) for id in range(count)]
        assert ledger.locked == sum(income.paid - income.claimed for income in incomes)
        assert ledger.credits == sum(self.use.view("credit", account) for account in self.accounts)
        assert self.node.balance(self.use.address) == ledger.credits + ledger.owedToPool + ledger.locked
        self.use.check_ledger()

    def invariant_U2_no_more_is_claimed_than_was_paid(self) -> None:
        for id in range(self.fed.ghost.model_count() + 1):
            income = self.use.view("incomeOf", id)
            assert (income.paid, income.claimed) == (self.use.ghost.paid(id), self.use.ghost.claimed(id))
            assert income.claimed <= income.paid

    def invariant_U3_who_is_paid(self, events: Events) -> None:
        """From the task's own views: both are champions, and the used one is no lower; or it is the model itself."""
        for name, args in events:
            if name == "Claimed" and args["champion"] != args["used"]:
                champion, used = (self.fed.view("model", args[which]) for which in ("champion", "used"))
                assert champion.level <= used.level
                assert used.advance > 0
                assert champion.advance > 0 or args["champion"] == 0

    def invariant_U6_tokens_are_units_bought(self) -> None:
        for id in range(self.fed.ghost.model_count() + 1):
            accounts = self.actors
            batch = self.use.view("balanceOfBatch", accounts, [id] * len(accounts))
            assert batch == [self.use.ghost.units(account, id) for account in accounts]

    def invariant_U8_receipts_never_change(self) -> None:
        count = self.use.view("receiptCount")
        seen = [self.use.view("receiptOf", number + 1) for number in range(count)]
        assert seen[: len(self.receipts)] == self.receipts
        assert [tuple(vars(each).values()) for each in seen] == self.use.ghost.receipts
        self.receipts = seen

    def teardown(self) -> None:
        """All models settle, all is claimed in some order and withdrawn: dust alone stays."""
        if not hasattr(self, "use"):
            return
        self.settle()
        self.misbehave(ACCEPT)
        self.claim_everything(self.actors[STRANGER], list(range(self.node.time() % 13, 40)))
        self.invariant_U9_the_order_of_claims_does_not_matter()
        self.do("forward", self.actors[STRANGER])
        self.invariant_U10_who_refuses_blocks_nobody_else()
        ledger = self.use.view("useLedger")
        assert (ledger.credits, ledger.owedToPool) == (0, 0)
        self.everything_holds()
        self.use.check()
        self.invariant_U7_the_task_knows_of_forward_alone()

    def invariant_U9_the_order_of_claims_does_not_matter(self) -> None:
        """Each has its part of the whole, rounded down once; U2: less than a wei each is left."""
        ghost = self.use.ghost
        for used in {id for id, _ in ghost.payments}:
            parts = ghost.sharers(used)
            for champion, part in parts.items():
                assert self.use.view("claimedBy", champion, used) == int(ghost.paid(used) * part)
            assert 0 <= ghost.paid(used) - ghost.claimed(used) < len(parts)

    def invariant_U7_the_task_knows_of_forward_alone(self) -> None:
        """Its whole state is its ghost's, which heard of `fund` alone (`Use._follow`)."""
        self.fed.check()

    def invariant_U10_who_refuses_blocks_nobody_else(self) -> None:
        self.misbehave(REFUSE)
        refuser = self.mallory.address
        for account in self.accounts:
            payee = self.fed.ghost.payee(account)
            if self.use.ghost.credit(account):
                assert not self.do("withdraw", payee, account, refuser)
                assert self.do("withdraw", payee, account, self.actors[STRANGER])


@pytest.fixture
def first(node: Node, compiled: dict[str, Any], people: list[str]) -> int:
    """Seed of the first game, on a chain that the game is connected to."""
    UseGame.node, UseGame.compiled, UseGame.people, UseGame.start = node, compiled, people, node.rpc("evm_snapshot")
    UseGame.done = set()
    return int(os.environ.get(SEED) or random.randrange(2**32))


def test_any_game_of_use(first: int) -> None:
    games, steps = QUICK
    print(f"\n{games} games of {steps} steps; play them again with {SEED}={first}")
    profile = settings(
        max_examples=games,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    run_state_machine_as_test(seed(first)(UseGame), settings=profile)
    assert UseGame.done >= {"offer", "buy", "use", "claim", "forward", "withdraw"}


FEW = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))


def _shares(
    federate: Any, compiled: dict[str, Any], people: list[str], rounds: list[tuple[int, int, list[int]]], value: int
) -> list[int]:
    """Credits of genesis and people once `value` wei for the last of these models (author, steps, parents) are claimed."""
    fed = federate()
    fed.join(*people[:4])
    ids = [fed.advance(people[a], [p for p in people[:4] if p != people[a]], steps, *parents) for a, steps, parents in rounds]
    payee = to_checksum_address("0x" + "77" * 20)
    use = Use(fed, Interface(compiled["PDFedUse"]), people[0], genesis_steps=5, genesis_payee=payee)
    use.do("use", people[9], ids[-1], bytes(32), value=value)
    for champion in (0, *ids):
        if use.ghost.claimable(champion, ids[-1]):
            use.do("claim", people[9], champion, [ids[-1]])
    use.check()
    return [use.view("credit", account) for account in (payee, *people[:4])]


@FEW
@given(parts=st.tuples(st.integers(2, 30), st.integers(2, 30)), last=st.integers(2, 60), value=st.integers(1, ETHER))
def test_invariant_U4_splitting_an_advance_earns_no_more(
    federate: Any, compiled: dict[str, Any], people: list[str], parts: tuple[int, int], last: int, value: int
) -> None:
    """Two champions of a and b steps, or one of a + b, by one author: within a wei each."""
    split = _shares(federate, compiled, people, [(0, parts[0], [0]), (0, parts[1], [0]), (1, last, [0])], value)
    whole = _shares(federate, compiled, people, [(0, sum(parts), [0]), (1, last, [0])], value)
    assert all(abs(one - other) <= 1 for one, other in zip(split, whole, strict=True))


@FEW
@given(steps=st.lists(st.integers(2, 20), min_size=3, max_size=3), choice=st.integers(0, 3), value=st.integers(1, ETHER))
def test_invariant_U5_parents_move_nothing(
    federate: Any, compiled: dict[str, Any], people: list[str], steps: list[int], choice: int, value: int
) -> None:
    parents = [[0], [1], [1, 0], [2]][choice]
    plain = _shares(federate, compiled, people, [(author, each, [0]) for author, each in enumerate(steps)], value)
    other = [(0, steps[0], [0]), (1, steps[1], [1]), (2, steps[2], parents)]
    assert _shares(federate, compiled, people, other, value) == plain
