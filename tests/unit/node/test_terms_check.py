# SPDX-License-Identifier: Apache-2.0
"""A node names the terms that let others take what it puts in, and joins only if it is told to."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from pdfed.mechanism import Role, Terms
from pdfed.node.node_errors import HostileTerms
from pdfed.node.terms_check import DAY, check_terms, hostile_terms
from pdfed.spec import NodeConfig

ME, ETHER = "0x" + "1" * 40, 10**18
FAIR = Terms(
    genesis=b"\x01" * 32, min_stake=ETHER, submission_fee=ETHER // 100, commit_bond=ETHER // 8, quorum=6_700, release=2_500,
    min_gain=2, jury=0, royalty=1_000, commit_window=4 * DAY, reveal_window=DAY, unbonding=30 * DAY, sunset=30 * DAY, sponsor=ME,
    electorate=400, enrolment=DAY, pace=DAY,
)  # fmt: skip
POOL = 16 * ETHER
HOSTILE: list[tuple[dict[str, Any], str]] = [
    ({"reveal_window": DAY - 1}, "The reveal window is 86399 s"),
    ({"commit_bond": ETHER // 8 + 1}, "The bond is"),
    ({"quorum": 6_701}, "The quorum is 67.01 %"),
    ({"sunset": 30 * DAY - 1}, "The sunset is 30 days"),
    ({"unbonding": 30 * DAY + 1}, "The unbonding time is 30 days"),
    ({"electorate": 399}, "Electorate and nodes put up"),
]


def test_fair_terms_at_every_bound_are_not_named() -> None:
    assert hostile_terms(FAIR, POOL) == []
    assert hostile_terms(replace(FAIR, sunset=0, commit_bond=0), POOL) == []  # a pool that never returns takes from nobody


def test_an_electorate_that_the_pool_outgrew_does_not_matter_once_enough_have_joined() -> None:
    assert hostile_terms(FAIR, POOL + 4, active_weight=400)
    assert hostile_terms(FAIR, POOL + 4, active_weight=401) == []


@pytest.mark.parametrize(("changes", "words"), HOSTILE)
def test_each_hostile_term_is_one_sentence(changes: dict[str, Any], words: str) -> None:
    (sentence,) = hostile_terms(replace(FAIR, **changes), POOL)
    assert sentence.startswith(words) and sentence.endswith(".")


def client(pool: int = POOL, role: Role = Role.NONE) -> Any:
    return SimpleNamespace(pool=lambda: pool, active_weight=lambda: 0, node=lambda account: SimpleNamespace(role=role))


def test_a_node_joins_hostile_terms_only_if_told() -> None:
    terms, said = replace(FAIR, quorum=9_000), list[str]()
    with pytest.raises(HostileTerms, match="quorum is 90 %") as fault:
        check_terms(NodeConfig(data="digits"), terms, client(), ME, said.append)
    assert "--accept-terms" in fault.value.remedy and not said
    check_terms(NodeConfig(data="digits", accept_terms=True), terms, client(), ME, said.append)
    assert len(said) == 1


def test_a_node_that_has_joined_is_warned_and_goes_on() -> None:
    """Its open votes would lose their bonds."""
    said = list[str]()
    check_terms(NodeConfig(data="digits"), FAIR, client(pool=POOL + 4, role=Role.TRAINER), ME, said.append)
    assert len(said) == 1 and "Electorate" in said[0]
