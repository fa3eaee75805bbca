# SPDX-License-Identifier: Apache-2.0
"""Python side of `contracts/test/Recipient.sol`, a participant that misbehaves when it is paid."""

from __future__ import annotations

from typing import Any

from eth_utils import to_checksum_address

from .chain import Interface, Node

ACCEPT, REFUSE, REENTER, WASTE_GAS, RETURN_MUCH = range(5)


class Recipient:
    """A contract whose behaviour on a payment the test chooses."""

    def __init__(self, node: Node, contract_type: Any, owner: str, value: int = 0) -> None:
        self.node, self.owner, self.interface = node, owner, Interface(contract_type)
        receipt, failure = node.send(owner, None, self.interface.deployment, value)
        assert failure is None
        self.address = to_checksum_address(receipt["contractAddress"])

    def do(self, function: str, *args: Any, value: int = 0) -> bytes | None:
        return self.node.send(self.owner, self.address, self.interface.call_data(function, args), value)[1]

    def view(self, function: str) -> Any:
        data = "0x" + self.interface.call_data(function, ()).hex()
        reply = self.node.rpc("eth_call", {"to": self.address, "data": data}, "latest")
        return self.interface.result(function, bytes.fromhex(reply[2:]))
