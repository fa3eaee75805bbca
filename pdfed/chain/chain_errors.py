# SPDX-License-Identifier: Apache-2.0
"""Errors of a chain, an account or a transaction. Each gives its figures and what to do next."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pdfed.errors import PDFedError

ETHER = 10**18
_NAMED = re.compile(r"([A-Z]\w*)\((\w+=[^,]*(?:, \w+=[^,]*)*)?\)")


@dataclass(frozen=True)
class ContractError:
    """Reason why a call or transaction had no effect. A value, not an exception.

    `name`, `figures`: the contract's error and its arguments by name; numbers are int, all others str (addresses, 0x-hex,
    names of enum members). `text`: any other reason, such as "expired" or the node's own words; `name` is "" then.
    """

    name: str = ""
    figures: Mapping[str, int | str] = field(default_factory=dict, hash=False)
    text: str = ""

    def __str__(self) -> str:
        """`Name(argument=figure, …)`, or `text`. The journal stores this form; `parse` reads it."""
        if not self.name:
            return self.text
        return f"{self.name}({', '.join(f'{name}={figure}' for name, figure in self.figures.items())})"

    @classmethod
    def parse(cls, text: str) -> ContractError:
        """The inverse of `str()`. Text of another form is taken as it is."""
        match = _NAMED.fullmatch(text)
        if match is None:
            return cls(text=text)
        pairs = (pair.partition("=") for pair in match[2].split(", ")) if match[2] else ()
        return cls(match[1], {name: int(figure) if _is_integer(figure) else figure for name, _, figure in pairs})


def _is_integer(figure: str) -> bool:
    return re.fullmatch(r"0|-?[1-9][0-9]{0,77}", figure) is not None  # 78 digits: uint256


class ChainError(PDFedError):
    """Base class of the errors in this package."""


class NodeUnreachable(ChainError):
    """The Ethereum node behind the network's name does not answer."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(
            f"The Ethereum node {where} does not answer: {why}.",
            "Check the connection and the URL after --network, or wait: an interrupted run resumes.",
        )


class WrongNetwork(ChainError):
    """The node belongs to another chain than the one named."""


class NoSuchNetwork(ChainError):
    """No ecosystem and no network of the default ecosystem has this name."""


class NotPDFed(ChainError):
    """No PDFed contract of this version is at an address."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(
            f"{address} is no PDFed contract: {why}.",
            "Check --contract and --network: `ape run deploy` printed both.",
        )


class NotPDFedUse(ChainError):
    """The address holds no PDFedUse contract of this version for this task."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(
            f"{address} is no PDFedUse contract: {reason}.", "Check the address after --use: `ape run deploy --use` prints it."
        )


class NotCompiled(ChainError):
    """There is no compiled contract: its sources can't be compiled, or the package lacks it."""


class NoSources(ChainError):
    """The contract's Solidity sources are needed, and only a checkout has them."""


class NoSuchAccount(ChainError):
    """No Ape account has this alias."""


class AccountLocked(ChainError):
    """The account's key can't be used without a passphrase or a confirmation."""


class Unfunded(ChainError):
    """An account has too little ether. `need`, `has`: wei."""

    def __init__(self, address: str, need: int, has: int) -> None:
        super().__init__(
            f"{address} has {has / ETHER:.6f} ETH and needs {need / ETHER:.6f} ETH, gas included.",
            f"Send it at least {(need - has) / ETHER:.6f} ETH and run the command again.",
        )
        self.address = address
        self.need = need
        self.has = has


class TransactionRefused(ChainError):
    """The contract refuses a call. `action`: words that follow "refuses"; `error`: the reason."""

    def __init__(
        self, action: str, error: ContractError, remedy: str = "Nothing was sent. Look at `ape run status` and try again."
    ) -> None:
        super().__init__(f"The contract refuses {action}: {error}.", remedy)
        self.error = error


class NoRandomness(ChainError):
    """The chain has no beacon randomness, from which juries are drawn."""

    def __init__(self) -> None:
        super().__init__(
            "This chain's blocks carry no randomness (EIP-4399), so that no jury can be drawn on it.",
            "Set `jury: 0` in the task's terms, or deploy on another chain.",
        )


class NotMined(ChainError):
    """A transaction was sent, but not mined in time."""


class ReorgTooDeep(ChainError):
    """The chain was rewritten deeper than the journal remembers. The feed then starts again from the first block."""


class LogsRefused(ChainError):
    """The Ethereum node refuses to return the events of a single block."""


class SealBroken(ChainError):
    """A sealed score was sealed with another secret, or for another model."""
