# SPDX-License-Identifier: Apache-2.0
"""The web page of a demo: pictures, the Q-N score over time, models with their authors, privacy audits, rewards."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import Any

from pdfed.chain.ledger import GENESIS
from pdfed.mechanism import STEPS_PER_HALVING
from pdfed.report.author_scores import CAPTION as AUTHOR_CAPTION
from pdfed.report.author_scores import COLUMNS as AUTHOR_COLUMNS
from pdfed.report.author_scores import TITLE as AUTHOR_TITLE
from pdfed.report.author_scores import doubt_lines, report_cells
from pdfed.spec.money import ETHER

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; width: 100%; font-size: 14px; } th, td { text-align: left; padding: .3rem .6rem; }
tr:nth-child(even) { background: #f4f4f6; } .champion { font-weight: bold; } img { max-width: 100%; }
code { font-size: 12px; word-break: break-all; } .ok { color: #17722c; } .bad { color: #b00020; }
"""


def write_page(folder: Path, summary: dict[str, Any]) -> Path:
    """Write report.html, one self-contained file, to the folder that holds samples.png; return its path."""
    curve = folder / "curve.png"
    draw_curve(summary, curve)
    audit = summary["audit"]
    verdict = '<p class="ok">Every model passed the audit; the ledger is exact to the wei.</p>'
    if audit != "ok":
        verdict = "".join(f'<p class="bad">{escape(str(problem))}</p>' for problem in audit)
    body = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>PDFed federation</title><style>{STYLE}</style>
<h1>A federation, end to end</h1>
<p>Contract <code>{escape(summary["contract"])}</code>. {len(summary["models"]) - 1} submissions, {len(summary["votes"])} votes,
{summary["seconds"]:.0f} s. A classifier trained on real pictures recognises {summary["accuracy"]:.1%} of the champion's.</p>
{verdict}
<h2>Pictures by the champion (model {summary["champion"]})</h2>{embedded(folder / "samples.png", "samples by class")}
<h2>Quality and novelty</h2>{embedded(curve, "Q-N of each submission and of the champion")}
<p>Lower is better. Measured by the validator on its private pictures, which no model was trained on.</p>
<h2>Models</h2>{models_table(summary)}
<h2>{AUTHOR_TITLE}</h2>{author_table(summary)}
<p>{AUTHOR_CAPTION}</p>
<h2>Privacy audit of the champions</h2>{privacy_table(summary)}
<p>Measured by each node on its own pictures. Nodes neither vote on these figures nor publish them; this page shows them because
all nodes of a demo are yours. Copies: samples that reproduce one of the node's training pictures. AUC: how well an attack tells
the node's training pictures from others; 0.50 is chance.</p>
<h2>Rewards withdrawn</h2>{rewards_table(summary)}
</html>"""
    page = folder / "report.html"
    page.write_text(body, encoding="utf-8")
    return page


def draw_curve(summary: dict[str, Any], target: Path) -> None:
    """Plot Q-N of every submission in order, and of the champion at that time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    scored = [model for model in summary["models"] if model["qn"] is not None]
    qn = {model["id"]: model["qn"] for model in scored}
    best: list[float] = []
    champions = {GENESIS, *summary["champions"]}
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
    """Table of all models; the champion in bold."""
    rows = "".join(
        f'<tr class="{"champion" if model["id"] == summary["champion"] else ""}"><td>{model["id"]}</td>'
        f"<td><code>{escape(model['author'])}</code></td><td>{escape(', '.join(map(str, model['parents'])))}</td>"
        f"<td>{escape(model['phase'])}</td><td>{model['gain'] / STEPS_PER_HALVING:+.2f}</td>"
        f"<td>{'' if model['qn'] is None else format(model['qn'], '.1f')}</td>"
        f"<td>{int(model['payout']) / ETHER:.4f}</td><td><code>{escape(model['bundle'])}</code></td></tr>"
        for model in summary["models"]
    )
    heads = ("id", "author", "parents", "phase", "gain (halvings)", "Q-N", "payout ETH", "bundle")
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{rows}</table>"


def author_table(summary: dict[str, Any]) -> str:
    """Table of the authors' own scores beside the votes, and a line for each doubt."""
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in report_cells(facts))}</tr>" for facts in summary["by_author"]
    )
    doubts = "".join(f'<p class="bad">{escape(line)}</p>' for line in doubt_lines(summary["by_author"]))
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in AUTHOR_COLUMNS)}</tr>{rows}</table>{doubts}"


def privacy_table(summary: dict[str, Any]) -> str:
    """Table of Q-N beside the privacy audit of the genesis and the champions, one row per node and model."""
    champions = {GENESIS, *summary["champions"]}
    rows = "".join(_privacy_row(row) for row in summary["own"] if row["model"] in champions)
    heads = ("node", "model", "Q-N", "FID", "copies", "AUC loss", "AUC SimA")
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{rows}</table>"


def _privacy_row(row: dict[str, Any]) -> str:
    audit = row["privacy"]
    cells = [f"<code>{escape(row['node'])}</code>", str(row["model"]), f"{row['qn']:.1f}", f"{row['fid']:.1f}"]
    if audit is not None:
        cells.append(f"{audit['extracted']} of {audit['samples']}")
        cells += [f"{audit[attack]['auc']:.2f} ± {audit[attack]['error']:.2f}" for attack in ("loss", "sima")]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def rewards_table(summary: dict[str, Any]) -> str:
    """Withdrawn rewards by account."""
    rows = "".join(
        f"<tr><td><code>{escape(address)}</code></td><td>{int(amount) / ETHER:.6f}</td></tr>"
        for address, amount in summary["rewards"].items()
    )
    return f"<table><tr><th>account</th><th>ETH</th></tr>{rows}</table>"


def embedded(image: Path, alt: str) -> str:
    """Return an img element that contains the PNG file itself."""
    content = base64.b64encode(image.read_bytes()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{content}">'
