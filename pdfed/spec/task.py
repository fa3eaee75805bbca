# SPDX-License-Identifier: Apache-2.0
"""The task that all nodes of a federation share. It holds every setting that changes a score."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pdfed.mechanism import JURY_DELAY, MAX_ACTIVE_WEIGHT, STEPS_PER_PACE
from pdfed.spec.field_types import Address, Frozen, Printable
from pdfed.spec.money import Wei

TASK_VERSION = 1
MAX_SECONDS = 2**32 - 1  # of a window in the contract
MAX_SCALE = 1_000_000.0  # of a factor of the score: with both factors at it, Q-N stays far below the contract's 2^64 millionths
MAX_SEED = 2**40 - 1  # drafts of a node use seeds a million times larger, and numbers in a manifest end at 2^63
MIN_GENESIS_BATCHES = 4  # with fewer, no batch ends between three quarters of the training and its end


class Images(Frozen):
    """Format and classes of the pictures."""

    size: Annotated[int, Field(ge=8, le=512, description="Height and width in pixels.")]
    channels: Annotated[int, Field(description="1 for grey, 3 for colour.")] = 3
    classes: Annotated[tuple[Printable, ...], Field(min_length=1, max_length=1000, description="Class names, in label order.")]
    flip: Annotated[bool, Field(description="Mirror training pictures left to right at random.")] = False

    @model_validator(mode="after")
    def _check(self) -> Images:
        if self.channels not in (1, 3):
            raise ValueError("channels must be 1 (grey) or 3 (colour)")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes must have different names")
        return self


class Network(Frozen):
    """The denoiser: a class-conditional diffusers UNet2DModel on pixel-unshuffled pictures."""

    unshuffle: Annotated[int, Field(ge=1, le=8, description="Pixel blocks of this side become channels; 1: none do.")] = 2
    channels: Annotated[tuple[int, ...], Field(min_length=1, max_length=6, description="Width of each resolution.")] = (64, 64)
    layers: Annotated[int, Field(ge=1, le=4, description="Residual blocks per resolution.")] = 1
    attention: Annotated[tuple[bool, ...] | None, Field(description="Self-attention per resolution. Default: none.")] = None
    groups: Annotated[int, Field(ge=1, le=32, description="Groups of the group normalisation; they divide every width.")] = 8
    head: Annotated[int, Field(ge=4, le=128, description="Channels per attention head.")] = 8

    @model_validator(mode="after")
    def _check(self) -> Network:
        if self.attention is not None and len(self.attention) != len(self.channels):
            raise ValueError("attention needs one entry per entry of channels")
        if any(width % self.groups for width in self.channels):
            raise ValueError(f"every width in channels must be a multiple of groups ({self.groups})")
        return self


class Training(Frozen):
    """Training of a model. Progress is counted in images seen."""

    prediction: Annotated[Literal["v", "epsilon"], Field(description="What the network predicts.")] = "v"
    schedule: Annotated[Literal["cosine", "linear"], Field(description="Noise schedule.")] = "cosine"
    learning_rate: Annotated[float, Field(gt=0, le=1, description="Learning rate of AdamW.")] = 2e-3
    batch: Annotated[int, Field(ge=1, le=4096, description="Images per optimiser step.")] = 64
    clip: Annotated[float, Field(gt=0, description="Largest gradient norm; larger gradients are scaled down.")] = 1.0
    ema: Annotated[float, Field(ge=0, lt=1, description="EMA decay per optimiser step, warmed up from 0.")] = 0.98
    label_drop: Annotated[float, Field(ge=0, lt=1, description="Share of labels dropped, for classifier-free guidance.")] = 0.1
    precision: Annotated[
        Literal["bf16", "fp32"], Field(description="Precision of the forward pass; bf16 is fp32 on processors without it.")
    ] = "bf16"


class Sampling(Frozen):
    """Sampling of a model for its score."""

    sampler: Annotated[Literal["dpmsolver++2m"], Field(description="DPM-Solver++(2M), Lu et al. 2022.")] = "dpmsolver++2m"
    steps: Annotated[int, Field(ge=2, le=1000, description="Network evaluations (NFE) per image, without guidance.")] = 8
    guidance: Annotated[
        float, Field(ge=0, le=20, description="Weight w of guidance: adds w·(conditional − unconditional); 0: off.")
    ] = 0.0
    images: Annotated[int, Field(ge=20, le=100_000, description="Samples per evaluation, spread over the classes.")] = 500


class Scoring(Frozen):
    """The Q-N score (eqs. 1–6 of the PDFed paper): features, thresholds and weights."""

    features: Annotated[Literal["fingerprint", "dinov2"], Field(description="Feature space of the FID.")] = "fingerprint"
    dinov2: Annotated[
        str | None,
        Field(
            pattern=r"^[0-9a-f]{64}$",
            description="sha256 of the DINOv2 weights and settings. Default: filled in by `ape run deploy`.",
        ),
    ] = None
    fid_scale: Annotated[
        float, Field(gt=0, le=MAX_SCALE, description="Factor of the FID; for fingerprints, `ape run deploy` measures it.")
    ] = 1.0
    fingerprinter: Annotated[
        Literal["small", "resnet50"], Field(description="Network of the scoring models (fingerprinter and verifier).")
    ] = "small"
    temperature: Annotated[float, Field(gt=0, le=10, description="Temperature λ of eq. 1.")] = 0.1
    shortlist: Annotated[int, Field(ge=1, le=100, description="Nearest training images checked per sample, K.")] = 5
    intra_class: Annotated[
        float, Field(ge=-3, le=3, description="Factor of the standard deviation in eq. 5: threshold = mean − factor·std.")
    ] = 0.5
    confirmation: Annotated[
        float, Field(gt=0, lt=1, description="Verifier score from which a sample counts as a copy of a training image.")
    ] = 0.8
    novelty_weight: Annotated[
        float, Field(ge=0, le=MAX_SCALE, description="Weight w of eq. 6; 100000 reproduces the paper's Table 1.")
    ] = 1000.0
    training_images: Annotated[int, Field(ge=100, description="Images seen when `ape run deploy` trains each scoring model.")] = (
        60_000
    )


class TaskSpec(Frozen):
    """A task's public, immutable settings, stored as task.json in the genesis bundle."""

    version: Annotated[Literal[1], Field(description="Version of this format.")] = 1
    name: Annotated[
        str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$", description="Name of the task.")
    ]
    description: Annotated[str, Field(max_length=2000, description="A few sentences for participants.")] = ""
    licence: Annotated[Printable, Field(max_length=200, description="Licence of the models trained here.")] = "CC-BY-4.0"
    images: Annotated[Images, Field(description="Format and classes of the pictures.")]
    network: Annotated[Network, Field(description="The denoiser.")] = Network()
    training: Annotated[Training, Field(description="Training of a model.")] = Training()
    sampling: Annotated[Sampling, Field(description="Sampling of a model for its score.")] = Sampling()
    scoring: Annotated[Scoring, Field(description="The Q-N score.")] = Scoring()
    exchange: Annotated[Literal["full"], Field(description="Parameters that a submission carries: all of them.")] = "full"
    max_bundle_bytes: Annotated[
        int, Field(ge=10_000, le=10**11, description="Largest bundle that a node downloads, in bytes.")
    ] = 64_000_000

    @model_validator(mode="after")
    def _check(self) -> TaskSpec:
        shrink = self.network.unshuffle * 2 ** (len(self.network.channels) - 1)
        if self.images.size % shrink:
            raise ValueError(f"images.size ({self.images.size}) must be a multiple of {shrink} for this network")
        if self.sampling.images < len(self.images.classes):
            raise ValueError("sampling.images must be at least one per class")
        return self


