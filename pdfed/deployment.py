# SPDX-License-Identifier: Apache-2.0
"""From a sponsor's words to the contract's terms, and the record of what was deployed."""

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

LEAST = 10**15  # wei: of a stake by the contract, of a fee by default
MONEY = ("min_stake", "submission_fee", "commit_bond")  # terms in wei


def contract_terms(given: TermsSpec, genesis: Genesis, deployer: str, voters: int, pool: int) -> Terms:
    """The constructor's terms; what the task leaves open is derived as docs/mechanism.md recommends.

    voters: how many are expected, for the margin of `minGain`. pool: wei, the first pool: a fee in proportion to it makes
    copies that hope for luck a loss. Raises SpecError.
    """
    min_gain = genesis.min_gain(voters) if given.min_gain is None else given.min_gain
    return replace(terms_before_genesis(given, deployer, pool), genesis=genesis.digest, min_gain=min_gain)


def terms_before_genesis(given: TermsSpec, deployer: str, pool: int) -> Terms:
    """`contract_terms`, but for what only the genesis tells: its digest, and `min_gain` where that is open. Raises SpecError
    where the contract would refuse them, so that nobody trains for hours in vain."""
    fee = max(LEAST, -(-pool // 4000)) if given.submission_fee is None else given.submission_fee
    bond = 3 * fee if given.commit_bond is None else given.commit_bond
    derived = {
        "genesis": b"\x01" * 32,
        "submission_fee": fee,
        "commit_bond": bond,
        "min_stake": max(LEAST, 100 * fee, 32 * bond) if given.min_stake is None else given.min_stake,
        "min_gain": 1 if given.min_gain is None else given.min_gain,
        "sponsor": given.sponsor or deployer,
    }
    terms = Terms(**(given.model_dump() | derived))
    fault = _fault(terms, deployer, pool)
    if fault:
        raise SpecError(
            f"The contract would refuse these terms: {fault}.", "Mend `terms` in the task file, or --pool, and run again."
        )
    return terms


def _fault(terms: Terms, deployer: str, pool: int) -> str:
    """What is wrong with the terms by the contract's own rules, with figures; "" if nothing is."""
    ether = {name: f"{name} {getattr(terms, name) / 10**18:g} ether" for name in MONEY}
    for name in MONEY:
        if getattr(terms, name) > MAX_BALANCE:
            return f"{ether[name]} is more than a contract of this kind can hold"
    try:
        Mechanism(terms, Call(deployer, 0, value=pool))
    except MechanismError as refused:
        if refused.figures == ("commitBond",):
            return f"{ether['commit_bond']} is above {ether['min_stake']} (what is left open follows from the pool)"
        return str(refused)
    return ""


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
    facts = vars(terms) | {name: str(getattr(terms, name)) for name in MONEY}
    return facts | {"genesis": "0x" + terms.genesis.hex()}


def note_path(home: Path, chain_id: int, deployer: str) -> Path:
    """Where a deployment by this account is noted from its signature until it is recorded."""
    return home / "deployments" / f"unfinished-{chain_id}-{deployer}.json"


def write_record(home: Path, record: DeploymentRecord) -> Path:
    """Keep a record under `home`, one file per contract: deployments/<network>/<address>.json. Returns its path.

    It takes the place of the note of the unfinished deployment: the next one by this account is a new one.
    """
    path = home / "deployments" / record.network / f"{record.address}.json"
    write_atomic(path, json.dumps(asdict(record), indent=1) + "\n")
    note_path(home, record.chain_id, record.deployer).unlink(missing_ok=True)
    return path
