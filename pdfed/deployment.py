# SPDX-License-Identifier: Apache-2.0
"""Derives a contract's terms from a task file, tells its calendar, and records the deployment.

`genesis` measures the noise of a vote, from which `min_gain` follows; `chain.deployment_tx` signs and pays."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from eth_hash.auto import keccak

from pdfed.atomic import write_atomic
from pdfed.chain.client import ContractClient
from pdfed.errors import PDFedError
from pdfed.genesis import Genesis
from pdfed.mechanism import MAX_BALANCE, STEPS_PER_PACE, WEIGHT_PER_MIN_STAKE, Call, Mechanism, MechanismError, Terms
from pdfed.node.terms_check import POOL_SHARE
from pdfed.spec import SpecError, TermsSpec
from pdfed.spec.money import ETHER
from pdfed.spec.times import span, utc

ENROLMENT = 7 * 86_400  # seconds: default on a public network
LEAST = 10**15  # wei: the contract's lower bound of min_stake, and the least derived fee
MONEY = ("min_stake", "submission_fee", "commit_bond")  # terms in wei


def contract_terms(spec: TermsSpec, genesis: Genesis, deployer: str, voters: int, pool: int, *, local: bool = False) -> Terms:
    """Complete the constructor's terms: those that the task leaves open follow from the pool and from the noise of a vote.

    docs/mechanism.md has the reasons. `deployer`: address, the default sponsor; `voters`: number expected, for `electorate` and
    the margin of `min_gain`; `pool`: planned pool in wei. The fee is in proportion to the pool, so that copies submitted on the
    chance of a lucky vote lose money. `local`: the chain is this machine's own, and needs no enrolment. Raises SpecError where
    the contract would refuse the terms.
    """
    min_gain = genesis.min_gain(voters) if spec.min_gain is None else spec.min_gain
    terms = terms_before_genesis(spec, deployer, voters, pool, local=local)
    return replace(terms, genesis=genesis.digest, min_gain=min_gain)


def terms_before_genesis(spec: TermsSpec, deployer: str, voters: int, pool: int, *, local: bool = False) -> Terms:
    """Return `contract_terms` with placeholders for the two that need the genesis: its digest and an open `min_gain`.

    Fee, bond and minimum stake follow from the pool where the task leaves them open.
    Raises SpecError where the contract would refuse them, before hours of training.
    """
    # One voter less: with all of them, the author's own weight would count as a no.
    electorate = WEIGHT_PER_MIN_STAKE * max(1, voters - 1) if spec.electorate is None else spec.electorate
    share = -(-pool * WEIGHT_PER_MIN_STAKE // (POOL_SHARE * electorate)) if electorate else 0
    fee = max(LEAST, -(-pool // 4000)) if spec.submission_fee is None else spec.submission_fee
    bond = 3 * fee if spec.commit_bond is None else spec.commit_bond
    derived = {
        "genesis": b"\x01" * 32,
        "submission_fee": fee,
        "commit_bond": bond,
        "min_stake": max(LEAST, 100 * fee, 32 * bond, share) if spec.min_stake is None else spec.min_stake,
        "min_gain": 1 if spec.min_gain is None else spec.min_gain,
        "sponsor": spec.sponsor or deployer,
        "electorate": electorate,
        "enrolment": (0 if local else ENROLMENT) if spec.enrolment is None else spec.enrolment,
        "pace": max(STEPS_PER_PACE, spec.unbonding) if spec.pace is None else spec.pace,
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
        Mechanism(terms, Call(deployer, 0, value=pool, prevrandao=b"\xff" * 32))
    except MechanismError as refused:
        if refused.figures == ("commitBond",):
            return f"{ether['commit_bond']} is above {ether['min_stake']} (terms left open follow from the pool)"
        return str(refused)
    return ""


class EnrolmentOpen(PDFedError):
    """The pool is not paid while members are still joining."""


def check_enrolment_over(client: ContractClient) -> None:
    """Raise EnrolmentOpen before the contract's enrolment is over."""
    opens_at = client.opens_at()
    if client.now() < opens_at:
        raise EnrolmentOpen(
            f"The enrolment ends {utc(opens_at)}; the nodes have put up {active_stake(client) / ETHER:g} ether so far.",
            "Run the command again after that, when the members have joined, or pay --now.",
        )


def active_stake(client: ContractClient) -> int:
    """Wei that the active nodes have staked, by their weight."""
    return client.active_weight() * client.terms().min_stake // WEIGHT_PER_MIN_STAKE


def calendar(terms: Terms, opens_at: int) -> list[str]:
    """Lines for the sponsor and the participants: end of the enrolment, first submission, pace, return of the pool."""
    lines = [f"Enrolment ends {utc(opens_at)}: until then nodes join, and nobody submits."] if terms.enrolment else []
    lines.append(f"First submission: {utc(opens_at)}. Its votes are open {span(terms.commit_window)} later at the latest.")
    lines.append(
        f"Pace: at most one halving of Q-N is paid per {span(terms.pace)}; what exceeds it stays in the pool."
        if terms.pace
        else "Pace: none; an advance is paid in full whenever it comes."
    )
    if terms.sunset:
        lines.append(f"The pool may return to {terms.sponsor} after {span(terms.sunset)} without an advance.")
    return lines


@dataclass(frozen=True)
class DeploymentRecord:
    """Facts of a deployment, for the sponsor's own records. Money in wei, as str; times in Unix seconds.

    `code_hash`: keccak of the code at the address; `ape run verify` rebuilds it. `use`: address of the PDFedUse contract that
    was deployed with it, or "". All of it is public and on the chain.
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
    use: str = ""


def record_of(
    client: ContractClient, network: str, deployer: str, pool: int, genesis_cid: str, use: str = ""
) -> DeploymentRecord:
    """Build the record of the contract that `client` deployed. `pool`: wei sent along, 0 if it is paid later."""
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
        use=use,
    )


def terms_facts(terms: Terms) -> dict[str, str | int]:
    """Terms by name, for JSON: the genesis digest in hex, wei as str."""
    facts = vars(terms) | {name: str(getattr(terms, name)) for name in MONEY}
    return facts | {"genesis": "0x" + terms.genesis.hex()}


def note_path(home: Path, chain_id: int, owner: str) -> Path:
    """Path of the note of an unfinished deployment: it exists from the signature until `write_record`.

    `owner`: address of the deployer; for a PDFedUse contract, of the task's contract.
    """
    return home / "deployments" / f"unfinished-{chain_id}-{owner}.json"


def write_record(home: Path, record: DeploymentRecord) -> Path:
    """Write a record to deployments/<network>/<address>.json under `home`; returns its path.

    Deletes the notes of the unfinished deployments: the next one by this account is a new one.
    """
    path = home / "deployments" / record.network / f"{record.address}.json"
    write_atomic(path, json.dumps(asdict(record), indent=1) + "\n")
    for owner in (record.deployer, record.address):  # in this order: a stop between them leaves a note that nobody looks for
        note_path(home, record.chain_id, owner).unlink(missing_ok=True)
    return path
