# SPDX-License-Identifier: Apache-2.0
"""Money in and out of a contract: the payee withdraws, and a stopped payment into the pool is made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pdfed.chain.chain_errors import Unfunded
from pdfed.chain.client import ContractClient
from pdfed.chain.feed import read_ledger
from pdfed.chain.outbox import Outbox
from pdfed.deployment import EnrolmentOpen, active_stake, check_enrolment_over
from pdfed.journal import Journal
from pdfed.leaving import NoNode, NotYours, leave
from pdfed.rewards import EarlierPayment, PaymentFailed, collect, name_payee, pay
from pdfed.rewards import send as pay_nothing
from tests.unit.chain.journey import ETHER, TERMS

from .conftest import Chain, register, send


def test_only_the_payee_withdraws_the_credit_of_a_node(chain: Chain, contract: ContractClient, journal: Journal) -> None:
    node, cold = chain.people[1], chain.people[2]
    register(contract, node, times=3)
    name_payee(contract, node, journal, node.address, cold.address)
    assert contract.payee(node.address) == read_ledger(contract).payee(node.address) == cold.address
    send(contract, cold, "requestExit", node.address)  # a lost voting key costs no stake
    chain.advance(TERMS.unbonding)
    send(contract, cold, "claimStake", node.address)
    said: list[str] = []
    assert collect(contract, node, journal, read_ledger(contract), said.append) == 0
    assert said == [f"{3 * TERMS.min_stake} wei of {node.address} stay in the contract: only {cold.address} may withdraw them"]
    assert collect(contract, cold, journal, read_ledger(contract), said.append, node.address) == 3 * TERMS.min_stake
    assert contract.credit(node.address) == 0
    name_payee(contract, cold, journal, node.address, node.address)
    assert contract.payee(node.address) == node.address and read_ledger(contract).payees == {}
    assert read_ledger(contract).balance_sheet() == contract.ledger()


def test_a_stopped_payment_into_the_pool_is_finished_and_made_once(
    chain: Chain, contract: ContractClient, tmp_path: Path
) -> None:
    sponsor, path, said = chain.people[0], tmp_path / "fund.sqlite", list[str]()
    before = contract.pool()
    for _ in range(2):  # meant to be two
        pay(contract, sponsor, Journal(path), "fund", ETHER, said.append)
    assert contract.pool() == before + 2 * ETHER and not said
    outbox = Outbox(contract, sponsor, Journal(path))
    outbox.forget("fund")
    outbox.put("fund", "fund", (), value=ETHER)
    outbox.step()  # stopped after it was mined, before its outcome was told
    pay(contract, sponsor, Journal(path), "fund", ETHER, said.append)
    assert contract.pool() == before + 3 * ETHER and len(said) == 1


def test_a_payment_of_another_amount_is_never_made_for_the_one_asked(
    chain: Chain, contract: ContractClient, tmp_path: Path
) -> None:
    """Regression: 5 ether that could not be paid were paid by a later `fund 1 ether`, without a word."""
    sponsor, path, said = chain.people[0], tmp_path / "fund.sqlite", list[str]()
    before = contract.pool()
    with pytest.raises(Unfunded):
        pay(contract, sponsor, Journal(path), "fund", contract.balance(sponsor.address) + ETHER, said.append)
    pay(contract, sponsor, Journal(path), "fund", ETHER, said.append)  # nothing had left this machine
    assert contract.pool() == before + ETHER and not said
    outbox = Outbox(contract, sponsor, Journal(path))
    outbox.forget("fund")
    outbox.put("fund", "fund", (), value=3 * ETHER)
    outbox.step()  # mined, and not told
    with pytest.raises(EarlierPayment, match="had sent 3 ether"):
        pay(contract, sponsor, Journal(path), "fund", ETHER, said.append)
    assert contract.pool() == before + 4 * ETHER
    pay(contract, sponsor, Journal(path), "fund", ETHER, said.append)
    assert contract.pool() == before + 5 * ETHER and not said


def test_a_top_up_adds_to_the_stake_and_only_of_a_node(chain: Chain, contract: ContractClient, tmp_path: Path) -> None:
    node, other = chain.people[1], chain.people[2]
    register(contract, node, times=2)
    pay(contract, node, Journal(tmp_path / "a.sqlite"), "topUp", ETHER, print)
    assert contract.node(node.address).stake == 2 * TERMS.min_stake + ETHER
    before = contract.balance(other.address)
    with pytest.raises(PaymentFailed, match="NotRegistered") as fault:
        pay(contract, other, Journal(tmp_path / "b.sqlite"), "topUp", ETHER, print)
    assert "--account" in fault.value.remedy
    assert contract.balance(other.address) == before  # nothing was sent


def test_a_node_leaves_step_by_step_and_ends_with_all_its_money(chain: Chain, contract: ContractClient, tmp_path: Path) -> None:
    node, path, said = chain.people[1], tmp_path / "leave.sqlite", list[str]()
    register(contract, node, times=3)
    first = leave(contract, node, Journal(path), node.address, False, said.append)
    assert (first.state, first.withdrawn) == ("exiting", 0)
    assert first.claim_at == contract.node(node.address).exit_at
    assert said[0].startswith("Exit requested. It is final") and "The stake can be claimed from" in said[1]
    again = leave(contract, node, Journal(path), node.address, False, said.append)
    assert again == first  # no second request
    chain.advance(TERMS.unbonding)
    before = contract.balance(node.address)
    last = leave(contract, node, Journal(path), node.address, True, said.append)
    assert (last.state, last.claim_at, last.withdrawn) == ("left", 0, 3 * TERMS.min_stake)
    assert before < contract.balance(node.address) <= before + 3 * TERMS.min_stake
    with pytest.raises(NoNode):
        leave(contract, node, Journal(path), node.address, True, said.append)


def test_an_exit_forfeits_what_can_no_longer_be_revealed(chain: Chain, contract: ContractClient, tmp_path: Path) -> None:
    """An unrevealed commit would hold the stake for ever."""
    author, voter = chain.people[1], chain.people[2]
    for account in (author, voter):
        register(contract, account, times=3)
    chain.advance(TERMS.enrolment + 1)
    send(contract, author, "submit", b"b" * 32, (0,), value=TERMS.submission_fee)
    send(contract, voter, "commitVote", 1, b"b" * 32, 0, b"c" * 32, bytes(32))
    journal, said = Journal(tmp_path / "leave.sqlite"), list[str]()
    leave(contract, voter, journal, voter.address, False, said.append)
    chain.advance(TERMS.commit_window + TERMS.reveal_window + TERMS.unbonding)
    done = leave(contract, voter, journal, voter.address, True, said.append)
    assert (done.state, done.withdrawn) == ("left", 3 * TERMS.min_stake - TERMS.commit_bond)


def test_a_stranger_ends_nobodys_node_and_a_payee_does(chain: Chain, contract: ContractClient, tmp_path: Path) -> None:
    node, cold, stranger = chain.people[1], chain.people[2], chain.people[3]
    register(contract, node, times=1)
    journal = Journal(tmp_path / "leave.sqlite")
    with pytest.raises(NotYours, match=node.address):
        leave(contract, stranger, journal, node.address, True, print)
    with pytest.raises(NoNode):
        leave(contract, stranger, journal, stranger.address, True, print)
    name_payee(contract, node, journal, node.address, cold.address)
    assert leave(contract, cold, journal, node.address, False, print).state == "exiting"
    chain.advance(TERMS.unbonding)
    assert leave(contract, cold, journal, node.address, True, print).withdrawn == TERMS.min_stake


def test_a_pool_returns_to_the_sponsor_after_the_sunset_only(
    chain: Chain, deploy: Callable[..., ContractClient], journal: Journal
) -> None:
    sunset = TERMS.commit_window + TERMS.reveal_window + 1_000
    contract, anyone = deploy(sunset=sunset, sponsor=chain.people[0].address), chain.people[3]
    with pytest.raises(PaymentFailed, match="SunsetNotReached") as fault:
        pay_nothing(contract, anyone, journal, "reclaim")
    assert "at that time" in fault.value.remedy
    chain.advance(sunset)
    pool = contract.pool()
    pay_nothing(contract, anyone, journal, "reclaim")
    assert (contract.pool(), contract.credit(chain.people[0].address)) == (0, pool)


def test_the_pool_is_not_paid_while_members_still_join(chain: Chain, deploy: Callable[..., ContractClient]) -> None:
    contract = deploy(enrolment=1_000)
    register(contract, chain.people[3], times=2)
    assert active_stake(contract) == 2 * TERMS.min_stake
    with pytest.raises(EnrolmentOpen, match=r"0\.2 ether") as fault:
        check_enrolment_over(contract)
    assert "--now" in fault.value.remedy
    chain.advance(1_000)
    check_enrolment_over(contract)
