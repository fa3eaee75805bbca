# SPDX-License-Identifier: Apache-2.0
"""A node's private configuration: its data, whose votes it believes, how long it trains. The protocol never sees it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pdfed.spec.field_types import ChecksumAddress, Frozen
from pdfed.spec.money import Wei
from pdfed.spec.task import MAX_SEED

DINOV2 = "facebook/dinov2-large"  # ViT-L/14, as in the paper


class NodeConfig(Frozen):
    """A node's private configuration: the file of `ape run node --config FILE`. Each field is also a flag; flags win."""

    role: Annotated[Literal["trainer", "validator"], Field(description="A trainer trains and votes; a validator only votes.")] = (
        "trainer"
    )
    data: Annotated[
        str,
        Field(
            title="source",
            description="Private pictures: a folder, a data set as distributed, or digits; :test names a split, "
            ":a-b/n takes parts a to b−1 of n (docs/data.md).",
        ),
    ]
    store: Annotated[
        str,
        Field(
            title="store",
            description="Store of the bundles: local:PATH, kubo:HOST:PORT, gateway:URL (read-only), or several with commas, "
            "tried in turn.",
        ),
    ] = "local:.pdfed/store"
    keep_last: Annotated[
        int, Field(ge=0, description="Settled models kept besides the champion's lineage and the node's own models.")
    ] = 20
    quota_mb: Annotated[int, Field(ge=1, description="MB of bundles kept on disk and pinned in the store.")] = 20_000
    home: Annotated[str, Field(title="folder", description="Folder of journals, keys, checkpoints and downloads.")] = ".pdfed"
    stake: Annotated[
        Wei | None, Field(description='Stake to register with, such as "0.1 ether". Default: the task\'s minimum.')
    ] = None
    accept_terms: Annotated[bool, Field(description="Join although the task's terms let others take what a member puts in.")] = (
        False
    )
    images_per_submission: Annotated[int, Field(ge=1, description="Images seen in the training of one submission.")] = 20_000
    max_submissions: Annotated[
        int | None, Field(ge=1, description="Submissions after which the node only votes. Default: no limit.")
    ] = None
    test_share: Annotated[float, Field(gt=0, lt=1, description="Share of the pictures held out of training, for the FID.")] = 0.5
    objective: Annotated[
        Literal["qn", "qn+dedup"],
        Field(description="qn: train on all training pictures. qn+dedup: leave the most memorised out, at most half of all."),
    ] = "qn"
    believe: Annotated[
        Literal["self", "all", "trainers", "validators"],
        Field(description="Whose votes count, besides the node's own measurements."),
    ] = "all"
    allow: Annotated[
        tuple[ChecksumAddress, ...], Field(description="Believe no other voters than these. Default: all that `believe` names.")
    ] = ()
    deny: Annotated[tuple[ChecksumAddress, ...], Field(description="Never believe these voters.")] = ()
    alarm: Annotated[
        int,
        Field(
            ge=0,
            le=1_000_000,
            description="Memorised samples, in ppm, above which the node does not continue from a model, nor submit it "
            "(unless `submit_worse`).",
        ),
    ] = 200_000
    parent: Annotated[
        str,
        Field(
            pattern=r"^(best|mean|authors|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
            title="rule",
            description="What to continue from. best: the best model; mean: the weighted mean of the `top` best; authors: the "
            "mean of every author's newest model, without a gate before a submission; module:Class: a rule of your own "
            "(docs/strategy.md).",
        ),
    ] = "best"
    top: Annotated[int, Field(ge=1, le=8, description="Models merged by `parent: mean`.")] = 3
    submit_worse: Annotated[
        bool, Field(description="Submit every trained model, even one worse than the champion on the node's own data.")
    ] = False
    confirmations: Annotated[
        int, Field(ge=0, le=64, description="Confirmations (blocks) after which an event on the chain counts.")
    ] = 0
    dinov2: Annotated[
        str,
        Field(
            description="DINOv2 weights, for tasks with `features: dinov2`: a folder, or a name in the Hugging Face cache; "
            "nothing is downloaded."
        ),
    ] = DINOV2
    threads: Annotated[int, Field(ge=1, le=256, description="CPU threads of torch.")] = 1
    seed: Annotated[
        int, Field(ge=0, le=MAX_SEED, description="Seed of the train/test split, of training and of the privacy audit.")
    ] = 0
