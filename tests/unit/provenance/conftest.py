# SPDX-License-Identifier: Apache-2.0
"""Authors with real wallets, and a family of tiny models that they derive from each other's."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from safetensors.numpy import save_file

from pdfed.provenance import AuthorScore, Claim, Identity, Parent, TrainingFacts, dataset_root, sign_model

CHAIN, CONTRACT = 31337, "0x" + "12" * 20
FACTS = TrainingFacts(
    objective="ddpm",
    optimiser="AdamW",
    images_seen=12_800,
    steps=100,
    seed=7,
    exchange="full",
    private_images=50,
    dataset_root=dataset_root([b"\x01" * 32, b"\x02" * 32], b"s" * 32).hex(),
    excluded=2,
    epsilon=None,
)


def cid_of_digest(digest: bytes) -> str:
    """CID of a bundle: CIDv1, dag-pb, sha2-256, base32."""
    return "b" + base64.b32encode(b"\x01\x70\x12\x20" + digest).decode().lower().rstrip("=")


class Person:
    """A wallet, its identity, and a folder for models."""

    def __init__(self, name: str, folder: Path) -> None:
        self.account = Account.from_key(hashlib.sha256(name.encode()).digest())
        self.address: str = self.account.address
        self.folder = folder
        self.identity = Identity.load_or_create(folder / f"identity-{name}", self.address)

    def sign(self, message: dict) -> bytes:
        return bytes(self.account.sign_message(encode_typed_data(full_message=message)).signature)

    def claim(self, parents: Sequence[Parent] = ()) -> Claim:
        return Claim(self.address, CHAIN, CONTRACT, tuple(parent.digest for parent in parents))

    def weights(self, title: str) -> Path:
        file = self.folder / f"{title}.safetensors"
        seed = int.from_bytes(hashlib.sha256(title.encode()).digest()[:4], "big")
        save_file({"w": np.random.default_rng(seed).normal(size=8).astype(np.float16)}, file, metadata={"format": "pt"})
        return file

    def make(
        self, title: str, parents: Sequence[Parent] = (), facts: TrainingFacts = FACTS, author_score: AuthorScore | None = None
    ) -> Parent:
        """Sign a model, ready to be the parent of others."""
        file = self.weights(title)
        manifest = sign_model(
            file,
            title=title,
            claim=self.claim(parents),
            parents=parents,
            facts=replace(facts, images_seen=facts.images_seen + len(title)) if facts.images_seen else facts,
            weights_cid=cid_of_digest(hashlib.sha256(file.read_bytes()).digest()),
            identity=self.identity,
            sign=self.sign,
            author_score=author_score,
        )
        digest = hashlib.sha256(b"bundle of " + title.encode()).digest()
        return Parent(digest, cid_of_digest(digest), file, manifest, title)


@pytest.fixture()
def person(tmp_path: Path) -> Callable[[str], Person]:
    return lambda name: Person(name, tmp_path)


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Parent]:
    """genesis → left, right → merge (of both) → child; by two authors."""
    folder = tmp_path_factory.mktemp("family")
    ada, ben = Person("ada", folder), Person("ben", folder)
    genesis = ada.make("genesis")
    left, right = ada.make("left", [genesis]), ben.make("right", [genesis])
    merge = ben.make("merge", [left, right])
    return {"genesis": genesis, "left": left, "right": right, "merge": merge, "child": ada.make("child", [merge])}
