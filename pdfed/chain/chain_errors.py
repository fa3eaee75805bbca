# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a chain, an account or a transaction. Each says its figures and what to do next."""

from __future__ import annotations

from pdfed.errors import PDFedError

ETHER = 10**18


class ChainError(PDFedError):
    """Root of this room's errors."""


class NodeUnreachable(ChainError):
    """The Ethereum node behind the network's name does not answer."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(
            f"The Ethereum node {where} does not answer: {why}.",
            "Check the connection and the URL after --network, or wait: everything goes on from where it was.",
        )


class WrongNetwork(ChainError):
    """The chain that answers is another one than was named."""


class NoSuchNetwork(ChainError):
    """No ecosystem and no network of the default ecosystem has this name."""


class NotPDFed(ChainError):
    """There is no PDFed contract of this version at an address."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(
            f"{address} is no PDFed contract: {why}.",
            "Check --contract and --network: `ape run deploy` printed both.",
        )


class NotCompiled(ChainError):
    """The contract's sources can't be compiled."""


class NoSuchAccount(ChainError):
    """No Ape account has this alias."""


class AccountLocked(ChainError):
    """The account's key can't be used without asking."""


class Unfunded(ChainError):
    """An account has too little ether for what it is to pay. `need`, `has`: wei."""

    def __init__(self, address: str, need: int, has: int) -> None:
        super().__init__(
            f"{address} has {has / ETHER:.6f} ETH and needs {need / ETHER:.6f} ETH, gas included.",
            f"Send it at least {(need - has) / ETHER:.6f} ETH and run the command again.",
        )
        self.address = address
        self.need = need
        self.has = has


class TransactionRefused(ChainError):
    """The contract refuses a transaction. `reason`: its error with figures."""

    def __init__(self, what: str, reason: str, remedy: str = "Nothing was sent. Look at `ape run status` and try again.") -> None:
        super().__init__(f"The contract refuses {what}: {reason}.", remedy)
        self.reason = reason


class NotMined(ChainError):
    """A transaction was sent, but not mined in time."""


class ReorgTooDeep(ChainError):
    """The chain was rewritten deeper than the journal remembers. Call `EventFeed.resync()`."""


class LogsRefused(ChainError):
    """The Ethereum node refuses to answer for the events of a single block."""


class SealBroken(ChainError):
    """A sealed score was not sealed with this secret, or for this model."""
