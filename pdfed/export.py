# SPDX-License-Identifier: Apache-2.0
"""Export a model for use outside the federation: a weights file with its credentials inside, and a folder for `diffusers`.

OUT/model.safetensors    the bundle's weights, with credentials in the header (C2PA 2.5, A.3.16)
OUT/diffusers/           a standard pipeline; its network's file carries credentials too
OUT/card.json            model card, derived from the credentials and the task, not from the author's claims in the bundle
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pdfed import bundle as bundles
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

A model of the federation "{task}", trained by several people with PDFed. Bundle: `{cid}`.

```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("this/folder")
images = pipeline(class_labels=[0, 1], guidance_scale=1.0, num_inference_steps={steps}).images
```

`class_labels`: {labels}. Guidance w is `guidance_scale` = 1 + w. No PDFed code is needed: the network is a `UNet2DModel`, run
by `DiTPipeline`; `vae` only shuffles blocks of pixels (decoding; its encoder is empty). diffusers warns that it expected other
classes for three components: ignore that.

The authors are named in the credentials (C2PA) inside `transformer/diffusion_pytorch_model.safetensors`:
`ape run audit --file transformer/diffusion_pytorch_model.safetensors`.
"""


class TargetExists(PDFedError):
    """The export's target exists already; nothing is overwritten."""


@dataclass(frozen=True)
class ExportPaths:
    """Output of an export. weights: the file with the credentials inside. pipeline: the folder for diffusers."""

    weights: Path
    pipeline: Path


def export(model: Parent, task: TaskSpec, identity: Identity, out: Path) -> ExportPaths:
    """Write both forms into the new folder `out`, atomically. model: verified.

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
        bundles.write_card(draft, bundles.expected_card(read_manifest(model.manifest), task).values())
        save_pipeline(weights, task, draft / PIPELINE)
        (draft / PIPELINE / "README.md").write_text(_readme(model, task), encoding="utf-8")
        bare = (draft / NETWORK).rename(Path(scratch) / "network")
        title = f"{model.title}, for diffusers"
        sign_embedded(bare, draft / NETWORK, title=title, model=model, identity=identity, action=CONVERTED)
        for file in (draft / bundles.WEIGHTS, draft / NETWORK):
            verify_embedded(file)
        draft.rename(out)
    return ExportPaths(out / bundles.WEIGHTS, out / PIPELINE)


def _readme(model: Parent, task: TaskSpec) -> str:
    classes = [f"{label} = {name}" for label, name in enumerate(task.images.classes)]
    labels = ", ".join(classes[:20]) + (f" … ({len(classes)} in all)" if len(classes) > 20 else "")
    return README.format(
        licence=json.dumps(task.licence.lower(), ensure_ascii=False),  # a JSON string is a valid, quoted YAML string
        title=model.title,
        task=task.name,
        cid=model.cid,
        steps=task.sampling.steps,
        labels=labels,
    )
