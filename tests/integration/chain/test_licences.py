# SPDX-License-Identifier: Apache-2.0
"""Licences and payments for use on a real chain: who gets what, and what is refused. docs/revenue.md has these numbers."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from pdfed.chain.abi import from_hex
from pdfed.chain.chain_errors import NotPDFedUse
from pdfed.chain.client import ContractClient, vote_commitment
from pdfed.chain.outbox import Outbox
from pdfed.chain.rpc import BATCH, Rpc
from pdfed.chain.use_client import Receipt, UseClient
from pdfed.journal import Journal
from pdfed.licences import Purchase, buy, claim, forward, licence_digest, offer, sales, shares, tip, use_terms
from pdfed.mechanism import Score
from pdfed.rewards import PaymentFailed
from pdfed.spec import UseSpec
from tests.unit.chain.journey import ETHER, TERMS

from .conftest import Chain, register, send

PAGE = (Path(__file__).parents[3] / "docs" / "revenue.md").read_text(encoding="utf-8")


def advance(chain: Chain, contract: ContractClient, author: object, voters: list[object], bundle: bytes, steps: int) -> int:
    """Submit a model that all voters find so many steps better; settle it. Returns its id."""
    send(contract, author, "submit", bundle, (0,), value=TERMS.submission_fee)
    id, baseline = contract.model_count(), contract.champion()
    score = Score(1_000_000, round(1_000_000 * 2 ** ((steps + 0.5) / 64)), 0)
    for voter in voters:
        words = (contract.chain_id, contract.address, id, baseline, voter.address, score, bytes(32))
        send(contract, voter, "commitVote", id, bundle, baseline, vote_commitment(*words), bytes(32))
    chain.advance(TERMS.commit_window)
    for voter in voters:
        send(contract, voter, "revealVote", id, voter.address, astuple(score), bytes(32))
    chain.advance(TERMS.reveal_window)
    send(contract, author, "settle", id)
    assert contract.model(id).advance == steps
    return id


@pytest.fixture
def licence(tmp_path: Path) -> Path:
    text = tmp_path / "licence.txt"
    text.write_text("Prints of up to 100 copies, one work per unit.\n")
    return text


@pytest.fixture
def sold(chain: Chain, deploy: Callable[..., ContractClient]) -> tuple[UseClient, int, int]:
    """A task with two champions, of Ada (32 steps) and Ben (16 steps), and its PDFedUse contract."""
    contract = deploy(pace=0, min_gain=8, electorate=0)
    sponsor, ada, ben, cleo = chain.people[0], chain.people[1], chain.people[2], chain.people[3]
    for account in (ada, ben, cleo):
        register(contract, account, times=3)
    chain.advance(TERMS.enrolment + 1)
    first = advance(chain, contract, ada, [ben, cleo], b"a" * 32, 32)
    second = advance(chain, contract, ben, [ada, cleo], b"b" * 32, 16)
    return UseClient.deploy(contract, use_terms(UseSpec(), sponsor.address), sponsor), first, second


def test_a_licence_pays_the_pool_the_genesis_and_all_champions_before_it(
    chain: Chain, sold: tuple[UseClient, int, int], licence: Path, journal: Journal
) -> None:
    use, _, second = sold
    sponsor, ada, ben, buyer = chain.people[0], chain.people[1], chain.people[2], chain.people[4]
    digest = licence_digest(licence)
    offer(use, ben, journal, second, ETHER // 10, digest)
    number = buy(use, buyer, journal, Purchase(second, 10, ETHER // 10, digest, buyer.address), print)
    assert use.receipt(number) == Receipt(second, buyer.address, 10, ETHER // 10, digest)
    found = {account.address: shares(use, account.address)[0].amount for account in (sponsor, ada, ben)}
    told = [
        round(float(row) * 10**6) for row in re.findall(r"^\| (?:pool|genesis|Ada|Ben)\b.* ([0-9.]+) \|$", PAGE, re.MULTILINE)
    ]
    assert told == [100_000, *(amount // 10**12 for amount in found.values())]  # in millionths of an ether
    pool = use.fed.pool()
    for account in (sponsor, ada, ben):
        due = shares(use, account.address)
        assert claim(use, account, Journal(":memory:"), account.address, due, print) == found[account.address]
    assert forward(use, buyer, journal) == ETHER // 10 and use.fed.pool() == pool + ETHER // 10
    credits, owed, dust = use.use_ledger()
    assert (credits, owed) == (0, 0) and dust == use.balance(use.address) < 3


def test_what_somebody_else_has_just_claimed_stops_no_withdrawal(
    chain: Chain, sold: tuple[UseClient, int, int], journal: Journal
) -> None:
    """Regression: anyone may claim for an account, and then the command ended before it withdrew."""
    use, first, _ = sold
    ada, other = chain.people[1], chain.people[4]
    tip(use, other, journal, first, ETHER, bytes(32), print)
    due = shares(use, ada.address)
    send(use, other, "claim", first, (first,))
    assert claim(use, ada, Journal(":memory:"), ada.address, due, print) == sum(share.amount for share in due) > 0


def test_uses_of_an_older_champion_owe_nothing_to_a_later_one(
    chain: Chain, sold: tuple[UseClient, int, int], journal: Journal
) -> None:
    use, first, _ = sold
    tip(use, chain.people[4], journal, first, ETHER, bytes(32), print)
    assert [share.used for share in shares(use, chain.people[1].address)] == [first]
    assert shares(use, chain.people[2].address) == []


def test_a_purchase_that_was_stopped_is_made_once(
    chain: Chain, sold: tuple[UseClient, int, int], licence: Path, tmp_path: Path
) -> None:
    use, _, second = sold
    ben, buyer, digest, path, said = chain.people[2], chain.people[4], licence_digest(licence), tmp_path / "j.sqlite", list[str]()
    offer(use, ben, Journal(":memory:"), second, ETHER, digest)
    outbox = Outbox(use, buyer, Journal(path))
    arguments = (second, 1, digest, buyer.address)
    outbox.put(f"buy:{second}:1:{digest.hex()}:{buyer.address}", "buy", arguments, value=ETHER)
    outbox.step()  # mined, and stopped before that was told
    wish = Purchase(second, 1, ETHER, digest, buyer.address)
    assert buy(use, buyer, Journal(path), wish, said.append) == 1 == use.receipt_count()
    assert len(said) == 1
    assert buy(use, buyer, Journal(path), wish, said.append) == 2


def test_wrong_input_is_refused_by_name_and_nothing_is_sent(
    chain: Chain, sold: tuple[UseClient, int, int], licence: Path, tmp_path: Path, journal: Journal
) -> None:
    use, first, _ = sold
    ada, ben, buyer = chain.people[1], chain.people[2], chain.people[5]
    digest = licence_digest(licence)
    before = use.balance(buyer.address)

    def refused(error: str, act: Callable[[], object]) -> None:
        with pytest.raises(PaymentFailed, match=error) as fault:
            act()
        assert "ape run status` and try again" not in fault.value.remedy

    wish = Purchase(first, 1, ETHER, digest, buyer.address)
    refused("NotForSale", lambda: buy(use, buyer, journal, wish, print))
    offer(use, ada, journal, first, ETHER, digest)
    other = tmp_path / "other.txt"
    other.write_text("another text")
    refused("LicenceChanged", lambda: buy(use, buyer, journal, replace(wish, licence=licence_digest(other)), print))
    for price in (0, ETHER - 1, ETHER + 1):
        refused("WrongPrice", lambda price=price: buy(use, buyer, journal, replace(wish, price=price), print))
    refused("NotAuthor", lambda: offer(use, ben, journal, first, 1, digest))
    refused("ERC1155InvalidReceiver", lambda: buy(use, buyer, journal, replace(wish, to=use.fed.address), print))
    refused("UnknownModel", lambda: tip(use, buyer, journal, 99, ETHER, bytes(32), print))
    assert use.balance(buyer.address) == before and use.receipt_count() == 0
    assert claim(use, buyer, journal, buyer.address, shares(use, buyer.address), print) == 0
    assert forward(use, buyer, journal) == 0


def test_only_this_tasks_contract_is_taken_for_one(
    chain: Chain, sold: tuple[UseClient, int, int], contract: ContractClient
) -> None:
    use, _, _ = sold
    assert UseClient.at(use.fed, use.address).terms() == use.terms()
    for fed, address in (
        (contract, use.address),
        (use.fed, use.fed.address),
        (use.fed, chain.people[0].address),
        (use.fed, "0x12"),
    ):
        with pytest.raises(NotPDFedUse):
            UseClient.at(fed, address)


def licence_command(chain: Chain, use: UseClient, *words: str) -> str:
    """Run `ape run licence`; returns what it prints."""
    of = ("--network", f"ethereum:sepolia:{chain.url}", "--contract", use.fed.address, "--use", use.address)
    done = CliRunner().invoke(runpy.run_path("scripts/licence.py")["cli"], [*words, *of])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_show_tells_what_can_still_be_claimed_and_by_whom(
    chain: Chain, sold: tuple[UseClient, int, int], journal: Journal
) -> None:
    use, first, second = sold
    sponsor, ada, ben, buyer = chain.people[0], chain.people[1], chain.people[2], chain.people[4]
    other = advance(chain, use.fed, ada, [ben, chain.people[3]], b"c" * 32, 0)  # settled, and no champion
    for id in (first, second, other):
        tip(use, buyer, journal, id, ETHER, bytes(32), print)

    def shown() -> dict[int, dict[int, tuple[str, int]]]:
        models = json.loads(licence_command(chain, use, "show", "--json"))["models"]
        for model in models:
            left = int(model["paid"]) - int(model["claimed"])
            assert int(model["unclaimed"]) == left
            assert 0 <= left - sum(int(share["amount"]) for share in model["claimable"]) < 3  # less than a wei for each
        return {
            model["model"]: {share["champion"]: (share["author"], int(share["amount"])) for share in model["claimable"]}
            for model in models
        }

    paid = 9 * ETHER // 10
    of_first = {0: (sponsor.address, paid * 64 // 96), first: (ada.address, paid * 32 // 96)}
    by_second = {0: (sponsor.address, 64), first: (ada.address, 32), second: (ben.address, 16)}
    of_second = {id: (author, paid * steps // 112) for id, (author, steps) in by_second.items()}
    assert shown() == {first: of_first, second: of_second, other: {other: (ada.address, paid)}}
    claim(use, ada, journal, ada.address, shares(use, ada.address), print)
    assert shown() == {first: {0: of_first[0]}, second: {0: of_second[0], second: of_second[second]}, other: {}}
    said = licence_command(chain, use, "show")
    assert f"Model {second}: not for sale; paid 0.900000 ETH, claimed 0.257143 ETH, unclaimed 0.642857 ETH" in said
    assert f"  0.128571 ETH for {ben.address}, by model {second}" in said


def test_many_models_and_receipts_take_few_requests(
    chain: Chain, sold: tuple[UseClient, int, int], licence: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: each model and each receipt took requests of its own."""
    use, _, second = sold
    ben, digest = chain.people[2], licence_digest(licence)
    offer(use, ben, journal, second, 1, digest)
    buy(use, ben, journal, Purchase(second, 1, 1, digest, ben.address), print)
    asked = []
    request = Rpc._request
    monkeypatch.setattr(Rpc, "_request", lambda rpc, send: (asked.append(send), request(rpc, send))[1])
    assert use.receipts([1] * 10 * BATCH) == [use.receipt(1)] * 10 * BATCH
    assert len(asked) == 10 + 1
    asked.clear()
    assert [sale.id for sale in sales(use)] == [second]
    assert len(asked) <= 9  # of which five are batches


def test_a_payment_for_use_carries_a_memo(chain: Chain, sold: tuple[UseClient, int, int], tmp_path: Path) -> None:
    use, first, _ = sold
    words = ("use", "--model", str(first), "--amount", "1 gwei", "--account", "test:4", "--home", str(tmp_path), "--memo")
    text = "für 3 Bilder, 2026-12, Nr. 1234"  # 32 bytes
    licence_command(chain, use, *words, text)
    (log,) = use.rpc.call("eth_getLogs", {"address": use.address, "fromBlock": "0x0"})
    _, told = use.abi.decode_event([from_hex(topic) for topic in log["topics"]], from_hex(log["data"])) or ("", {})
    assert told["memo"] == text.encode()
    refused = CliRunner().invoke(runpy.run_path("scripts/licence.py")["cli"], [*words, text + "5", "--contract", "0x"])
    assert refused.exit_code == 2 and "33 bytes of UTF-8; 32 fit" in refused.output
