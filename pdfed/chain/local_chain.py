# SPDX-License-Identifier: Apache-2.0
"""A local chain for the demo and the tests: an anvil that Ape starts and stops."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from pdfed.chain.accounts import quiet
from pdfed.chain.chain_errors import NodeUnreachable
from pdfed.chain.rpc import Rpc


class LocalChain:
    """`with LocalChain() as chain:` starts anvil on a free port, connects Ape to it, and stops it at the end.

    Every transaction is mined at once. The clock is this machine's, plus the seconds of `advance`; after `stop_clock` it is a
    second per block. Raises NodeUnreachable.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> LocalChain:
        import ape

        settings = {"host": f"http://127.0.0.1:{free_port()}"}
        try:
            with quiet():
                provider = self._stack.enter_context(
                    ape.networks.ethereum.local.use_provider("foundry", provider_settings=settings, disconnect_after=True)
                )
        except Exception as fault:  # Ape, its plugin, or the system
            raise NodeUnreachable("anvil", f"it could not be started: {' '.join(str(fault).split())[:200]}") from fault
        self.rpc = Rpc(provider.web3.provider)
        self.url = str(settings["host"])
        self.chain_id = self.rpc.chain_id()
        self.mine()  # block 0 has no randomness, without which a contract with a jury can't be deployed
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        with quiet():
            self._stack.close()

    def account(self, index: int) -> Any:
        """Test account number `index`, with 10,000 ETH."""
        import ape

        return ape.accounts.test_accounts[index]

    def advance(self, seconds: int) -> None:
        """Move the clock forward, and mine a block."""
        self.rpc.call("evm_increaseTime", hex(seconds))
        self.mine()

    def stop_clock(self) -> None:
        """Let each block be a second later than the one before it, whatever this machine's clock says."""
        self.rpc.call("anvil_setBlockTimestampInterval", 1)

    def advance_to(self, time: int) -> None:
        """Mine a block at this time (Unix seconds), later than the newest block's."""
        self.rpc.call("evm_setNextBlockTimestamp", time)
        self.mine()

    def mine(self, blocks: int = 1) -> None:
        """Mine empty blocks."""
        self.rpc.call("anvil_mine", hex(blocks))


def free_port() -> int:
    """A TCP port of this machine that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
