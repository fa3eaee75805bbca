# SPDX-License-Identifier: Apache-2.0
"""Secrets of one account for one contract: salts, pads and noise seeds. The wallet alone can rebuild them.

The root is a hash of the account's deterministic signature (RFC 6979) of a message that names chain and contract. All other
values are HMAC-SHA256 of the root, so that none reveals another.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any

from pdfed.atomic import OWNER_ONLY, write_atomic
from pdfed.chain.accounts import wallet_signer
from pdfed.chain.chain_errors import SealBroken
from pdfed.mechanism import Score

SCORE_BYTES = 20  # 8 + 8 + 4
TAG_BYTES = 12  # rest of the 32-byte word: a MAC, which tells the right pad from a wrong one


class NodeSecret:
    """Root secret of one account for one contract. It never leaves the machine."""

    def __init__(self, root: bytes) -> None:
        if len(root) != 32:
            raise ValueError(f"a root secret has 32 bytes, not {len(root)}")
        self._root = root

    @classmethod
    def load_or_create(cls, path: Path, account: Any, chain_id: int, contract: str) -> NodeSecret:
        """Read the secret from `path`, or derive it from the account and write it there, readable by its owner only.

        Raises AccountLocked.
        """
        try:
            stored = bytes.fromhex(path.read_text().strip())
        except (OSError, ValueError):
            stored = b""
        if len(stored) == 32:
            path.chmod(0o600)
            return cls(stored)
        root = hashlib.sha256(wallet_signer(account)(secret_message(chain_id, contract))).digest()
        write_atomic(path, root.hex() + "\n", mode=OWNER_ONLY)
        return cls(root)

    def salt(self, bundle: bytes, id: int) -> bytes:
        """32 bytes that hide the vote on a model until it is revealed."""
        return self._derive(b"salt", _model(bundle, id))

    def seal(self, score: Score, bundle: bytes, id: int) -> bytes:
        """Encrypt a score to 32 bytes that only this secret opens: score and MAC, XORed with a pad per model."""
        plain = (
            score.qn.to_bytes(8, "big") + score.baseline_qn.to_bytes(8, "big") + score.memorized.to_bytes(SCORE_BYTES - 16, "big")
        )
        return _xor(plain + self._tag(plain, bundle, id), self._pad(bundle, id))

    def unseal(self, sealed: bytes, bundle: bytes, id: int) -> Score:
        """Decrypt a sealed score. Raises SealBroken if it was sealed by someone else or for another model."""
        opened = _xor(sealed, self._pad(bundle, id)) if len(sealed) == 32 else bytes(32)
        plain, tag = opened[:SCORE_BYTES], opened[SCORE_BYTES:]
        if not hmac.compare_digest(tag, self._tag(plain, bundle, id)):
            raise SealBroken(
                f"The sealed score of model {id} does not open with this node's secret.",
                "Run the node with the account that committed the vote; if it is the right one, delete its file `secret`.",
            )
        return Score(*(int.from_bytes(plain[start:end], "big") for start, end in ((0, 8), (8, 16), (16, 20))))

    def noise_seed(self) -> bytes:
        """32 bytes that seed the sampling noise of this node's scores. Equal for all models, a baseline included."""
        return self._derive(b"noise")

    def dataset_salt(self) -> bytes:
        """32 bytes that blind the leaves of the dataset's Merkle tree."""
        return self._derive(b"dataset")

    def _pad(self, bundle: bytes, id: int) -> bytes:
        return self._derive(b"pad", _model(bundle, id))

    def _tag(self, plain: bytes, bundle: bytes, id: int) -> bytes:
        return self._derive(b"tag", _model(bundle, id) + plain)[:TAG_BYTES]

    def _derive(self, purpose: bytes, context: bytes = b"") -> bytes:
        return hmac.digest(self._root, purpose + b"\0" + context, "sha256")


def secret_message(chain_id: int, contract: str) -> dict[str, Any]:
    """EIP-712 message whose signature gives the root. Whoever has that signature can open the account's votes early."""
    return {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "NodeSecret": [{"name": "warning", "type": "string"}],
        },
        "primaryType": "NodeSecret",
        "domain": {"name": "PDFed", "version": "1", "chainId": chain_id, "verifyingContract": contract},
        "message": {"warning": "Sign this in your own PDFed node only: the signature is the key to your unrevealed votes."},
    }


def _model(bundle: bytes, id: int) -> bytes:
    return bundle + id.to_bytes(4, "big")


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
