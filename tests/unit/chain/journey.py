# SPDX-License-Identifier: Apache-2.0
"""Random journeys through a contract's whole life, the same for the ghost and for the real one.

A journey only proposes; whoever plays it refuses what the mechanism does not allow. Scores drift downwards, so that champions
change; time jumps, so that windows close, nodes fall silent and pools go back to their sponsor.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Protocol

from pdfed.mechanism import Phase, Role, Score, Terms, vote_commitment

ETHER = 10**18
TERMS = Terms(
    genesis=b"\x11" * 32,
    min_stake=ETHER // 10,
    submission_fee=ETHER // 1000 + 1,  # odd figures: rounding must agree
    commit_bond=ETHER // 50 + 3,
    quorum=5000,
    release=2500,
    min_gain=2,
    jury=0,
    royalty=1000,
    commit_window=1000,
    reveal_window=1000,
    unbonding=2500,
    sunset=20_000,
    sponsor="0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    electorate=300,
    enrolment=10,
    pace=640,
)


class Stage(Protocol):
    """A contract that a journey plays on."""

    address: str
    chain_id: int
    people: Sequence[str]

    def act(self, caller: str, function: str, arguments: tuple[Any, ...], value: int = 0) -> bool:
        """Call the contract's function; True if it took effect."""

    def pass_time(self, seconds: int) -> None: ...

    def phases(self) -> dict[int, Phase]:
        """Phases of all models, now."""

    def baseline(self, id: int) -> int: ...

    def bundle(self, id: int) -> bytes: ...


