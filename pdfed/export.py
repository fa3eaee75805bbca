# SPDX-License-Identifier: Apache-2.0
"""A model for use outside: one weights file with its credentials inside, and a folder that `diffusers` loads.

OUT/model.safetensors    the very weights of the bundle, credentials in the header (C2PA 2.5, A.3.16)
OUT/diffusers/           a standard pipeline; its network's file carries credentials too
OUT/card.json            a card, written anew from the credentials and the task: the bundle's is its author's word
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pdfed import bundle as bundles
from pdfed.audit.card import true_card
from pdfed.diffusion import load_weights
from pdfed.errors import PDFedError
from pdfed.provenance import CONVERTED, Identity, Parent, read_manifest, sign_embedded, verify_embedded
from pdfed.spec import TaskSpec

PIPELINE = "diffusers"
NETWORK = Path(PIPELINE) / "transformer" / "diffusion_pytorch_model.safetensors"
README = """---
license: {licence}
library_name: diffusers
pipeline_tag: unconditional-image-generation
---
# {title}

A model of the federation "{task}", made by several people together with PDFed. Bundle: `{cid}`.

```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("this/folder")
images = pipeline(class_labels=[0, 1], guidance_scale=1.0, num_inference_steps={steps}).images
```

`class_labels`: {labels}. Guidance w is `guidance_scale` = 1 + w. No code of the federation is needed: the network is a
`UNet2DModel`, run by `DiTPipeline`; `vae` only puts blocks of pixels in their places (decoding; its encoder is empty).
diffusers warns that it expected other classes for three components; that is as intended.

Who trained it stands in the credentials (C2PA) inside `transformer/diffusion_pytorch_model.safetensors`:
`ape run audit --file transformer/diffusion_pytorch_model.safetensors`.
"""


class TargetExists(PDFedError):
    """An export does not overwrite anything."""


@dataclass(frozen=True)
class Exported:
    """weights: the file with the credentials inside. pipeline: the folder for diffusers."""

    weights: Path
    pipeline: Path


def export(model: Parent, task: TaskSpec, identity: Identity, out: Path) -> Exported:
    """Write both forms into the new folder `out`, whole or not at all. model: verified.

    Raises TargetExists, NotExportable, WeightsRejected, ProvenanceError.
    """
    from pdfed.diffusers_pipeline import save_pipeline

    if out.exists():
        raise TargetExists(f"{out} exists already.", "Name a new folder with --out.")
    weights = load_weights(model.weights, task)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        draft = Path(scratch) / "out"
        draft.mkdir()
        sign_embedded(model.weights, draft / bundles.WEIGHTS, title=model.title, model=model, identity=identity)
        bundles.write_card(draft, true_card(read_manifest(model.manifest), task))
        save_pipeline(weights, task, draft / PIPELINE)
        (draft / PIPELINE / "README.md").write_text(_readme(model, task), encoding="utf-8")
        bare = (draft / NETWORK).rename(Path(scratch) / "network")
        title = f"{model.title}, for diffusers"
        sign_embedded(bare, draft / NETWORK, title=title, model=model, identity=identity, action=CONVERTED)
        for written in (draft / bundles.WEIGHTS, draft / NETWORK):
            verify_embedded(written)
        draft.rename(out)
    return Exported(out / bundles.WEIGHTS, out / PIPELINE)


def _readme(model: Parent, task: TaskSpec) -> str:
    named = [f"{label} = {name}" for label, name in enumerate(task.images.classes)]
    labels = ", ".join(named[:20]) + (f" … ({len(named)} in all)" if len(named) > 20 else "")
    return README.format(
        licence=json.dumps(task.licence.lower(), ensure_ascii=False),  # a quoted string of YAML, whatever is in it
        title=model.title,
        task=task.name,
        cid=model.cid,
        steps=task.sampling.steps,
        labels=labels,
    )
