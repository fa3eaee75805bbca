# SPDX-License-Identifier: Apache-2.0
"""Check a federation, a picture or exported weights from public data: `ape run audit --network sepolia --contract 0x…`."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from pdfed.chain.networks import network_option
from pdfed.cli import FriendlyCommand

PNG = b"\x89PNG\r\n\x1a\n"


class AuditCommand(FriendlyCommand):
    resume_hint = "Stopped. Nothing was kept; the same command starts again."


@click.command(cls=AuditCommand)
@network_option
@click.argument("model", type=int, required=False)
@click.option("--all", "everything", is_flag=True, help="Every model (the default without MODEL).")
@click.option("--contract", default=None, help="Address of the task's contract. With --file: look its model up there.")
@click.option("--store", default="local:.pdfed/store", show_default=True, help="Where bundles are read.")
@click.option("--withdrawn", metavar="COMMITMENT", default=None, help="List what descends from the data set of this commitment.")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="Read the credentials of a picture (PNG) or of exported weights: without chain and store, unless --contract is named.",
)
@click.option("--anchors", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=None,
              help="With --file: PEM certificates whose holders count as trusted.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print facts for programs.")
def cli(
    network: str,
    model: int | None,
    everything: bool,
    contract: str | None,
    store: str,
    withdrawn: str | None,
    file: Path | None,
    anchors: Path | None,
    as_json: bool,
) -> None:
    """Check MODEL and its lineage, or every model: event log, content, manifest, wallet, card, parents.

    Needs no account. Exits 0 only if everything could be checked and nothing failed.
    """
    if file is not None:
        if everything or model is not None or withdrawn is not None:
            raise click.UsageError("With --file, name no model, no --all and no --withdrawn.")
        found = _credentials(file, anchors)
        _show(found, None if contract is None else _looked_up(found, network, contract), as_json)
        return
    if contract is None:
        raise click.UsageError("Name the task's --contract, or a --file.")
    if everything and model is not None:
        raise click.UsageError("Name a model, or --all.")
    if withdrawn is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", withdrawn):
        raise click.BadParameter("a commitment has 64 hexadecimal digits", param_hint="--withdrawn")
    from pdfed.chain.client import ContractClient
    from pdfed.chain.feed import read_snapshot
    from pdfed.chain.networks import connected

    with connected(network):
        ledger, client = read_snapshot(ContractClient.at(contract))
        if withdrawn is not None:
            sys.exit(_withdrawn(client, ledger, store, withdrawn, as_json))
        sys.exit(_audited(client, ledger, store, model, as_json))


def _audited(client: Any, ledger: Any, store: str, model: int | None, as_json: bool) -> int:
    from pdfed.audit import audit, lineage
    from pdfed.public import NoSuchModel
    from pdfed.report.terminal import audit_facts, audit_summary, audit_table
    from pdfed.storage import open_store

    if model is not None and model not in ledger.models:
        raise NoSuchModel(f"There is no model {model}.", f"Models 0 to {len(ledger.models) - 1} exist.")
    ids = [model] if model is not None else list(ledger.models)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("auditing", total=len(lineage(ledger, [*ids, 0])))
        report = audit(client, ledger, open_store(store), ids, lambda found: progress.advance(bar))
    if as_json:
        click.echo(json.dumps(audit_facts(report), indent=1))
    else:
        console = Console()
        console.print(audit_table(report.models), audit_summary(report))
    return 0 if report.ok else 1


def _withdrawn(client: Any, ledger: Any, store: str, commitment: str, as_json: bool) -> int:
    import tempfile

    from pdfed.audit import withdrawal
    from pdfed.public import Public
    from pdfed.report.terminal import withdrawal_facts, withdrawal_table
    from pdfed.storage import open_store

    with tempfile.TemporaryDirectory(prefix="pdfed-audit-") as scratch:
        public = Public(client, ledger, open_store(store), Path(scratch))
        with Progress(console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("reading manifests", total=len(ledger.models))
            found = withdrawal(public, commitment, lambda id: progress.advance(bar))
    if as_json:
        click.echo(json.dumps(withdrawal_facts(found, ledger), indent=1))
    else:
        Console().print(withdrawal_table(found, ledger))
    return 1 if found.unread else 0


def _credentials(file: Path, anchors: Path | None) -> Any:
    from pdfed.provenance import verify_embedded, verify_picture
    from pdfed.provenance.picture_credentials import MAX_PICTURE_BYTES

    trusted = _certificates(anchors) if anchors is not None else None
    with file.open("rb") as opened:
        if opened.read(len(PNG)) == PNG:
            opened.seek(0)
            return verify_picture(opened.read(MAX_PICTURE_BYTES + 1), anchors=trusted)
    return verify_embedded(file, anchors=trusted)


def _certificates(file: Path) -> str:
    """The certificates in a file as the C2PA library takes them: whatever else is in the file stays out."""
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificates

    try:
        found = load_pem_x509_certificates(file.read_bytes())
    except ValueError as fault:
        raise click.BadParameter(f"{file} holds no PEM certificates", param_hint="--anchors") from fault
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in found)


def _looked_up(found: Any, network: str, contract: str) -> int:
    """The id that a file's model has on the chain."""
    from pdfed.audit import model_on_chain
    from pdfed.chain.client import ContractClient
    from pdfed.chain.feed import read_ledger
    from pdfed.chain.networks import connected

    with connected(network):
        client = ContractClient.at(contract)
        return model_on_chain(found, read_ledger(client), client).id


def _show(found: Any, id: int | None, as_json: bool) -> None:
    from pdfed.report.terminal import credentials_facts, credentials_table

    if as_json:
        click.echo(json.dumps(credentials_facts(found) | ({} if id is None else {"id": id}), indent=1))
    else:
        Console().print(credentials_table(found, id))
