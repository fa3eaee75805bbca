# SPDX-License-Identifier: Apache-2.0
"""Benchmark of provenance: `python -m tests.bench.provenance [MODELS]`. Prints Markdown tables; minutes for 100 models.

Models in one line, each the parent of the next, are the worst case: every manifest carries all ancestors.
"""

from __future__ import annotations

import io
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from pdfed.audit import audit, withdrawal
from pdfed.chain.local_chain import LocalChain
from pdfed.provenance import Drawing, PictureSigner, read_manifest, sign_embedded, verify_embedded, verify_model, verify_picture
from pdfed.public import Public
from pdfed.spec import read_task_file
from tests.integration.provenance.federation import Author, HandMade, hand_made

SHOWN = (1, 10, 50, 100)
ROUNDS = 5


def cpu(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Measure CPU milliseconds of one round, the best of `rounds`."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return 1000 * best


def by_depth(federation: HandMade, author: Author, folder: Path, models: int) -> None:
    """Print sizes and times of models with more and more ancestors."""
    print("| generations | manifest KB | sign ms | verify ms | without weights ms | picture KB | sign picture ms | verify ms |")
    print("|---|---|---|---|---|---|---|---|")
    out = io.BytesIO()
    Image.new("L", (16, 16)).save(out, "PNG")
    drawing = Drawing("0", 0, 0, 8, 0.0, "dpmsolver++2m")
    for depth in (depth for depth in SHOWN if depth <= models):
        model, parent = federation.models[depth], federation.models[depth - 1]
        signer = PictureSigner(model, author.identity)
        picture = signer.sign(out.getvalue(), "bench", drawing)
        figures = [
            len(model.manifest) / 1000,
            cpu(lambda parent=parent: federation.lay(author, [parent]), 2),
            cpu(lambda model=model: verify_model(model.weights, model.manifest)),
            cpu(lambda model=model: read_manifest(model.manifest)),
            len(picture) / 1000,
            cpu(lambda signer=signer: signer.sign(out.getvalue(), "bench", drawing)),
            cpu(lambda picture=picture: verify_picture(picture)),
        ]
        print(f"| {depth} | " + " | ".join(f"{figure:.1f}" for figure in figures) + " |")
    target = folder / "export.safetensors"
    last = federation.models[models]
    spent = cpu(lambda: sign_embedded(last.weights, target, title="bench", model=last, identity=author.identity))
    read = cpu(lambda: verify_embedded(target))
    print(f"\nHeader form of model {models}: {target.stat().st_size / 1000:.0f} KB, write {spent:.0f} ms, verify {read:.0f} ms.")


def main() -> None:
    models = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as scratch, LocalChain() as chain:
        federation = hand_made(chain, Path(scratch), read_task_file("digits"))
        author = Author(federation, 1)
        for number in range(models):
            federation.publish(author, [number])
        weights = federation.models[1].weights.stat().st_size
        print(f"{models} models in one line, weights of {weights / 1000:.0f} KB each; CPU time, one thread.\n")
        by_depth(federation, author, Path(scratch), models)
        ledger = federation.ledger
        start, wall = time.process_time(), time.monotonic()
        report = audit(federation.client, ledger, federation.store, list(ledger.models))
        spent = f"{time.process_time() - start:.1f} s CPU, {time.monotonic() - wall:.1f} s"
        assert report.ok, report.problems
        print(f"\nAudit of {len(report.models)} models, {report.count('ok')} checks: {spent}.")
        start, wall = time.process_time(), time.monotonic()
        result = withdrawal(Public(federation.client, ledger, federation.store, Path(scratch) / "public"), author.data)
        assert len(result.trained) == models
        print(f"Withdrawal over them: {time.process_time() - start:.2f} s CPU, {time.monotonic() - wall:.2f} s.")
        print(f"Largest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f} MB.")


if __name__ == "__main__":
    main()
