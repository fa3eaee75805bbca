# SPDX-License-Identifier: Apache-2.0
"""Writes docs/gas.md: our snapshot beside the gas of other contracts. `make gas` measures it."""

from __future__ import annotations

from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "gas.md"

# Gas of other contracts, as measured on their own: (call, gas).
PEERS = {
    "Joining": [("other federated-learning contracts, register", "48,000–230,000")],
    "Submitting": [("other federated-learning contracts, submit", "67,000–414,000"), ("EAS, attest", "230,000–252,000")],
    "Voting": [
        ("OpenZeppelin Governor, castVote (open, no commit)", "66,000–85,000"),
        ("BlockFLow, commit and reveal", "107,000 + 148,000"),
        ("Gensyn, one vote (grows with the voters)", "140,000–10,000,000"),
    ],
}

# Our calls: label of the snapshot → words for the page.
OURS = {
    "Joining": {"register, first": "register, the first node", "register": "register, a later node", "topUp": "topUp"},
    "Submitting": {"submit": "submit, one parent", "submit, four parents": "submit, four parents"},
    "Voting": {
        "commitVote": "commitVote",
        "commitVote, opening the reveals": "commitVote, the last one, which opens the reveals",
        "drawJury": "drawJury",
        "commitVote, drawing the jury": "commitVote, the first one of a jury, which draws it",
        "commitVote, of a juror": "commitVote, of another juror",
        "revealVote, first of a model": "revealVote, the first in its part of the histogram",
        "revealVote": "revealVote, a later one",
        "lateVote": "lateVote",
    },
    "Settling": {
        "settle, Unscored": "settle, Unscored",
        "settle, Scored": "settle, Scored, below `minGain`",
        "settle, first champion": "settle, the first champion",
        "settle, second champion": "settle, the second champion: first royalties, last bucket (the worst case)",
        "settle, later champion": "settle, a later champion",
        "settle, of a jury": "settle, a champion by a jury, last bucket",
        "forfeit": "forfeit",
    },
    "Money": {
        "claimFees": "claimFees, one model",
        "claimFees, three": "claimFees, three models",
        "claimRoyalties": "claimRoyalties, one model",
        "withdraw, to oneself": "withdraw, to oneself",
        "withdraw, to another": "withdraw, to another account",
        "withdraw, by a payee": "withdraw, by a payee to itself",
        "setPayee": "setPayee",
        "multicall, two claims": "multicall of two claims",
        "fund": "fund",
        "reclaim": "reclaim",
    },
    "Coming and going": {
        "keepAlive": "keepAlive",
        "requestExit": "requestExit",
        "cancelExit": "cancelExit",
        "claimStake": "claimStake",
        "retire": "retire",
    },
    "Income from use": {
        "PDFedUse: offer, first": "offer, the first of a model",
        "PDFedUse: offer": "offer, a later one",
        "PDFedUse: buy, first": "buy, the first of the contract",
        "PDFedUse: buy": "buy, a later one",
        "PDFedUse: use, first of a model": "use, the first of a model",
        "PDFedUse: use": "use, a later one",
        "PDFedUse: claim": "claim, one used model",
        "PDFedUse: claim, 50": "claim, 50 used models",
        "PDFedUse: withdraw": "withdraw",
        "PDFedUse: forward": "forward",
    },
}

HEAD = """# Gas

What each call costs, in gas, with everything that the transaction pays: 21,000, calldata, refunds. Measured on a local anvil
with the pinned compiler and settings (`ape-config.yaml`). `make gas` measures again and writes this page;
`tests/contract/test_gas.py` fails when a call costs more than here, or when this page is not of the last measurement.

No call depends on how many nodes, models or votes there are. `tests/property/test_bounded_gas.py` measures each at 1 and at 200.

Figures of other projects are for calls that do something comparable, not the same: Governor's vote is open from the start, ours
stays hidden until all have committed, so it takes two calls. They were measured on those projects' own contracts.

The contract's code has {size:,} bytes (the limit of the EVM is 24,576, ours is 22,000); deploying it costs {deployment:,}.
The code of `PDFedUse`, whose calls are under [Income from use](#income-from-use), has {use_size:,} bytes; deploying it costs
{use_deployment:,}.
"""


def table(measured: dict[str, int]) -> str:
    """The page. `measured`: gas by label, as in gas.json."""
    head = HEAD.format(
        size=measured["runtime size, bytes"],
        deployment=measured["deployment"],
        use_size=measured["PDFedUse: runtime size, bytes"],
        use_deployment=measured["PDFedUse: deployment"],
    )
    parts = [head]
    for topic, ours in OURS.items():
        rows = [(f"**{words}**", f"{measured[label]:,}") for label, words in ours.items()] + PEERS.get(topic, [])
        parts.append(
            "\n".join([f"## {topic}", "", "| call | gas |", "|---|---:|", *(f"| {what} | {gas} |" for what, gas in rows)]) + "\n"
        )
    return "\n".join(parts)
