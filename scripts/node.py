# SPDX-License-Identifier: Apache-2.0
"""Take part: `ape run node --network sepolia --contract 0x… --data ./my-pictures --account me`."""

import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import click

from pdfed.chain.networks import network_option
from pdfed.cli import FriendlyCommand
from pdfed.spec import read_node_config

IDLE_SECONDS = 1.0
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 2.0, 60.0  # while the chain or the store does not answer


class NodeCommand(FriendlyCommand):
    resume_hint = "Stopped at once. Run the same command again to go on: the last checkpoint and every vote are kept."


@click.command(cls=NodeCommand)
@network_option
@click.option("--contract", required=True, help="Address of the task's contract.")
@click.option("--account", required=True, help="Alias of an Ape account.")
@click.option("--config", type=click.Path(path_type=Path), default=None, help="YAML file of the choices below; flags win.")
@click.option("--data", default=None, help="Private pictures: a folder, an .npz, or digits:a-b/n.")
@click.option(
    "--role", type=click.Choice(["trainer", "validator"]), default=None, help="A validator only scores.  [default: trainer]"
)
@click.option(
    "--store",
    default=None,
    help="Where bundles are read and published: local:PATH, kubo:HOST:PORT, gateway:URL (read only), or several with commas, "
    "tried in turn.  [default: local:.pdfed/store]",
)
@click.option("--keep-last", type=int, default=None, help="Settled models kept besides the champion's lineage and the own.")
@click.option("--quota-mb", type=int, default=None, help="MB of bundles kept on disk and pinned in the store.")
@click.option("--home", default=None, help="Folder of journals and checkpoints.  [default: .pdfed]")
@click.option("--stake", default=None, help='Such as "0.1 ether".  [default: the minimum of the task]')
@click.option("--images-per-submission", type=int, default=None, help="Training budget of one submission, images seen.")
@click.option("--max-submissions", type=int, default=None, help="Stop training after so many; go on voting.")
@click.option("--objective", type=click.Choice(["qn", "qn+dedup"]), default=None, help="qn+dedup leaves out memorised pictures.")
@click.option("--believe", type=click.Choice(["self", "all", "trainers", "validators"]), default=None, help="Whose votes count.")
@click.option("--parent", type=click.Choice(["best", "mean"]), default=None, help="What to continue from.")
@click.option("--submit-worse", is_flag=True, default=None, help="Submit even what does not beat the champion on own data.")
@click.option("--confirmations", type=int, default=None, help="Blocks an event must be deep before it counts.")
@click.option(
    "--dinov2", default=None, help="For tasks scored with DINOv2: a folder of its weights.  [default: those in the hub's cache]"
)
@click.option("--threads", type=int, default=None, help="CPU threads of torch.")
@click.option("--seed", type=int, default=None)
@click.option("--until-settled", type=int, default=None, help="Stop once so many models are settled.")
@click.option("--until-published", type=int, default=None, help="Stop once this node has published so many models.")
def cli(
    network: str,
    contract: str,
    account: str,
    config: Path | None,
    until_settled: int | None,
    until_published: int | None,
    **flags: Any,
) -> None:
    """Run a node: follow the contract, score others' models on own pictures, train, submit. Ctrl-C stops it."""
    choices = read_node_config(config, {name: value for name, value in flags.items() if value is not None})
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    click.echo("Loading…")
    import torch

    torch.set_num_threads(choices.threads)
    from pdfed.chain.accounts import load_account
    from pdfed.chain.client import ContractClient
    from pdfed.chain.networks import connected
    from pdfed.node import Node, open_context
    from pdfed.storage import open_store

    store = open_store(choices.store)
    with connected(network):
        client = ContractClient.at(contract)
        wallet = load_account(account)
        ctx = open_context(choices, client, wallet, store, click.echo)
        node = Node(ctx)
        stop = _on_interrupt()
        click.echo(f"{choices.role} {ctx.address} on {client.address}. Ctrl-C stops after the step in hand.")
        try:
            _loop(node, stop, until_settled, until_published)
        finally:
            node.close()
    click.echo(f"Stopped. Go on with: ape run node --network {network} --contract {contract} --account {account} …")


def _loop(node: Any, stop: list[bool], until_settled: int | None, until_published: int | None) -> None:
    from pdfed.chain.chain_errors import NodeUnreachable
    from pdfed.storage import StoreUnreachable

    shown, wait, waiting_for = 0.0, FIRST_WAIT_SECONDS, ""
    while not stop:
        try:
            done = node.step()
        except (NodeUnreachable, StoreUnreachable) as fault:
            click.echo(f"{time.strftime('%H:%M:%S')} {type(fault).__name__}: {fault.cause} Trying again in {wait:.0f} s.")
            _rest(wait, stop)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
            continue
        wait = FIRST_WAIT_SECONDS
        if until_published is not None and node.submissions.published() >= until_published:
            return
        if done.kind == "idle":
            if until_settled is not None and not node.busy and node.settled >= until_settled:
                return
            if done.text != waiting_for:
                waiting_for = done.text
                click.echo(f"{time.strftime('%H:%M:%S')} {done.kind}: {done.text}")
            _rest(IDLE_SECONDS, stop)
        elif done.kind not in ("train", "score") or time.monotonic() - shown > 2:
            shown = time.monotonic()
            click.echo(f"{time.strftime('%H:%M:%S')} {done.kind}: {done.text}")


def _rest(seconds: float, stop: list[bool]) -> None:
    """Sleep, but wake for Ctrl-C."""
    end = time.monotonic() + seconds
    while not stop and time.monotonic() < end:
        time.sleep(0.1)


def _on_interrupt() -> list[bool]:
    """The first Ctrl-C asks the loop to stop, the second one interrupts it."""
    asked: list[bool] = []

    def handler(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(True)
        click.echo("\nFinishing the step in hand… (Ctrl-C again stops at once)")

    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)
    return asked
