# SPDX-License-Identifier: Apache-2.0
"""From a sponsor's words to the contract's terms, and the record of what was deployed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from eth_hash.auto import keccak

from pdfed.chain.client import ContractClient
from pdfed.genesis import Genesis
from pdfed.mechanism import Terms
from pdfed.spec import TermsSpec

LEAST = 10**15  # wei: of a stake by the contract, of a fee by default


def contract_terms(given: TermsSpec, genesis: Genesis, deployer: str, voters: int, pool: int) -> Terms:
    """The constructor's terms; what the task leaves open is derived as docs/mechanism.md recommends.

    voters: how many are expected, for the margin of `minGain`. pool: wei, the first pool: a fee in proportion to it makes
    copies that hope for luck a loss.
    """
    fee = max(LEAST, -(-pool // 4000)) if given.submission_fee is None else given.submission_fee
    bond = 3 * fee if given.commit_bond is None else given.commit_bond
    derived = {
        "genesis": genesis.digest,
        "submission_fee": fee,
        "commit_bond": bond,
        "min_stake": max(LEAST, 100 * fee, 32 * bond) if given.min_stake is None else given.min_stake,
        "min_gain": genesis.min_gain(voters) if given.min_gain is None else given.min_gain,
        "sponsor": given.sponsor or deployer,
    }
    return Terms(**(given.model_dump() | derived))


@dataclass(frozen=True)
class DeploymentRecord:
    """What there is to know of a deployment, for the sponsor's own books. Money in wei, as str; times in Unix seconds.

    `code_hash`: keccak of the code at the address; `verify` rebuilds it. Nothing here is secret, and all of it can be read
    from the chain again.
    """

    network: str
    chain_id: int
    address: str
    block: int
    time: int
    transaction: str
    deployer: str
    pool: str
    genesis_cid: str
    code_hash: str
    terms: dict[str, str | int]


def record_of(client: ContractClient, network: str, deployer: str, pool: int, genesis_cid: str) -> DeploymentRecord:
    """The record of what `client` just deployed. `pool`: wei sent along."""
    block = client.deployment_block
    return DeploymentRecord(
        network=network,
        chain_id=client.chain_id,
        address=client.address,
        block=block,
        time=client.block(block).timestamp,
        transaction=client.deployment or "",
        deployer=deployer,
        pool=str(pool),
        genesis_cid=genesis_cid,
        code_hash="0x" + keccak(client.code()).hex(),
        terms=terms_facts(client.terms()),
    )


def terms_facts(terms: Terms) -> dict[str, str | int]:
    """The terms by name: the genesis digest in hex, wei as str."""
    wei_fields = ("min_stake", "submission_fee", "commit_bond")
    facts = vars(terms) | {name: str(getattr(terms, name)) for name in wei_fields}
    return facts | {"genesis": "0x" + terms.genesis.hex()}


def write_record(home: Path, record: DeploymentRecord) -> Path:
    """Keep a record under `home`, one file per contract: deployments/<network>/<address>.json. Returns its path."""
    path = home / "deployments" / record.network / f"{record.address}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(asdict(record), indent=1) + "\n")
    partial.replace(path)
    return path
