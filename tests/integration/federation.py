# SPDX-License-Identifier: Apache-2.0
"""A tiny federation in one process: real chain, contract, store, manifests, training and scoring; small enough for a test."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdfed.chain.accounts import wallet_signer
from pdfed.chain.client import ContractClient
from pdfed.chain.local_chain import LocalChain
from pdfed.deployment import contract_terms
from pdfed.genesis import Genesis, make_genesis
from pdfed.node import Node, open_context
from pdfed.spec import NodeConfig, TaskFile, read_task_file
from pdfed.storage import LocalStore

WINDOW = 600
POOL = 10**18


def tiny_task() -> TaskFile:
    """The digits preset, small enough for a test."""
    preset = read_task_file("digits")
    task = preset.task.model_dump()
    task["network"]["channels"] = (16,)
    task["sampling"] |= {"steps": 3, "images": 60}
    task["scoring"] |= {"training_images": 1500}
    terms = preset.terms.model_dump() | {"commit_window": WINDOW, "reveal_window": WINDOW, "unbonding": 2 * WINDOW, "min_gain": 1}
    return TaskFile.model_validate({"task": task, "terms": terms, "public": "digits:0-1/6", "genesis_images": 640})


@dataclass
class Federation:
    """A contract on a local chain, and the store and folders of its nodes."""

    chain: LocalChain
    client: ContractClient
    store: LocalStore
    root: Path

    def node(self, index: int, role: str = "trainer", **choices: Any) -> Node:
        """Open, or open again, the node of the index-th account (1…)."""
        config = NodeConfig(
            role=role,  # type: ignore[arg-type]
            data=f"digits:{index}-{index + 1}/6",
            home=str(self.root / "nodes"),
            images_per_submission=choices.pop("images_per_submission", 256),
            submit_worse=True,
            **choices,
        )
        return Node(open_context(config, self.client, self.chain.account(index), self.store, lambda line: None))

    def join(self, *nodes: Node) -> None:
        """Register all of them before anyone trains: only nodes that joined before a model vote on it."""
        trains = [node.training for node in nodes]
        for node in nodes:
            node.training = False
        self.run(*nodes, until=lambda: all(len(node.ledger.nodes) == len(nodes) for node in nodes))
        self.chain.advance(1)
        for node, training in zip(nodes, trains, strict=True):
            node.training = training

    def run(self, *nodes: Node, until: Any, steps: int = 20_000) -> None:
        """Step the nodes in turn until `until()` holds."""
        for _ in range(steps):
            for node in nodes:
                node.step()
            if until():
                return
            time.sleep(0.002)  # no busy loop while a node waits for content
        raise AssertionError(f"not reached in {steps} turns: " + "; ".join(node.step().text for node in nodes))


def make_federation_genesis(chain: LocalChain, root: Path) -> Genesis:
    sponsor = chain.account(0)
    return make_genesis(tiny_task(), root, str(sponsor.address), chain.chain_id, wallet_signer(sponsor), lambda line: None)


def deploy(chain: LocalChain, genesis: Genesis, root: Path, **changes: Any) -> Federation:
    """Deploy a contract. changes: fields of TermsSpec."""
    sponsor = chain.account(0)
    store = LocalStore(root / "store")
    store.add(genesis.folder)
    spec = tiny_task().terms.model_copy(update=changes)
    terms = contract_terms(spec, genesis, str(sponsor.address), voters=2, pool=POOL, local=True)
    return Federation(chain, ContractClient.deploy(terms, POOL, sponsor), store, root)


def kill(node: Node) -> None:
    """Leave a node as kill -9 would: nothing saved, file locks released."""
    node.ctx.close()
