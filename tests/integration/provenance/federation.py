# SPDX-License-Identifier: Apache-2.0
"""A federation without training: real chain, contract, store, manifests and votes, and models of random weights."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from pdfed import bundle as bundles
from pdfed.chain.accounts import wallet_signer
from pdfed.chain.client import ContractClient
from pdfed.chain.feed import read_ledger
from pdfed.chain.ledger import Ledger
from pdfed.chain.local_chain import LocalChain
from pdfed.chain.outbox import Outbox
from pdfed.deployment import contract_terms
from pdfed.diffusion import initial_weights, save_weights
from pdfed.genesis import Genesis
from pdfed.journal import Journal
from pdfed.mechanism import Role, Score, vote_commitment
from pdfed.provenance import AuthorScore, Claim, Identity, Parent, TrainingFacts, dataset_root, sign_model
from pdfed.spec import TaskFile, TaskSpec
from pdfed.storage import LocalStore, cid_from_digest, cid_of, digest_of
from tests.integration.federation import WINDOW, tiny_task

SALT = bytes(range(32))
Change = Callable[[Path], None]


class Author:
    """A registered account that publishes models of random weights."""

    def __init__(self, federation: HandMade, index: int, role: Role = Role.TRAINER) -> None:
        self.account = federation.chain.account(index)
        self.address = str(self.account.address)
        self.identity = Identity.load_or_create(federation.root / f"identity-{index}", self.address)
        self.sign = wallet_signer(self.account)
        self.data = dataset_root([bytes([index]) * 32], SALT).hex()
        self._client = federation.client
        self.send("register", (int(role),), federation.client.terms().min_stake)

    def send(self, function: str, arguments: tuple[object, ...], value: int = 0) -> None:
        """Send a transaction and wait until it is mined."""
        outbox = Outbox(self._client, self.account, Journal(":memory:"))  # a new outbox each time: tests revert the chain
        outbox.put("by hand", function, arguments, value=value)
        end = time.monotonic() + 60
        while not (ended := outbox.step()):
            assert time.monotonic() < end, f"{function} is not mined"
        assert ended[0].ok, ended[0].error

    def facts(self, images: int = 1_000) -> TrainingFacts:
        return TrainingFacts("qn", "AdamW", images, 10, 0, "full", 1, self.data, 0, None)


@dataclass
class HandMade:
    """models: the published models by id, as parents of others."""

    chain: LocalChain
    client: ContractClient
    store: LocalStore
    task: TaskSpec
    root: Path
    models: dict[int, Parent] = field(default_factory=dict)

    @property
    def ledger(self) -> Ledger:
        return read_ledger(self.client)

    def claim(self, author: Author, parents: Sequence[Parent]) -> Claim:
        return Claim(author.address, self.client.chain_id, self.client.address, tuple(parent.digest for parent in parents))

    def lay(
        self,
        author: Author,
        parents: Sequence[Parent],
        *,
        facts: TrainingFacts | None = None,
        claim: Claim | None = None,
        weights: Callable[[Path], None] | None = None,
        author_score: AuthorScore | None = None,
        change: Change = lambda folder: None,
    ) -> Path:
        """Make a signed bundle of random weights; `change` then tampers with it."""
        number = len(list(self.root.glob("bundle-*")))
        folder = self.root / f"bundle-{number}"
        folder.mkdir()
        file = folder / bundles.WEIGHTS
        if weights is None:
            save_weights(initial_weights(self.task, number + 1), file, self.task)
        else:
            weights(file)
        facts = facts or author.facts()
        title = f"{self.task.name} no. {number}"
        manifest = sign_model(
            file,
            title=title,
            claim=claim or self.claim(author, parents),
            parents=parents,
            facts=facts,
            weights_cid=cid_of(file),
            identity=author.identity,
            sign=author.sign,
            author_score=author_score,
        )
        (folder / bundles.MANIFEST).write_bytes(manifest)
        card = {
            "title": title,
            "task": self.task.name,
            "author": author.address,
            "contract": self.client.address,
            "chain_id": self.client.chain_id,
            "parents": [parent.cid for parent in parents],
            "objective": facts.objective,
            "images_seen": facts.images_seen,
            "licence": self.task.licence,
        }
        bundles.write_card(folder, card)
        change(folder)
        return folder

    def submit(self, author: Author, folder: Path, parents: Sequence[int]) -> int:
        """Submit a bundle under these parents' ids and publish it. Returns its id."""
        digest = digest_of(cid_of(folder))
        author.send("submit", (digest, list(parents)), self.client.terms().submission_fee)
        self.store.add(folder)
        id = self.client.model_count()
        bundle = bundles.Bundle(folder)
        self.models[id] = Parent(digest, cid_from_digest(digest), bundle.weights, bundle.manifest, f"model {id}")
        return id

    def publish(self, author: Author, parents: Sequence[int], **options: Any) -> int:
        """Make, submit and publish a model. Returns its id."""
        return self.submit(author, self.lay(author, [self.models[parent] for parent in parents], **options), parents)

    def settle(self, id: int, votes: dict[Author, Score]) -> None:
        """Commit and reveal these votes and settle the model."""
        model, salt = self.ledger.models[id], bytes(32)
        for voter, score in votes.items():
            words = (self.client.chain_id, self.client.address, id, model.baseline, voter.address, score, salt)
            voter.send("commitVote", (id, model.bundle, model.baseline, vote_commitment(*words), bytes(32)))
        self.chain.advance(WINDOW + 1)
        for voter, score in votes.items():
            voter.send("revealVote", (id, voter.address, astuple(score), salt))
        self.chain.advance(WINDOW + 1)
        next(iter(votes)).send("settle", (id,))

    def remove(self, id: int, name: str) -> None:
        """Delete the block of one file of a model's bundle from the store."""
        self.block_of(id, name).unlink()

    def block_of(self, id: int, name: str) -> Path:
        """Path in the store of the (only) block of a file of a model's bundle."""
        cid = cid_of(self.models[id].weights.with_name(name))
        return next(self.store.root.rglob(cid))


