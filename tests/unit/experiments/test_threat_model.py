# SPDX-License-Identifier: Apache-2.0
"""The threat model and its annex of tests: every attack has a test, and every named test exists. A task without members."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest

from pdfed.mechanism import Call, Mechanism, MechanismError, Role, Score, word

from .test_worked_example import DAY, ETHER, TERMS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
ANNEX = (ROOT / "docs" / "threat-model-tests.md").read_text(encoding="utf-8")
LIMITS = PAGE[PAGE.index("## Known limits") :]
TEST = re.compile(r"`(tests/[\w./-]+)::(\w+)`")
NAMED = sorted(set(TEST.findall(ANNEX)))
ATTACK = re.compile(r"^\| ([RPVLN]\d+) \| (.*) \|$", re.MULTILINE)  # its number, and the rest of its row
LIMIT = re.compile(r"^\| (\d+) \| (.*) \|$", re.MULTILINE)

SPONSOR, *ACCOUNTS = (f"0x{number:040x}" for number in range(1, 10))
PAIR, FOUR, MEMBERS = tuple(ACCOUNTS[:2]), tuple(ACCOUNTS[:4]), tuple(ACCOUNTS[4:])
GUARDED = replace(TERMS, electorate=400, enrolment=7 * DAY, pace=7 * DAY)  # as derived for five voters
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
    for topic in ("majority", "brib", "jury", "flood", "near-cop", "silent", "lazy", "electorate", "stolen key"):
        assert topic in LIMITS.lower(), topic
    working = [row for _, row in ATTACK.findall(PAGE) if "**works**" in row]
    assert len(working) >= 3
    assert [row for row in working if "[limit " not in row] == []


class Colluders:
    """Accounts of the minimum stake that praise each other's models, in a task that nobody else has joined yet."""

    def __init__(self, accounts: tuple[str, ...], pool: int) -> None:
        self.now = 1_000_000
        self.accounts = accounts
        self.task = Mechanism(GUARDED, Call(SPONSOR, self.now, pool))
        self.models = 0
        self.join(*accounts)

    def call(self, account: str, value: int = 0) -> Call:
        self.now += 1
        return Call(account, self.now, value)

    def join(self, *accounts: str) -> None:
        for account in accounts:
            self.task.register(self.call(account, GUARDED.min_stake), Role.TRAINER)

    def play(self, models: int, accounts: tuple[str, ...], score: Score) -> None:
        """Submit, commit, reveal and settle, each model to the end of its windows; each account in turn is the author."""
        task = self.task
        for number in range(models):
            author, *voters = accounts[number % len(accounts) :] + accounts[: number % len(accounts)]
            self.models += 1
            id = task.submit(self.call(author, GUARDED.submission_fee), word(self.models), (0,))
            model = task.models[id]
            for voter in voters:
                commitment = task.vote_commitment(id, voter, score, word(id))
                task.commit_vote(self.call(voter), id, model.bundle, model.baseline, commitment, bytes(32))
            self.now = model.submitted_at + GUARDED.commit_window
            for voter in voters:
                task.reveal_vote(self.call(voter), id, voter, score, word(id))
            self.now = model.submitted_at + GUARDED.commit_window + GUARDED.reveal_window
            task.settle(self.call(author), id)


def test_nobody_submits_before_the_members_could_join():
    colluders = Colluders(PAIR, pool=10 * ETHER)
    with pytest.raises(MechanismError, match="NotOpen"):
        colluders.play(1, PAIR, PRAISE)


def test_two_accounts_take_nothing_from_a_task_without_members():
    colluders = Colluders(PAIR, pool=10 * ETHER)
    colluders.now += GUARDED.enrolment
    colluders.play(20, PAIR, PRAISE)
    assert colluders.task.frontier == 0
    assert colluders.task.pool == 10 * ETHER + 20 * GUARDED.submission_fee * 3 // 4  # a quarter of each fee paid their votes


def test_more_than_half_of_the_electorate_owns_the_royalties_of_an_empty_pool():
    colluders = Colluders(FOUR, pool=0)
    colluders.now += GUARDED.enrolment
    colluders.play(20, FOUR, PRAISE)
    task = colluders.task
    assert task.frontier == 20 * 63  # the pace limits payments, not the frontier
    task.claim_royalties(colluders.call(SPONSOR), list(range(1, 21)))  # of the fees, all that the pool had until then
    for account in FOUR:
        task.request_exit(colluders.call(account), account)
    colluders.now += GUARDED.pace
    task.fund(colluders.call(SPONSOR, 10 * ETHER))
    colluders.join(*MEMBERS)
    colluders.play(1, MEMBERS, HONEST)
    assert task.models[21].payout > 0
    earned = sum(task.credits.get(account, 0) for account in FOUR)
    task.claim_royalties(colluders.call(SPONSOR), list(range(1, 21)))
    royalty = task.models[21].payout * GUARDED.royalty // 10_000
    assert royalty - 21 <= sum(task.credits[account] for account in FOUR) - earned <= royalty
