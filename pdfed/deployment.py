# SPDX-License-Identifier: Apache-2.0
"""Derives a contract's terms from a task file, and records the deployment.

`genesis` measures the noise of a vote, from which `min_gain` follows; `chain.deployment_tx` signs and pays."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from eth_hash.auto import keccak

from pdfed.atomic import write_atomic
from pdfed.chain.client import ContractClient
from pdfed.genesis import Genesis
from pdfed.mechanism import MAX_BALANCE, Call, Mechanism, MechanismError, Terms
from pdfed.spec import SpecError, TermsSpec
from pdfed.spec.money import ETHER

LEAST = 10**15  # wei: the contract's lower bound of min_stake, and the least derived fee
MONEY = ("min_stake", "submission_fee", "commit_bond")  # terms in wei


def contract_terms(spec: TermsSpec, genesis: Genesis, deployer: str, voters: int, pool: int) -> Terms:
    """Complete the constructor's terms: those that the task leaves open follow from the pool and from the noise of a vote.

    docs/mechanism.md has the reasons. `deployer`: address, the default sponsor; `voters`: number expected, for the margin of
    `min_gain`; `pool`: first pool in wei. The fee is in proportion to the pool, so that copies submitted on the chance of a
    lucky vote lose money. Raises SpecError where the contract would refuse the terms.
    """
    min_gain = genesis.min_gain(voters) if spec.min_gain is None else spec.min_gain
    return replace(terms_before_genesis(spec, deployer, pool), genesis=genesis.digest, min_gain=min_gain)


def terms_before_genesis(spec: TermsSpec, deployer: str, pool: int) -> Terms:
    """Return `contract_terms` with placeholders for the two that need the genesis: its digest and an open `min_gain`.

    Fee, bond and minimum stake follow from the pool where the task leaves them open.
    Raises SpecError where the contract would refuse them, before hours of training.
    """
    fee = max(LEAST, -(-pool // 4000)) if spec.submission_fee is None else spec.submission_fee
    bond = 3 * fee if spec.commit_bond is None else spec.commit_bond
    derived = {
        "genesis": b"\x01" * 32,
        "submission_fee": fee,
        "commit_bond": bond,
        "min_stake": max(LEAST, 100 * fee, 32 * bond) if spec.min_stake is None else spec.min_stake,
        "min_gain": 1 if spec.min_gain is None else spec.min_gain,
        "sponsor": spec.sponsor or deployer,
    }
    terms = Terms(**(spec.model_dump() | derived))
    fault = _fault(terms, deployer, pool)
    if fault:
        raise SpecError(
            f"The contract would refuse these terms: {fault}.", "Correct `terms` in the task file, or --pool, and run again."
        )
    return terms


def _fault(terms: Terms, deployer: str, pool: int) -> str:
    """Check the terms by the contract's own rules; returns the fault with its figures, or ""."""
    ether = {name: f"{name} {getattr(terms, name) / ETHER:g} ether" for name in MONEY}
    for name in MONEY:
        if getattr(terms, name) > MAX_BALANCE:
            return f"{ether[name]} is more than a contract of this kind can hold"
    try:
        Mechanism(terms, Call(deployer, 0, value=pool))
    except MechanismError as refused:
        if refused.figures == ("commitBond",):
            return f"{ether['commit_bond']} is above {ether['min_stake']} (terms left open follow from the pool)"
        return str(refused)
    return ""


@dataclass(frozen=True)
class DeploymentRecord:
    """Facts of a deployment, for the sponsor's own records. Money in wei, as str; times in Unix seconds.

    `code_hash`: keccak of the code at the address; `ape run verify` rebuilds it. All of it is public and on the chain.
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
    """Build the record of the contract that `client` deployed. `pool`: wei sent along."""
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
    """Terms by name, for JSON: the genesis digest in hex, wei as str."""
    facts = vars(terms) | {name: str(getattr(terms, name)) for name in MONEY}
    return facts | {"genesis": "0x" + terms.genesis.hex()}


def note_path(home: Path, chain_id: int, deployer: str) -> Path:
    """Path of the note of an unfinished deployment by this account: it exists from the signature until `write_record`."""
    return home / "deployments" / f"unfinished-{chain_id}-{deployer}.json"


def write_record(home: Path, record: DeploymentRecord) -> Path:
    """Write a record to deployments/<network>/<address>.json under `home`; returns its path.

    Deletes the note of the unfinished deployment: the next one by this account is a new one.
    """
    path = home / "deployments" / record.network / f"{record.address}.json"
    write_atomic(path, json.dumps(asdict(record), indent=1) + "\n")
    note_path(home, record.chain_id, record.deployer).unlink(missing_ok=True)
    return path