class TermsSpec(Frozen):
    """The contract's terms as a sponsor writes them. Amounts: "0.01 ether", "5 gwei" or wei. Times: seconds."""

    submission_fee: Annotated[
        Wei | None,
        Field(description="Paid by the author of a submission to its voters. Default: pool / 4000, at least 0.001 ether."),
    ] = None
    commit_bond: Annotated[
        Wei | None, Field(description="Lost from the stake for each vote that is not revealed. Default: 3 submission fees.")
    ] = None
    min_stake: Annotated[
        Wei | None,
        Field(
            ge=10**15,
            description="Least stake of a node. Default: the largest of 100 submission fees, 32 commit bonds, and what lets the "
            "electorate's stake reach a quarter of the pool.",
        ),
    ] = None
    quorum: Annotated[
        int,
        Field(ge=1, le=10_000, description="Share of the eligible weight that must be revealed for a score, in basis points."),
    ] = 5_000
    release: Annotated[int, Field(ge=1, le=9_999, description="Share of the pool paid per halving of Q-N, in basis points.")] = (
        2_500
    )
    min_gain: Annotated[
        int | None,
        Field(
            ge=1,
            le=63,
            description="Smallest paid gain, in steps of 1/64 halving. Default: measured by `ape run deploy`.",
        ),
    ] = None
    jury: Annotated[int, Field(ge=0, le=65_535, description="Expected voters per model; 0: everyone votes.")] = 0
    royalty: Annotated[
        int, Field(ge=0, le=5_000, description="Share of a payout that goes to earlier champions, in basis points.")
    ] = 1_000
    commit_window: Annotated[
        int, Field(ge=1, le=MAX_SECONDS, description="Time to commit votes after a submission, in seconds.")
    ] = 86_400
    reveal_window: Annotated[
        int,
        Field(ge=1, le=MAX_SECONDS, description="Time to reveal votes after that, in seconds; at least commit_window / 4."),
    ] = 86_400
    unbonding: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_SECONDS,
            description="Time from leaving to the return of the stake, in seconds; at least commit_window + reveal_window.",
        ),
    ] = 604_800
    sunset: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_SECONDS,
            description="Time without an advance of the frontier after which the pool may return to the sponsor, in seconds; "
            "0: never, otherwise at least enrolment + commit_window + reveal_window.",
        ),
    ] = 7_776_000  # 90 days
    sponsor: Annotated[Address | None, Field(description="Account that the pool returns to. Default: the deployer.")] = None
    electorate: Annotated[
        int | None,
        Field(
            ge=0,
            le=MAX_ACTIVE_WEIGHT,
            description="Least weight (min_stake / 100) that counts as eligible, so that few nodes can't decide for all. "
            "Default: 100 for each of --voters but one.",
        ),
    ] = None
    enrolment: Annotated[
        int | None,
        Field(
            ge=0,
            le=MAX_SECONDS,
            description="Time from the deployment in which nodes join and nobody submits, in seconds. Default: 7 days, on a "
            "local chain 0.",
        ),
    ] = None
    pace: Annotated[
        int | None,
        Field(
            ge=0,
            le=MAX_SECONDS,
            description="Time in which at most one halving of Q-N is paid, in seconds; 0: no limit, otherwise at least 64. "
            "Default: unbonding.",
        ),
    ] = None

    @model_validator(mode="after")
    def _check(self) -> TermsSpec:
        windows = self.commit_window + self.reveal_window
        if self.reveal_window < self.commit_window // 4:
            least = self.commit_window // 4
            raise ValueError(f"reveal_window ({self.reveal_window}) must be at least commit_window / 4 ({least})")
        if self.jury and self.commit_window <= JURY_DELAY:
            raise ValueError(f"with a jury, commit_window ({self.commit_window}) must be more than {JURY_DELAY}")
        if self.pace is not None and 0 < self.pace < STEPS_PER_PACE:
            raise ValueError(f"pace ({self.pace}) must be 0, or at least {STEPS_PER_PACE}")
        if self.unbonding < windows:
            raise ValueError(f"unbonding ({self.unbonding}) must be at least commit_window + reveal_window ({windows})")
        least = (self.enrolment or 0) + windows
        if 0 < self.sunset < least:
            raise ValueError(f"sunset ({self.sunset}) must be 0, or at least enrolment + commit_window + reveal_window ({least})")
        return self


class TaskFile(Frozen):
    """The file that `ape run deploy --task FILE` reads: the task, the contract's terms, and the training of the genesis."""

    task: Annotated[TaskSpec, Field(description="Public settings of the task; they go into the genesis bundle.")]
    terms: Annotated[TermsSpec, Field(description="Terms of the contract.")] = TermsSpec()
    public: Annotated[
        str,
        Field(
            title="source",
            description="Public pictures: a folder, a data set as distributed, or digits; :test names a split, "
            ":a-b/n takes parts a to b−1 of n (docs/data.md).",
        ),
    ]
    genesis_images: Annotated[int, Field(ge=64, description="Images seen when the genesis is trained; at least 4 batches.")] = (
        20_000
    )
    seed: Annotated[int, Field(ge=0, le=MAX_SEED, description="Seed of the scoring models and the genesis.")] = 0

    @model_validator(mode="after")
    def _check(self) -> TaskFile:
        batch = self.task.training.batch
        if self.genesis_images < MIN_GENESIS_BATCHES * batch:
            raise ValueError(f"genesis_images ({self.genesis_images}) must be at least {MIN_GENESIS_BATCHES} batches of {batch}")
        return self
