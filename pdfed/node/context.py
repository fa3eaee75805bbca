# SPDX-License-Identifier: Apache-2.0
"""Open resources of one node: task (from the genesis bundle), private data, ruler, journal, secret, signing identity."""

from __future__ import annotations

import fcntl
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pdfed import bundle as bundles
from pdfed.chain.chain_errors import NotPDFed, Unfunded
from pdfed.chain.client import ContractClient
from pdfed.chain.creation_check import creation_fault
from pdfed.chain.secret import NodeSecret
from pdfed.data import Exclusions, ImageSet, load, split
from pdfed.journal import Journal
from pdfed.mechanism import Role, Terms
from pdfed.node.evaluation import Evaluator, forget_scores_on_other_data
from pdfed.node.node_errors import NodeBusy, StakeTooLow
from pdfed.node.terms_check import check_terms
from pdfed.provenance import Identity
from pdfed.scoring import Ruler, Scorers
from pdfed.spec import NodeConfig, TaskSpec, read_task_json
from pdfed.storage import Store, cid_from_digest

GENESIS_SECONDS = 600.0
SAY_SECONDS = 5.0  # between two lines about the progress of a download
MAX_SKIPPED_LINES = 10


@dataclass(frozen=True)
class NodeContext:
    """A node's open resources. train, test: the split of the private pictures.
    `home` holds journal.sqlite, bundles/, draft/, fingerprints/, identity/, samples/, secret, lock."""

    config: NodeConfig
    client: ContractClient
    account: Any
    terms: Terms
    task: TaskSpec
    store: Store
    journal: Journal
    home: Path
    train: ImageSet
    test: ImageSet
    evaluator: Evaluator
    exclusions: Exclusions
    secret: NodeSecret
    identity: Identity
    lock: IO[bytes]

    def close(self) -> None:
        """Close the journal and release the lock, so that another process can run this node."""
        self.journal.close()
        self.lock.close()

    @property
    def address(self) -> str:
        return str(self.account.address)

    @property
    def stake(self) -> int:
        """The stake to register with, in wei."""
        return self.terms.min_stake if self.config.stake is None else self.config.stake

    def bundle_folder(self, digest: bytes) -> Path:
        """Return the folder for the bundle with this digest."""
        return self.home / "bundles" / cid_from_digest(digest)


def home_of(config: NodeConfig, client: ContractClient, address: str) -> Path:
    """Return the folder of the node with this contract and account."""
    return Path(config.home) / f"{client.chain_id}-{client.address}" / address


def open_context(
    config: NodeConfig, client: ContractClient, account: Any, store: Store, say: Callable[[str], None]
) -> NodeContext:
    """Open a node's resources; `say` receives one line per step.

    Raises NodeBusy, NotPDFed, HostileTerms, StakeTooLow, Unfunded, StoreError, BundleRejected, ProvenanceError, SpecError, and
    the errors of reading the private data and of the ruler.
    """
    home = home_of(config, client, str(account.address))
    home.mkdir(parents=True, exist_ok=True)
    lock = take_lock(home)
    terms = client.terms()
    check_creation(client)
    check_terms(config, terms, client, str(account.address), say)
    check_stake(config, terms, client, str(account.address))
    say("fetching the genesis bundle")
    genesis = fetch_genesis(store, terms.genesis, home / "bundles", say)
    task = read_task_json((genesis / bundles.TASK).read_bytes())
    bundles.verify_bundle(bundles.open_bundle(genesis), bundles.genesis_of(client.chain_id))
    say(f"reading {config.data}")
    pictures = load(config.data, task.images)
    say(f"{len(pictures)} pictures, {len(pictures.skipped)} skipped")
    for skipped in pictures.skipped[:MAX_SKIPPED_LINES]:
        say(f"  skipped {skipped.path}: {skipped.reason}")
    train, test = split(pictures, config.test_share, config.seed)
    journal = Journal(home / "journal.sqlite")
    secret = NodeSecret.load_or_create(home / "secret", account, client.chain_id, client.address)
    data = hashlib.sha256(train.digest + test.digest + task.model_dump_json().encode()).digest()
    if forget_scores_on_other_data(journal, data):
        say("the pictures have changed since the last run: models are scored again")
    say("fingerprinting the training pictures")
    scorers = Scorers.load(genesis / bundles.SCORING, task.scoring, task.images)
    ruler = Ruler(
        scorers,
        task.scoring,
        train.images,
        train.labels,
        test.images,
        flip=task.images.flip,
        dinov2=config.dinov2,
        cache=home / "fingerprints",
    )
    return NodeContext(
        config=config,
        client=client,
        account=account,
        terms=terms,
        task=task,
        store=store,
        journal=journal,
        home=home,
        train=train,
        test=test,
        evaluator=Evaluator(task, ruler, secret.noise_seed(), journal),
        exclusions=Exclusions(journal),
        secret=secret,
        identity=Identity.load_or_create(home / "identity", str(account.address)),
        lock=lock,
    )


def check_creation(client: ContractClient) -> None:
    """Check, before a stake is at risk, that code and storage are those that the constructor writes. Raises NotPDFed."""
    fault = creation_fault(client)
    if fault:
        raise NotPDFed(client.address, fault)


def check_stake(config: NodeConfig, terms: Terms, client: ContractClient, address: str) -> None:
    """Check, before any download, that the stake reaches the minimum and the account can pay it. Raises StakeTooLow, Unfunded."""
    stake = terms.min_stake if config.stake is None else config.stake
    if stake < terms.min_stake:
        raise StakeTooLow(
            f"The stake is {stake} wei; the minimum of this task is {terms.min_stake} wei.",
            "Raise --stake, or leave it out to stake the minimum.",
        )
    if client.node(address).role == Role.NONE and client.balance(address) <= stake:
        raise Unfunded(address, stake, client.balance(address))


def take_lock(home: Path) -> IO[bytes]:
    """Lock the node's folder against other processes until the returned file is closed or the process ends. Raises NodeBusy."""
    lock = (home / "lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        lock.close()
        raise NodeBusy(
            f"Another process already runs this account's node in {home}.", "Stop that process, or use another --account."
        ) from fault
    return lock


def fetch_genesis(store: Store, digest: bytes, bundle_folder: Path, say: Callable[[str], None]) -> Path:
    """Return the folder of the genesis bundle, fetched from the store if it is not on disk; an interrupted download resumes.
    Every block is checked against its CID. Raises StoreError."""
    cid = cid_from_digest(digest)
    folder = bundle_folder / cid
    if not folder.is_dir():
        bundle_folder.mkdir(parents=True, exist_ok=True)
        last_line = time.monotonic()
        for received in store.fetch_steps(cid, folder, bundles.MAX_GENESIS_BYTES, GENESIS_SECONDS, resume=True):
            if time.monotonic() - last_line > SAY_SECONDS:
                last_line = time.monotonic()
                say(f"fetching the genesis bundle: {received / 1e6:.1f} MB")
    return folder
