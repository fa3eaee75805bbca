# SPDX-License-Identifier: Apache-2.0
"""One web page of a federation's summary: pictures, the course of the Q-N score, who made what, who was paid."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import Any

ETHER = 10**18
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; width: 100%; font-size: 14px; } th, td { text-align: left; padding: .3rem .6rem; }
tr:nth-child(even) { background: #f4f4f6; } .champion { font-weight: bold; } img { max-width: 100%; }
code { font-size: 12px; word-break: break-all; } .ok { color: #17722c; } .bad { color: #b00020; }
"""


def write_page(folder: Path, summary: dict[str, Any]) -> Path:
    """Write report.html beside samples.png; everything is inside the one file."""
    curve = folder / "curve.png"
    draw_curve(summary, curve)
    audit = summary["audit"]
    verdict = '<p class="ok">Every model passed the audit; the ledger is exact to the wei.</p>'
    if audit != "ok":
        verdict = "".join(f'<p class="bad">{escape(str(problem))}</p>' for problem in audit)
    body = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>PDFed federation</title><style>{STYLE}</style>
<h1>A federation, end to end</h1>
<p>Contract <code>{escape(summary["contract"])}</code>. {len(summary["models"]) - 1} submissions, {len(summary["votes"])} votes,
{summary["seconds"]:.0f} s. A classifier trained on real pictures recognises {summary["accuracy"]:.1%} of its champion's.</p>
{verdict}
<h2>Pictures by the champion (model {summary["champion"]})</h2>{embedded(folder / "samples.png", "samples by class")}
<h2>Quality and novelty</h2>{embedded(curve, "Q-N of each submission and of the champion")}
<p>Lower is better. Measured by the validator on data that nobody trained on or saw.</p>
<h2>Models</h2>{models_table(summary)}
<h2>What the champions give away</h2>{own_table(summary)}
<p>Each node's own measurements on its own pictures: part of no vote, told to nobody; they stand here because all these nodes
are yours. Copies: samples that reproduce one of the node's training pictures. AUC: how well an attack tells the node's
training pictures from others; 0.50 is chance.</p>
<h2>Rewards withdrawn</h2>{rewards_table(summary)}
</html>"""
    page = folder / "report.html"
    page.write_text(body, encoding="utf-8")
    return page


def draw_curve(summary: dict[str, Any], target: Path) -> None:
    """Q-N of every submission in order, and of the champion of the time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    scored = [model for model in summary["models"] if model["qn"] is not None]
    qn = {model["id"]: model["qn"] for model in scored}
    best: list[float] = []
    champions = set(summary["champions"]) | {0}
    for model in scored:
        best.append(qn[model["id"]] if model["id"] in champions else best[-1])
    figure, axes = plt.subplots(figsize=(8, 3.5), dpi=110)
    axes.scatter(list(qn), list(qn.values()), color="#7a7a8c", label="submission", zorder=3)
    axes.step(list(qn), best, where="post", color="#1f5fbf", label="champion")
    axes.set(xlabel="model", ylabel="Q-N (lower is better)", ylim=(0, None))
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(target)
    plt.close(figure)


def models_table(summary: dict[str, Any]) -> str:
    rows = "".join(
        f'<tr class="{"champion" if model["id"] == summary["champion"] else ""}"><td>{model["id"]}</td>'
        f"<td><code>{escape(model['author'])}</code></td><td>{escape(', '.join(map(str, model['parents'])))}</td>"
        f"<td>{escape(model['phase'])}</td><td>{model['gain'] / 64:+.2f}</td>"
        f"<td>{'' if model['qn'] is None else format(model['qn'], '.1f')}</td>"
        f"<td>{int(model['payout']) / ETHER:.4f}</td><td><code>{escape(model['bundle'])}</code></td></tr>"
        for model in summary["models"]
    )
    heads = ("id", "author", "from", "phase", "gain (halvings)", "Q-N", "payout ETH", "bundle")
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{rows}</table>"


def own_table(summary: dict[str, Any]) -> str:
    """Q-N beside the privacy audit, of the champions, node by node."""
    champions = {0, *summary["champions"]}
    rows = "".join(_own_row(row) for row in summary["own"] if row["model"] in champions)
    heads = ("node", "model", "Q-N", "FID", "copies", "AUC loss", "AUC SimA")
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{rows}</table>"


def _own_row(row: dict[str, Any]) -> str:
    audit = row["privacy"]
    cells = [f"<code>{escape(row['node'])}</code>", str(row["model"]), f"{row['qn']:.1f}", f"{row['fid']:.1f}"]
    if audit is not None:
        cells.append(f"{audit['extracted']} of {audit['samples']}")
        cells += [f"{audit[attack]['auc']:.2f} ± {audit[attack]['error']:.2f}" for attack in ("loss", "sima")]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def rewards_table(summary: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(address)}</code></td><td>{int(amount) / ETHER:.6f}</td></tr>"
        for address, amount in summary["rewards"].items()
    )
    return f"<table><tr><th>account</th><th>ETH</th></tr>{rows}</table>"


def embedded(image: Path, alt: str) -> str:
    content = base64.b64encode(image.read_bytes()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{content}">'