class Journey:
    """Proposes steps from a seed."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self._stage = stage
        self._random = random.Random(seed)
        self._secrets: dict[tuple[int, str], tuple[Score, bytes]] = {}
        self._payees: dict[str, str] = {}
        self._submitted = 0
        self.done = 0

    def open(self) -> None:
        """Everybody joins, one as a validator; time passes, so that they may vote."""
        for index, person in enumerate(self._stage.people):
            role = Role.VALIDATOR if index == 1 else Role.TRAINER
            self._act(person, "register", (int(role),), value=TERMS.min_stake * (index + 2) + index)
        self._stage.pass_time(TERMS.enrolment)

    def step(self) -> None:
        """One proposal."""
        name = self._random.choices(list(_PROPOSALS), weights=list(_PROPOSALS.values()))[0]
        (self.model_life if name == "model_life" else getattr(self, f"_{name}"))()

    def model_life(self) -> None:
        """One model from its submission to its settlement, voted on by most."""
        self._submit()
        id = max(self._stage.phases())
        if not id:
            return
        if self._random.random() < 0.8:
            self._draw(id)
        for person in self._stage.people:
            if self._random.random() < 0.85:
                self._commit(id, person)
        self._stage.pass_time(self._random.choice((1, TERMS.commit_window)))
        for person in self._stage.people:
            if self._random.random() < 0.9:
                self._reveal(id, person)
        self._stage.pass_time(self._random.choice((1, TERMS.reveal_window)))
        self._settle()

    def close(self) -> None:
        """Everything is settled, claimed and paid out; the pool returns; all but one leave."""
        self._stage.pass_time(TERMS.commit_window + TERMS.reveal_window)
        for id, voter in self._secrets:
            self._act(voter, "forfeit", (id, voter))
        for _ in self._stage.phases():
            self._settle()
        self._stage.pass_time(TERMS.sunset)
        self._reclaim()
        for person in self._stage.people[1:]:
            self._act(self._payee(person), "requestExit", (person,))
        self._stage.pass_time(TERMS.unbonding)
        for person in self._stage.people:
            self._act(self._payee(person), "claimStake", (person,))
            self._act(self._payee(person), "withdraw", (person, person))

    # ------------------------------------------------------------------------------------------------ proposals

    def _act(self, caller: str, function: str, arguments: tuple[Any, ...] = (), value: int = 0) -> bool:
        allowed = self._stage.act(caller, function, arguments, value)
        self.done += allowed
        return allowed

    def _someone(self) -> str:
        return self._random.choice(list(self._stage.people))

    def _some_model(self, *phases: Phase) -> int:
        fitting = [id for id, phase in self._stage.phases().items() if id and (not phases or phase in phases)]
        return self._random.choice(fitting or [1])

    def _score(self, id: int) -> Score:
        better = self._random.gauss(0.08, 0.06)
        qn = self._random.randint(10**6, 10**8)
        return Score(qn, max(1, int(qn * 2**better)), self._random.randint(0, 10_000))

    def _submit(self) -> None:
        self._submitted += 1
        newest = max(self._stage.phases())
        parents = tuple(sorted(self._random.sample(range(newest + 1), k=min(newest + 1, self._random.randint(1, 3)))))
        bundle = self._submitted.to_bytes(32, "big")
        self._act(self._random.choice(list(self._stage.people)), "submit", (bundle, parents), value=TERMS.submission_fee)

    def _commit(self, id: int | None = None, voter: str | None = None) -> None:
        id, voter = id or self._some_model(Phase.VOTING), voter or self._someone()
        if id not in self._stage.phases():
            return
        score, salt = self._score(id), self._random.randbytes(32)
        commitment = vote_commitment(self._stage.chain_id, self._stage.address, id, self._stage.baseline(id), voter, score, salt)
        model = (id, self._stage.bundle(id), self._stage.baseline(id))
        if self._act(voter, "commitVote", (*model, commitment, self._random.randbytes(32))):
            self._secrets[id, voter] = (score, salt)

    def _reveal(self, id: int | None = None, voter: str | None = None) -> None:
        if id is None or voter is None:
            if not self._secrets:
                return
            id, voter = self._random.choice(list(self._secrets))
        if (id, voter) in self._secrets:
            score, salt = self._secrets[id, voter]
            caller = voter if self._random.random() < 0.8 else self._someone()
            self._act(caller, "revealVote", (id, voter, (score.qn, score.baseline_qn, score.memorized), salt))

    def _late(self) -> None:
        id = self._some_model()
        if id not in self._stage.phases():
            return
        score = self._score(id)
        bundle = self._stage.bundle(id)
        self._act(self._someone(), "lateVote", (id, bundle, (score.qn, score.baseline_qn, score.memorized)))

    def _draw(self, id: int | None = None) -> None:
        """Somebody draws a jury, often only after waiting until that is allowed."""
        if id is None:
            id = self._some_model(Phase.VOTING)
        else:
            self._stage.pass_time(60)
        self._act(self._someone(), "drawJury", (id,))

    def _settle(self) -> None:
        due = [id for id, phase in self._stage.phases().items() if phase == Phase.DUE]
        if due:
            self._act(self._someone(), "settle", (min(due),))

    def _forfeit(self) -> None:
        for id, voter in list(self._secrets):
            if self._random.random() < 0.3:
                self._act(self._someone(), "forfeit", (id, voter))

    def _claim(self) -> None:
        settled = [id for id, phase in self._stage.phases().items() if phase in (Phase.SCORED, Phase.UNSCORED) and id]
        person = self._someone()
        for id in settled:
            self._act(self._someone(), "claimFees", (person, [id]))
            self._act(person, "claimRoyalties", ([id],))

    def _withdraw(self) -> None:
        person = self._someone()
        self._act(self._random.choice((person, self._payee(person))), "withdraw", (person, self._someone()))

    def _payee(self, person: str) -> str:
        return self._payees.get(person, person)

    def _name(self) -> None:
        """Somebody names another payee, or itself again."""
        person = self._someone()
        payee = self._random.choice((person, self._someone()))
        if self._act(self._payee(person), "setPayee", (person, payee)):
            self._payees[person] = payee

    def _wait(self) -> None:
        self._stage.pass_time(self._random.choice((1, 50, 600, 1000, 2500)))

    def _stake(self) -> None:
        person = self._someone()
        self._act(person, "topUp", (), value=self._random.randint(1, ETHER))

    def _leave(self) -> None:
        person = self._someone()
        self._act(self._random.choice((person, self._payee(person))), "requestExit", (person,))

    def _return(self) -> None:
        person = self._someone()
        if self._random.random() < 0.5:
            self._act(person, "cancelExit")
        elif self._act(self._payee(person), "claimStake", (person,)):
            self._act(person, "register", (int(Role.TRAINER),), value=2 * TERMS.min_stake)

    def _live(self) -> None:
        self._act(self._someone(), "keepAlive")

    def _retire(self) -> None:
        for person in self._stage.people:
            self._act(self._someone(), "retire", (person,))

    def _fund(self) -> None:
        self._act(self._someone(), "fund", (), value=self._random.randint(1, ETHER))

    def _reclaim(self) -> None:
        self._act(self._someone(), "reclaim")


_PROPOSALS = {
    "submit": 5, "commit": 14, "reveal": 14, "late": 4, "settle": 8, "forfeit": 3, "claim": 3, "withdraw": 2, "wait": 8,
    "stake": 1, "draw": 3, "name": 1, "leave": 1, "return": 2, "live": 1, "retire": 1, "fund": 1, "reclaim": 1, "model_life": 3,
}  # fmt: skip
