# SPDX-License-Identifier: Apache-2.0
"""Audit a federation, a picture or exported weights from public data: `ape run audit --network sepolia --contract 0x…`."""

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from pdfed.chain.networks import network_option
from pdfed.cli import FILE, FriendlyCommand, contract_option, json_option, store_option


class AuditCommand(FriendlyCommand):
    resume_hint = "Stopped. Run the same command again to start from the beginning: nothing was kept."


def _commitment(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise click.BadParameter("a commitment has 64 hexadecimal digits")
    return value


def _certificates(ctx: click.Context, param: click.Parameter, value: Path | None) -> str | None:
    if value is None:
        return None
    from pdfed.audit import pem_certificates

    try:
        return pem_certificates(value)
    except ValueError as fault:
        raise click.BadParameter(f"{value} holds no PEM certificates") from fault


@click.command(cls=AuditCommand)
@network_option
@click.argument("model", type=int, required=False)
@click.option("--all", "everything", is_flag=True, help="Audit every model (the default without MODEL).")
@contract_option(required=False)
@store_option()
@click.option(
    "--withdrawn",
    metavar="COMMITMENT",
    callback=_commitment,
    help="List the models that descend from the data set with this commitment (64 hexadecimal digits).",
)
@click.option(
    "--file",
    type=FILE,
    help="Read the Content Credentials of a PNG picture or of exported weights, offline. With --contract, look its model up.",
)
@click.option("--anchors", type=FILE, callback=_certificates, help="With --file: PEM certificates of trusted signers.")
@json_option()
def cli(
    network: str,
    model: int | None,
    everything: bool,
    contract: str | None,
    store: str,
    withdrawn: str | None,
    file: Path | None,
    anchors: str | None,
    as_json: bool,
) -> None:
    """Audit a federation from public data, without an account.

    Checks MODEL and its ancestors, or every model: event log, content, manifest, wallet proof, card, parents. Shows the authors'
    own scores beside the votes. Exits 0 only if everything could be checked and nothing failed.
    """
    if file is not None:
        if everything or model is not None or withdrawn is not None:
            raise click.UsageError("With --file, name no MODEL, no --all and no --withdrawn.")
        _show_credentials(file, anchors, network, contract, as_json)
        return
    if contract is None:
        raise click.UsageError("Name the task's --contract, or a --file.")
    if everything and model is not None:
        raise click.UsageError("Name a model, or --all.")
    from pdfed.chain.client import ContractClient
    from pdfed.chain.feed import read_snapshot
    from pdfed.chain.networks import connected

    with connected(network):
        ledger, client = read_snapshot(ContractClient.at(contract))
        if withdrawn is not None:
            sys.exit(_show_withdrawal(client, ledger, store, withdrawn, as_json))
        ids = list(ledger.models) if model is None else [model]
        sys.exit(_show_audit(client, ledger, store, ids, as_json))


def _show_audit(client: Any, ledger: Any, store: str, ids: list[int], as_json: bool) -> int:
    from pdfed.audit import audit, lineage
    from pdfed.report.author_scores import author_table
    from pdfed.report.facts import audit_facts
    from pdfed.report.terminal import audit_summary, audit_table
    from pdfed.storage import open_store

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("auditing", total=len(lineage(ledger, [*ids, 0])))
        report = audit(client, ledger, open_store(store), ids, lambda model: progress.advance(bar))
    if as_json:
        click.echo(json.dumps(audit_facts(report), indent=1))
    else:
        by_author = [model.by_author.facts() for model in report.models if model.by_author is not None]
        told = [author_table(by_author)] if by_author else []
        Console().print(audit_table(report.models), *told, audit_summary(report))
    return 0 if report.ok else 1


def _show_withdrawal(client: Any, ledger: Any, store: str, commitment: str, as_json: bool) -> int:
    from pdfed.audit import withdrawal
    from pdfed.public import Public
    from pdfed.report.facts import withdrawal_facts
    from pdfed.report.terminal import withdrawal_table
    from pdfed.storage import open_store

    with tempfile.TemporaryDirectory(prefix="pdfed-audit-") as scratch:
        public = Public(client, ledger, open_store(store), Path(scratch))
        with Progress(console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("reading manifests", total=len(ledger.models))
            result = withdrawal(public, commitment, lambda id: progress.advance(bar))
    if as_json:
        click.echo(json.dumps(withdrawal_facts(result, ledger), indent=1))
    else:
        Console().print(withdrawal_table(result, ledger))
    return 1 if result.unread else 0


def _show_credentials(file: Path, anchors: str | None, network: str, contract: str | None, as_json: bool) -> None:
    from pdfed.audit import check_receipt, model_on_chain, read_credentials
    from pdfed.chain.client import ContractClient
    from pdfed.chain.feed import read_ledger
    from pdfed.chain.networks import connected
    from pdfed.provenance import PictureCredentials
    from pdfed.report.facts import credentials_facts
    from pdfed.report.terminal import credentials_table

    credentials, id = read_credentials(file, anchors), None
    if contract is not None:
        with connected(network):
            client = ContractClient.at(contract)
            id = model_on_chain(credentials, read_ledger(client), client).id
            if isinstance(credentials, PictureCredentials) and credentials.receipt is not None:
                check_receipt(credentials.receipt, id, client)
    if as_json:
        click.echo(json.dumps(credentials_facts(credentials) | ({} if id is None else {"id": id}), indent=1))
    else:
        Console().print(credentials_table(credentials, id))
