# SPDX-License-Identifier: Apache-2.0
"""What a node keeps to itself: its data, whom it believes, how long it trains. Never part of the protocol."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pdfed.spec.money import Wei
from pdfed.spec.task import MAX_SEED, Frozen

DINOV2 = "facebook/dinov2-large"  # ViT-L/14, as in the paper


class NodeConfig(Frozen):
    """A node's private choices, from flags and a YAML file (flags win)."""

    role: Literal["trainer", "validator"] = "trainer"
    data: Annotated[str, Field(description="private pictures: a folder, an .npz, or 'digits:a-b/n'")]
    store: Annotated[str, Field(description="where bundles are read and published")] = "local:.pdfed/store"
    keep_last: Annotated[int, Field(ge=0, description="settled models kept besides the champion's lineage and the own")] = 20
    quota_mb: Annotated[int, Field(ge=1, description="MB of bundles kept on disk and pinned in the store")] = 20_000
    home: Annotated[str, Field(description="folder of journals, checkpoints and caches")] = ".pdfed"
    stake: Annotated[Wei | None, Field(description="'0.1 ether' or wei; null = the task's minimum")] = None
    images_per_submission: Annotated[int, Field(ge=1, description="training budget of one submission, images seen")] = 20_000
    max_submissions: Annotated[int | None, Field(ge=1, description="stop training after this many; null = never")] = None
    test_share: Annotated[float, Field(gt=0, lt=1, description="share of the data held out for the FID")] = 0.5
    objective: Literal["qn", "qn+dedup"] = "qn"
    believe: Annotated[Literal["self", "all", "trainers", "validators"], Field(description="whose votes count")] = "all"
    allow: Annotated[tuple[str, ...], Field(description="if not empty, only these voters are believed")] = ()
    deny: Annotated[tuple[str, ...], Field(description="these voters are never believed")] = ()
    alarm: Annotated[int, Field(ge=0, le=1_000_000, description="ppm of memorised samples above which a model is left alone")] = (
        200_000
    )
    parent: Annotated[Literal["best", "mean"], Field(description="what to continue from")] = "best"
    top: Annotated[int, Field(ge=1, le=8, description="models merged by mean")] = 3
    submit_worse: Annotated[bool, Field(description="submit even if the own score does not beat the baseline's")] = False
    confirmations: Annotated[int, Field(ge=0, le=64, description="blocks an event must be deep before it counts")] = 0
    dinov2: Annotated[
        str, Field(description="weights for tasks with features: dinov2: a folder, or their name in the hub's cache")
    ] = DINOV2
    threads: Annotated[int, Field(ge=1, le=256, description="CPU threads of torch")] = 1
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0
