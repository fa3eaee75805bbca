# SPDX-License-Identifier: Apache-2.0
"""Terms that let a sponsor, or whoever holds a little stake, take what members put in. A node names them before it stakes."""

from __future__ import annotations

from collections.abc import Callable

from pdfed.chain.client import ContractClient
from pdfed.mechanism import WEIGHT_PER_MIN_STAKE, Role, Terms
from pdfed.node.node_errors import HostileTerms
from pdfed.spec import NodeConfig
from pdfed.spec.money import ETHER

DAY = 86_400  # seconds
REVEAL_SHARE = 4  # the reveal window is at least 1/4 of the commit window
BOND_SHARE = 8  # the bond is at most 1/8 of the minimum stake
MAX_QUORUM = 6_700  # basis points
LEAST_SUNSET, MAX_UNBONDING = 30 * DAY, 30 * DAY
POOL_SHARE = 4  # the stake of the electorate, or of all nodes, is at least 1/4 of the pool


def hostile_terms(terms: Terms, pool: int, active_weight: int = 0) -> list[str]:
    """Return a sentence for each term that a node refuses, about what it allows.

    pool: wei; active_weight: of the nodes that have joined.
    """
    faults = (
        (
            terms.reveal_window < terms.commit_window // REVEAL_SHARE,  # as the contract rounds it
            f"The reveal window is {terms.reveal_window} s, short enough that voters miss it and their bonds fall to the pool.",
        ),
        (
            BOND_SHARE * terms.commit_bond > terms.min_stake,
            f"The bond is {terms.commit_bond} wei of a minimum stake of {terms.min_stake} wei, so that a few missed reveals take "
            "all of it.",
        ),
        (
            terms.quorum > MAX_QUORUM,
            f"The quorum is {terms.quorum / 100:g} %, so that a few silent nodes of the sponsor keep every model unpaid.",
        ),
        (
            0 < terms.sunset < LEAST_SUNSET,
            f"The sunset is {terms.sunset / DAY:.3g} days, so that the sponsor soon takes the pool back, with the members' fees "
            "and bonds in it.",
        ),
        (
            terms.unbonding > MAX_UNBONDING,
            f"The unbonding time is {terms.unbonding / DAY:.3g} days, in which no stake can be taken out.",
        ),
    )
    named = [sentence for hostile, sentence in faults if hostile]
    return named + [sentence for sentence in [pool_fault(terms, pool, active_weight)] if sentence]


def pool_fault(terms: Terms, pool: int, active_weight: int) -> str:
    """Return a sentence if the pool (wei) is too large for the stake that guards it, else "".

    Once the nodes that have joined put up enough, the electorate may be a smaller part of a pool that grew.
    """
    stake = max(terms.electorate, active_weight) * terms.min_stake // WEIGHT_PER_MIN_STAKE
    if POOL_SHARE * stake >= pool:
        return ""
    return (
        f"Electorate and nodes put up {stake / ETHER:g} ether, less than a quarter of the pool of {pool / ETHER:g} ether, so "
        "that the pool can be taken with little stake."
    )


def check_terms(config: NodeConfig, terms: Terms, client: ContractClient, address: str, say: Callable[[str], None]) -> None:
    """Check the terms before a stake is at risk; say the faults where the config accepts them or the node has joined already.

    Raises HostileTerms.
    """
    faults = hostile_terms(terms, client.pool(), client.active_weight())
    if faults and not config.accept_terms and client.node(address).role == Role.NONE:
        raise HostileTerms(" ".join(faults), "Ask the sponsor for other terms, or join all the same with --accept-terms.")
    for fault in faults:
        say(f"warning: {fault}")