def hand_made(chain: LocalChain, root: Path, given: TaskFile | None = None) -> HandMade:
    """Deploy a contract with an untrained genesis."""
    sponsor = chain.account(0)
    given = given or tiny_task()
    task = given.task
    folder = root / "genesis"
    folder.mkdir(parents=True)
    save_weights(initial_weights(task, 0), folder / bundles.WEIGHTS, task)
    (folder / bundles.TASK).write_text(task.model_dump_json())
    facts = TrainingFacts("genesis", "AdamW", 500, 5, 0, "full", 0, dataset_root([], SALT).hex(), 0, None)
    title = f"{task.name} genesis"
    address = str(sponsor.address)
    manifest = sign_model(
        folder / bundles.WEIGHTS,
        title=title,
        claim=Claim(address, chain.chain_id, bundles.NO_CONTRACT, ()),
        parents=(),
        facts=facts,
        weights_cid=cid_of(folder / bundles.WEIGHTS),
        identity=Identity.load_or_create(root / "identity", address),
        sign=wallet_signer(sponsor),
    )
    (folder / bundles.MANIFEST).write_bytes(manifest)
    card = {"title": title, "task": task.name, "author": address, "parents": [], "images_seen": 500, "licence": task.licence}
    bundles.write_card(folder, card)
    store = LocalStore(root / "store")
    cid = store.add(folder)
    terms = contract_terms(given.terms, Genesis(folder, cid, task, 1.0), address, voters=2, pool=10**18, local=True)
    client = ContractClient.deploy(terms, 10**18, sponsor)
    federation = HandMade(chain, client, store, task, root)
    federation.models[0] = Parent(digest_of(cid), cid, folder / bundles.WEIGHTS, manifest, title)
    return federation


def copy_of(store: LocalStore, root: Path) -> LocalStore:
    """Copy a store, to tamper with the copy."""
    shutil.copytree(store.root, root / "spoilt")
    return LocalStore(root / "spoilt")
