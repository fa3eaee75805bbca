# SPDX-License-Identifier: Apache-2.0
"""The threat model and its annex of tests: every attack has a test, and every named test exists. Two limits, played."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from pdfed.mechanism import Call, Mechanism, Role, Score, word

from .test_worked_example import ETHER, TERMS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
ANNEX = (ROOT / "docs" / "threat-model-tests.md").read_text(encoding="utf-8")
LIMITS = PAGE[PAGE.index("## Known limits") :]
TEST = re.compile(r"`(tests/[\w./-]+)::(\w+)`")
NAMED = sorted(set(TEST.findall(ANNEX)))
ATTACK = re.compile(r"^\| ([PVLN]\d+) \| (.*) \|$", re.MULTILINE)  # its number, and the rest of its row
LIMIT = re.compile(r"^\| (\d+) \| (.*) \|$", re.MULTILINE)

SPONSOR, EVE, MALLORY, ADA, BEN = (f"0x{number:040x}" for number in range(1, 6))
COLLUDERS, MEMBERS = (EVE, MALLORY), (ADA, BEN)
PRAISE, HONEST = Score(1_000_000, 1_999_000_000, 0), Score(80_000_000, 100_000_000, 0)


def test_the_threat_model_names_tests_of_every_kind():
    assert len(NAMED) >= 110
    for room in ("tests/contract", "tests/unit", "tests/integration", "tests/property", "tests/forge"):
        assert any(file.startswith(room) for file, _ in NAMED), room


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_named_tests_exist(file):
    source = (ROOT / file).read_text(encoding="utf-8")
    if file.endswith(".py"):
        defined = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        defined |= {
            target.id for node in ast.parse(source).body if isinstance(node, ast.Assign) for target in node.targets
            if isinstance(target, ast.Name)
        }  # fmt: skip
    else:
        defined = set(re.findall(r"function\s+(\w+)", source))
    assert {name for named, name in NAMED if named == file} <= defined


def test_every_attack_has_a_row_with_a_test_in_the_annex_and_nothing_else_has():
    attacks = [number for number, _ in ATTACK.findall(PAGE)]
    rows = ATTACK.findall(ANNEX)
    assert len(attacks) >= 55
    assert [number for number, _ in rows] == attacks
    assert len(set(attacks)) == len(attacks)
    assert [number for number, row in rows if not TEST.search(row)] == []


def test_limits_in_the_annex_exist_and_have_a_test():
    numbered = set(re.findall(r"^(\d+)\. ", LIMITS, re.MULTILINE))
    rows = LIMIT.findall(ANNEX)
    assert {number for number, _ in rows} <= numbered
    assert [number for number, row in rows if not TEST.search(row)] == []


def test_tests_are_named_in_the_annex_alone():
    assert TEST.findall(PAGE) == []


def test_every_attack_that_works_is_a_known_limit():
    for topic in ("majority", "late content", "grind", "flood", "near-cop", "silent", "lazy"):
        assert topic in LIMITS.lower(), topic
    working = [row for _, row in ATTACK.findall(PAGE) if "**works**" in row]
    assert len(working) >= 5
    assert [row for row in working if "[limit " not in row] == []


class Colluders:
    """Two accounts of the minimum stake that praise each other's models, in a task that nobody else has joined."""

    def __init__(self, pool: int) -> None:
        self.now = 1_000_000
        self.task = Mechanism(TERMS, Call(SPONSOR, self.now, pool))
        self.models = 0
        self.join(*COLLUDERS)

    def call(self, account: str, value: int = 0) -> Call:
        self.now += 1
        return Call(account, self.now, value)

    def join(self, *accounts: str) -> None:
        for account in accounts:
            self.task.register(self.call(account, TERMS.min_stake), Role.TRAINER)

    def play(self, models: int, pair: tuple[str, str], score: Score) -> None:
        """Submit, commit, reveal and settle; nobody waits, because all eligible weight votes."""
        task = self.task
        for number in range(models):
            author, voter = pair[number % 2], pair[1 - number % 2]
            self.models += 1
            id = task.submit(self.call(author, TERMS.submission_fee), word(self.models), (0,))
            commitment = task.vote_commitment(id, voter, score, word(id))
            task.commit_vote(self.call(voter), id, task.models[id].bundle, commitment, bytes(32))
            task.reveal_vote(self.call(voter), id, score, word(id))
            task.settle(self.call(voter), id)


def test_two_accounts_empty_the_pool_of_a_task_without_members():
    colluders = Colluders(pool=10 * ETHER)
    colluders.play(20, COLLUDERS, PRAISE)
    assert colluders.task.pool < 0.04 * ETHER
    assert colluders.now < 1_000_000 + TERMS.commit_window  # no window had to pass


def test_steps_taken_while_the_pool_is_empty_earn_royalties_from_later_payouts():
    colluders = Colluders(pool=0)
    colluders.play(20, COLLUDERS, PRAISE)
    task = colluders.task
    assert task.frontier == 20 * 63
    for account in COLLUDERS:
        task.request_exit(colluders.call(account))
    task.fund(colluders.call(SPONSOR, 10 * ETHER))
    colluders.join(*MEMBERS)
    colluders.play(1, MEMBERS, HONEST)
    assert task.models[21].payout > 0
    earned = sum(task.credits.get(account, 0) for account in COLLUDERS)
    task.claim_royalties(colluders.call(SPONSOR), list(range(1, 21)))
    royalty = task.models[21].payout * TERMS.royalty // 10_000
    assert royalty - 21 <= sum(task.credits[account] for account in COLLUDERS) - earned <= royalty
