# SPDX-License-Identifier: Apache-2.0
"""Take part in a federation: `ape run node --network sepolia --contract 0x… --data ./my-pictures --account me`."""

import os
from pathlib import Path
from typing import Any

import click

from pdfed.chain.networks import network_option
from pdfed.cli import FriendlyCommand, account_option, config_option, contract_option, options_of
from pdfed.spec import NodeConfig, read_node_config


class NodeCommand(FriendlyCommand):
    resume_hint = "Stopped at once. Run the same command again to resume: the last checkpoint and every vote are kept."


@click.command(cls=NodeCommand)
@network_option
@contract_option()
@account_option()
@config_option()
@options_of(NodeConfig)
@click.option("--until-settled", type=click.IntRange(1), metavar="N", help="Stop once N models of the task are settled.")
@click.option("--until-published", type=click.IntRange(1), metavar="N", help="Stop once this node has published N models.")
def cli(
    network: str,
    contract: str,
    account: str,
    config: Path | None,
    until_settled: int | None,
    until_published: int | None,
    flags: dict[str, Any],
) -> None:
    """Run a node: train, submit, and vote on others' models.

    The node registers with its stake, follows the contract, scores others' models on its private pictures, and trains and
    submits models of its own. Ctrl-C stops it after the current step; the same command resumes.
    """
    node_config = read_node_config(config, flags)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    click.echo("Loading…")
    import torch

    torch.set_num_threads(node_config.threads)
    from pdfed.chain.accounts import load_account
    from pdfed.chain.client import ContractClient
    from pdfed.chain.networks import connected
    from pdfed.node import Node, open_context
    from pdfed.node.loop import StopRequest, run_loop
    from pdfed.storage import open_store

    store = open_store(node_config.store)
    with connected(network):
        client = ContractClient.at(contract)
        ctx = open_context(node_config, client, load_account(account), store, click.echo)
        node = Node(ctx)
        stop = StopRequest()
        stop.listen(click.echo)
        click.echo(f"{node_config.role} {ctx.address} on {client.address}. Ctrl-C stops after the current step.")
        try:
            run_loop(node, stop, click.echo, until_settled=until_settled, until_published=until_published)
        finally:
            node.close()
    click.echo(f"Stopped. Resume with: ape run node --network {network} --contract {contract} --account {account} …")
