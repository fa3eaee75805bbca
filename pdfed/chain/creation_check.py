# SPDX-License-Identifier: Apache-2.0
"""Was a contract made by these sources' constructor? Its code alone does not say.

Whoever deploys may run other code first: it can give itself a stake in storage, and then return the very code that the
constructor would have returned. Only the transaction that made the contract shows what was run.
"""

from __future__ import annotations

from collections.abc import Iterator

from pdfed.chain.abi import from_hex, same_but_metadata
from pdfed.chain.chain_errors import NodeUnreachable, NotPDFed, TransactionRefused
from pdfed.chain.client import ContractClient
from pdfed.chain.deployment_tx import contract_address

SEARCHED_BLOCKS = 256  # of the genesis's second: some chains have several blocks in one


def creation_fault(client: ContractClient) -> str:
    """ "" if the transaction that made the contract ran its constructor with its terms and nothing else, or what is wrong.

    A contract may lie about its age, and so about where that transaction is: then it is not found. Raises NodeUnreachable.
    """
    try:
        expected = client.abi.construction(client.terms())
        ran = next((code for address, code in _creations(client) if address == client.address), None)
    except (NotPDFed, TransactionRefused):
        return "it does not say how old it is"
    if ran is None:
        return "the transaction that made it is not in the blocks of the second it says it is from"
    arguments = len(expected) - len(client.abi.creation)
    same = same_but_metadata(ran[:-arguments], client.abi.creation) and ran[-arguments:] == expected[-arguments:]
    return "" if same else "the transaction that made it ran other code than the constructor with its terms"


def _creations(client: ContractClient) -> Iterator[tuple[str, bytes]]:
    """Address and code run, of every contract that a transaction made in the blocks of the genesis's second."""
    born, first = client.model(0).submitted_at, client.deployment_block
    for number in range(first, min(first + SEARCHED_BLOCKS, client.head().number + 1)):
        block = client.rpc.call("eth_getBlockByNumber", hex(number), True)
        if not isinstance(block, dict):
            raise NodeUnreachable(client.rpc.where, f"it has no block {number} any more")
        if int(block["timestamp"], 16) != born:
            return
        for made in block["transactions"]:
            if made.get("to") is None:
                yield contract_address(made["from"], int(made["nonce"], 16)), from_hex(made["input"])
