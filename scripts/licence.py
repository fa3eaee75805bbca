# SPDX-License-Identifier: Apache-2.0
"""Sell and buy the use of models: `ape run licence offer|buy|use|claim|show`."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from pdfed.chain.networks import network_option
from pdfed.cli import (
    AddressType,
    AmountType,
    FriendlyCommand,
    account_option,
    amount_option,
    contract_option,
    home_option,
    json_option,
)
from pdfed.spec.money import ETHER

MEMO_BYTES = 32

model_option = click.option("--model", "id", type=click.IntRange(0), required=True, help="Number of the model; 0: the genesis.")
use_option = click.option("--use", "use_address", type=AddressType(), required=True, help="Address of the PDFedUse contract.")
licence_option = click.option(
    "--licence", type=click.Path(path_type=Path), required=True, help="File of the licence's text. Its keccak digest is on chain."
)


class MemoType(click.ParamType):
    """Text as the 32 bytes of a memo, filled up with zeros."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        data = str(value).encode(errors="surrogateescape")
        if len(data) > MEMO_BYTES:
            self.fail(f"{len(data)} bytes of UTF-8; {MEMO_BYTES} fit.", param, ctx)
        return data.ljust(MEMO_BYTES, b"\0")


def sending(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of the commands that send a transaction."""
    for option in (json_option(), home_option(), account_option(), use_option, contract_option(), network_option):
        command = option(command)
    return command


@contextmanager
def opened(network: str, contract: str, use_address: str, account: str, home: Path) -> Iterator[tuple[Any, Any, Any]]:
    """The PDFedUse contract, the account, and a journal of these commands' own."""
    from pdfed.chain.accounts import load_account
    from pdfed.chain.client import ContractClient
    from pdfed.chain.networks import connected
    from pdfed.chain.use_client import UseClient
    from pdfed.rewards import own_journal

    with connected(network):
        use = UseClient.at(ContractClient.at(contract), use_address)
        wallet = load_account(account)
        with own_journal(home, use, str(wallet.address), "licences") as journal:
            yield use, wallet, journal


def say(line: str) -> None:
    click.echo(line, err=True)


def tell(facts: dict[str, Any], as_json: bool, *lines: str) -> None:
    for line in [json.dumps(facts)] if as_json else lines:
        click.echo(line)


@click.group()
def cli() -> None:
    """Sell and buy the use of a federation's models. docs/revenue.md tells who gets what."""


@cli.command(cls=FriendlyCommand)
@model_option
@click.option("--price", type=AmountType(zero=True), metavar="AMOUNT", required=True, help='Per unit, "0 ether": not for sale.')
@licence_option
@sending
def offer(
    id: int,
    price: int,
    licence: Path,
    network: str,
    contract: str,
    use_address: str,
    account: str,
    home: Path,
    as_json: bool,
) -> None:
    """Set price and licence of a model of yours, for purchases to come. Receipts keep the licence they were bought under."""
    from pdfed.licences import licence_digest
    from pdfed.licences import offer as set_offer

    digest = licence_digest(licence)
    with opened(network, contract, use_address, account, home) as (use, wallet, journal):
        set_offer(use, wallet, journal, id, price, digest)
    facts = {"model": id, "price": str(price), "licence": digest.hex()}
    tell(facts, as_json, f"Model {id}: {price / ETHER:g} ether per unit, licence {digest.hex()}")


@cli.command(cls=FriendlyCommand)
@model_option
@click.option(
    "--units", type=click.IntRange(1, 2**32 - 1), default=1, show_default=True, help="Number; the licence says of what."
)
@click.option("--price", type=AmountType(zero=True), metavar="AMOUNT", required=True, help="Per unit, as the offer says.")
@licence_option
@click.option("--to", "holder", type=AddressType(), help="Whom the licence is for. [default: --account]")
@sending
def buy(
    id: int,
    units: int,
    price: int,
    licence: Path,
    holder: str | None,
    network: str,
    contract: str,
    use_address: str,
    account: str,
    home: Path,
    as_json: bool,
) -> None:
    """Buy units of a model's licence, at the price and under the text that you name and no other.

    A stopped run finishes the purchase that it sent, and buys once. Prints the receipt's number, for `ape run generate
    --receipt`.
    """
    from pdfed.licences import Purchase, licence_digest
    from pdfed.licences import buy as buy_units

    digest = licence_digest(licence)
    with opened(network, contract, use_address, account, home) as (use, wallet, journal):
        to = holder or str(wallet.address)
        number = buy_units(use, wallet, journal, Purchase(id, units, price, digest, to), say)
        receipt = use.receipt(number)
    paid = receipt.price * receipt.units
    facts = {"receipt": number, "model": id, "to": to, "units": units, "paid": str(paid), "licence": digest.hex()}
    tell(facts, as_json, f"Receipt {number}: {units} units of model {id} for {to}, {paid / ETHER:g} ether")


@cli.command(cls=FriendlyCommand)
@model_option
@amount_option()
@click.option("--memo", type=MemoType(), help="Public note to the payment, at most 32 bytes of UTF-8.")
@sending
def use(
    id: int,
    amount: int,
    memo: bytes | None,
    network: str,
    contract: str,
    use_address: str,
    account: str,
    home: Path,
    as_json: bool,
) -> None:
    """Pay for the use of a model without a licence: a tip, or per generation."""
    from pdfed.licences import tip

    with opened(network, contract, use_address, account, home) as (contract_, wallet, journal):
        tip(contract_, wallet, journal, id, amount, memo or bytes(MEMO_BYTES), say)
    tell({"model": id, "paid": str(amount)}, as_json, f"Paid {amount / ETHER:g} ether for the use of model {id}.")


@cli.command(cls=FriendlyCommand)
@click.option("--of", "owner", type=AddressType(), help="Author whose shares these are, if --account is its payee.")
@sending
def claim(owner: str | None, network: str, contract: str, use_address: str, account: str, home: Path, as_json: bool) -> None:
    """Claim your models' shares of what was paid for uses, withdraw them, and pass the pool's part on."""
    from pdfed.licences import claim as claim_shares
    from pdfed.licences import forward, shares

    with opened(network, contract, use_address, account, home) as (use, wallet, journal):
        whose = owner or str(wallet.address)
        due = shares(use, whose)
        withdrawn = claim_shares(use, wallet, journal, whose, due, say)
        forwarded = forward(use, wallet, journal)
    found = [{"champion": share.champion, "used": share.used, "amount": str(share.amount)} for share in due]
    facts = {"account": whose, "claimed": found, "withdrawn": str(withdrawn), "forwarded": str(forwarded)}
    lines = [f"Model {share.champion}, use of model {share.used}: {share.amount / ETHER:.6f} ETH" for share in due]
    tell(facts, as_json, *lines, f"Withdrawn: {withdrawn / ETHER:.6f} ETH; to the pool: {forwarded / ETHER:.6f} ETH")


@cli.command(cls=FriendlyCommand)
@network_option
@contract_option()
@use_option
@json_option()
def show(network: str, contract: str, use_address: str, as_json: bool) -> None:
    """Show what is for sale, the receipts, what was paid for each model, and who can claim how much of it. Needs no account."""
    from pdfed.chain.client import ContractClient
    from pdfed.chain.networks import connected
    from pdfed.chain.use_client import UseClient
    from pdfed.licences import sales

    with connected(network):
        use = UseClient.at(ContractClient.at(contract), use_address)
        terms, listed, numbers = use.terms(), sales(use), range(1, use.receipt_count() + 1)
        receipts = use.receipts(numbers)
    models, bought, lines = [], [], []
    for sale in listed:
        offered, income = sale.offer, sale.income
        unclaimed = income.paid - income.claimed
        due = [{"champion": share.champion, "author": share.author, "amount": str(share.amount)} for share in sale.shares]
        figures = {"paid": str(income.paid), "claimed": str(income.claimed), "unclaimed": str(unclaimed)}
        licence = offered.licence.hex()
        models.append({"model": sale.id, "price": str(offered.price), "licence": licence, **figures, "claimable": due})
        price = f"{offered.price / ETHER:g} ether per unit, licence {licence}" if offered.price else "not for sale"
        paid = f"paid {income.paid / ETHER:.6f} ETH, claimed {income.claimed / ETHER:.6f} ETH"
        lines.append(f"Model {sale.id}: {price}; {paid}, unclaimed {unclaimed / ETHER:.6f} ETH")
        for share in sale.shares:
            lines.append(f"  {share.amount / ETHER:.6f} ETH for {share.author}, by model {share.champion}")
    for number, receipt in zip(numbers, receipts, strict=True):
        words = {"price": str(receipt.price), "licence": receipt.licence.hex()}
        bought.append({"receipt": number, **asdict(receipt), **words})
        lines.append(f"Receipt {number}: {receipt.units} units of model {receipt.id} for {receipt.to}")
    facts = {**asdict(terms), "models": models, "receipts": bought}
    terms_line = f"{terms.pool_share / 100:g} % to the pool; the genesis counts as {terms.genesis_steps} steps"
    tell(facts, as_json, f"{terms_line}, of {terms.genesis_payee}", *(lines or ["Nothing was offered or paid yet."]))
