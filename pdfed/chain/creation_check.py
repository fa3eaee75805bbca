# SPDX-License-Identifier: Apache-2.0
"""Checks that a contract was created by our constructor. Its code alone does not prove it.

A deployer may run other code that gives itself a stake in storage and then returns the very code that the constructor
would have returned. Only the transaction that created the contract shows which code ran.
"""

from __future__ import annotations

from collections.abc import Iterator

from pdfed.chain.abi import from_hex, same_but_metadata
from pdfed.chain.chain_errors import NodeUnreachable, NotPDFed, TransactionRefused
from pdfed.chain.client import ContractClient
from pdfed.chain.deployment_tx import contract_address

SEARCHED_BLOCKS = 256  # with the genesis's timestamp: some chains have several blocks in one second


def creation_fault(client: ContractClient) -> str:
    """Check that the contract's creation ran our constructor with its terms and nothing else; returns "" or the fault.

    The creation is searched in the blocks of the second that the contract gives as its birth; one that lies about its age is
    at fault, too. Raises NodeUnreachable.
    """
    try:
        expected = client.abi.creation_data(client.terms())
        init_code = next((code for address, code in _creations(client) if address == client.address), None)
    except (NotPDFed, TransactionRefused):
        return "it does not say how old it is"
    if init_code is None:
        return "its creation is not in the blocks of the second it says it is from"
    arguments = len(expected) - len(client.abi.creation)
    same = same_but_metadata(init_code[:-arguments], client.abi.creation) and init_code[-arguments:] == expected[-arguments:]
    return "" if same else "the transaction that created it ran other code than the constructor with its terms"


def _creations(client: ContractClient) -> Iterator[tuple[str, bytes]]:
    """Yield address and init code of every contract created by a transaction in the blocks of the genesis's second."""
    born, first = client.model(0).submitted_at, client.deployment_block
    for number in range(first, min(first + SEARCHED_BLOCKS, client.head().number + 1)):
        block = client.rpc.call("eth_getBlockByNumber", hex(number), True)
        if not isinstance(block, dict):
            raise NodeUnreachable(client.rpc.where, f"it has no block {number} any more")
        if int(block["timestamp"], 16) != born:
            return
        for transaction in block["transactions"]:
            if transaction.get("to") is None:
                yield contract_address(transaction["from"], int(transaction["nonce"], 16)), from_hex(transaction["input"])
