# SPDX-License-Identifier: Apache-2.0
"""Read a federation from its contract's event log: models, votes, money. Needs an Ethereum node, but no account and no store.

python examples/read_a_federation.py --network ethereum:sepolia:https://… --contract 0x…
"""

import argparse
import sys

from pdfed.chain.client import ContractClient
from pdfed.chain.feed import read_ledger
from pdfed.chain.networks import connected
from pdfed.errors import PDFedError
from pdfed.mechanism import STEPS_PER_HALVING


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--network", required=True)
    arguments.add_argument("--contract", required=True)
    options = arguments.parse_args()

    with connected(options.network):
        ledger = read_ledger(ContractClient.at(options.contract))
    print(f"pool {ledger.pool / 10**18:.4f} ETH, {len(ledger.nodes)} nodes, champion: model {ledger.champion}")
    for model in ledger.models.values():
        votes = ledger.votes.get(model.id, ())
        halvings = model.level / STEPS_PER_HALVING
        print(f"model {model.id} by {model.author}: parents {list(model.parents)}, {halvings:.2f} halvings, {len(votes)} votes")
        for vote in votes:
            print(f"  {vote.voter}: Q-N {vote.score.qn / 1e6:.2f}, baseline {vote.score.baseline_qn / 1e6:.2f}")


if __name__ == "__main__":
    try:
        main()
    except PDFedError as fault:
        sys.exit(f"Error: {fault}")
