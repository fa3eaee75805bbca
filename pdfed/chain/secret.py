# SPDX-License-Identifier: Apache-2.0
"""What only one account can derive for one contract: salts, pads, noise. Rebuilt from the wallet alone if the file is lost.

The root is a hash of the account's deterministic signature (RFC 6979) of a message that names chain and contract; everything
else is HMAC-SHA256 of the root, so no derived value tells anything of another.
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
TAG_BYTES = 12  # of the 32-byte word: what tells a right pad from a wrong one


class NodeSecret:
    """The root secret of one account on one contract. Never leaves the machine."""

    def __init__(self, root: bytes) -> None:
        if len(root) != 32:
            raise ValueError(f"a root secret has 32 bytes, not {len(root)}")
        self._root = root

    @classmethod
    def load_or_create(cls, path: Path, account: Any, chain_id: int, contract: str) -> NodeSecret:
        """The secret kept at `path` (owner-readable only), or derived anew from the account and kept there."""
        try:
            kept = bytes.fromhex(path.read_text().strip())
        except (OSError, ValueError):
            kept = b""
        if len(kept) == 32:
            path.chmod(0o600)
            return cls(kept)
        root = hashlib.sha256(wallet_signer(account)(secret_message(chain_id, contract))).digest()
        write_atomic(path, root.hex() + "\n", mode=OWNER_ONLY)
        return cls(root)

    def salt(self, bundle: bytes, id: int) -> bytes:
        """32 bytes that hide the vote on a model until it is revealed."""
        return self._derive(b"salt", _model(bundle, id))

    def seal(self, score: Score, bundle: bytes, id: int) -> bytes:
        """32 bytes from which only this secret gets the score back."""
        plain = (
            score.qn.to_bytes(8, "big") + score.baseline_qn.to_bytes(8, "big") + score.memorized.to_bytes(SCORE_BYTES - 16, "big")
        )
        return _xor(plain + self._tag(plain, bundle, id), self._pad(bundle, id))

    def unseal(self, sealed: bytes, bundle: bytes, id: int) -> Score:
        """The score in a sealed word. Raises SealBroken if it was sealed by someone else or for another model."""
        opened = _xor(sealed, self._pad(bundle, id)) if len(sealed) == 32 else bytes(32)
        plain, tag = opened[:SCORE_BYTES], opened[SCORE_BYTES:]
        if not hmac.compare_digest(tag, self._tag(plain, bundle, id)):
            raise SealBroken(
                f"The sealed score of model {id} does not open with this node's secret.",
                "Run the node with the account that committed the vote; if it is the right one, delete its file `secret`.",
            )
        return Score(*(int.from_bytes(plain[start:end], "big") for start, end in ((0, 8), (8, 16), (16, 20))))

    def noise_seed(self) -> bytes:
        """32 bytes that seed the sampling noise of this node's scores: the same for a model and its baseline."""
        return self._derive(b"noise")

    def dataset_salt(self) -> bytes:
        """32 bytes that hide pictures in the dataset's Merkle root."""
        return self._derive(b"dataset")

    def _pad(self, bundle: bytes, id: int) -> bytes:
        return self._derive(b"pad", _model(bundle, id))

    def _tag(self, plain: bytes, bundle: bytes, id: int) -> bytes:
        return self._derive(b"tag", _model(bundle, id) + plain)[:TAG_BYTES]

    def _derive(self, purpose: bytes, context: bytes = b"") -> bytes:
        return hmac.digest(self._root, purpose + b"\0" + context, "sha256")


def secret_message(chain_id: int, contract: str) -> dict[str, Any]:
    """The EIP-712 message that the root is derived from. Whoever gets it signed can open the account's votes early."""
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
