# SPDX-License-Identifier: Apache-2.0
"""What everyone in a federation shares: the task. Everything that changes a score is in here and nowhere else."""

from __future__ import annotations

from typing import Annotated, Literal

from eth_utils.address import is_checksum_address, is_hex_address
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pdfed.spec.money import Wei

TASK_VERSION = 1
MAX_SECONDS = 2**32 - 1  # of a window in the contract
MAX_SCALE = 1_000_000.0  # of what a score is multiplied by: with both there, Q-N stays far below the contract's 2^64 millionths
MAX_SEED = 2**40 - 1  # a node's drafts take the millions above it, and a manifest's numbers end at 2^63
MIN_GENESIS_BATCHES = 4  # with fewer, no batch ends between three quarters of the training and its end


def address(value: object) -> object:
    """An Ethereum address as it stands. Raises ValueError, also where the capitals of a checksum are wrong: a slip of the pen."""
    if not isinstance(value, str) or not value.startswith("0x") or not is_hex_address(value):
        raise ValueError(f'{value!r} is no address: write "0x" and 40 hexadecimal digits, in quotes')
    digits = value[2:]
    if digits not in (digits.lower(), digits.upper()) and not is_checksum_address(value):
        raise ValueError(f"{value} is mistyped: its capitals are a checksum, and do not fit")
    return value


Address = Annotated[str, BeforeValidator(address)]


_JOINERS = dict.fromkeys((0x200C, 0x200D, 0x3000, 0xA0))  # within words of Persian, in emoji, between words: they steer nothing


def printable(text: str) -> str:
    """`text` as it stands. Raises ValueError unless it is one line that any program can show: it ends up in a terminal, in file
    names and at the head of an exported README."""
    if not text.translate(_JOINERS).isprintable():
        raise ValueError(f"{text[:60]!r} holds a line end or another character that can't be printed")
    return text


Words = Annotated[str, AfterValidator(printable)]


class Frozen(BaseModel):
    """Immutable; an unknown field is an error, not a silent default. Numbers are finite: JSON and YAML can write others."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Images(Frozen):
    """The pictures of the task."""

    size: Annotated[int, Field(ge=8, le=512, description="height and width in pixels")]
    channels: Annotated[int, Field(description="1 grey, 3 colour")] = 3
    classes: Annotated[tuple[Words, ...], Field(min_length=1, max_length=1000, description="names, in order of label")]
    flip: Annotated[bool, Field(description="mirror training pictures left to right at random")] = False

    @model_validator(mode="after")
    def _check(self) -> Images:
        if self.channels not in (1, 3):
            raise ValueError("channels must be 1 (grey) or 3 (colour)")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes must have different names")
        return self


class Network(Frozen):
    """A class-conditional diffusers UNet2DModel on pixel-unshuffled pictures."""

    unshuffle: Annotated[int, Field(ge=1, le=8, description="a pixel block of this side becomes channels; 1 = none")] = 2
    channels: Annotated[tuple[int, ...], Field(min_length=1, max_length=6, description="width of each resolution")] = (64, 64)
    layers: Annotated[int, Field(ge=1, le=4, description="residual blocks per resolution")] = 1
    attention: Annotated[tuple[bool, ...] | None, Field(description="self-attention per resolution; none if null")] = None
    groups: Annotated[int, Field(ge=1, le=32, description="groups of the group norm")] = 8
    head: Annotated[int, Field(ge=4, le=128, description="channels per attention head")] = 8

    @model_validator(mode="after")
    def _check(self) -> Network:
        if self.attention is not None and len(self.attention) != len(self.channels):
            raise ValueError("attention needs one entry per entry of channels")
        if any(width % self.groups for width in self.channels):
            raise ValueError(f"every width in channels must be a multiple of groups ({self.groups})")
        return self


class Training(Frozen):
    """How a model is trained. Progress is counted in images seen."""

    prediction: Annotated[Literal["v", "epsilon"], Field(description="what the network predicts")] = "v"
    schedule: Annotated[Literal["cosine", "linear"], Field(description="noise schedule")] = "cosine"
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-3
    batch: Annotated[int, Field(ge=1, le=4096, description="images per optimiser step")] = 64
    clip: Annotated[float, Field(gt=0, description="largest norm of a gradient")] = 1.0
    ema: Annotated[float, Field(ge=0, lt=1, description="EMA decay per optimiser step; warmed up from 0")] = 0.98
    label_drop: Annotated[float, Field(ge=0, lt=1, description="share of labels dropped, for guidance")] = 0.1
    precision: Annotated[Literal["bf16", "fp32"], Field(description="of the forward pass")] = "bf16"


class Sampling(Frozen):
    """How models are sampled for scoring."""

    sampler: Literal["dpmsolver++2m"] = "dpmsolver++2m"
    steps: Annotated[int, Field(ge=2, le=1000, description="network evaluations (NFE) per image, without guidance")] = 8
    guidance: Annotated[float, Field(ge=0, le=20, description="0 = off; w > 0 adds w·(conditional − unconditional)")] = 0.0
    images: Annotated[int, Field(ge=20, le=100_000, description="samples per evaluation, spread over the classes")] = 500


class Scoring(Frozen):
    """The ruler: features, thresholds and weights of the Q-N score (design: eqs. 1–6 of the PDFed paper)."""

    features: Annotated[Literal["fingerprint", "dinov2"], Field(description="feature space of the FID")] = "fingerprint"
    dinov2: Annotated[
        str | None, Field(pattern=r"^[0-9a-f]{64}$", description="sha256 of DINOv2: weights and settings; deploy finds it")
    ] = None
    fid_scale: Annotated[
        float, Field(gt=0, le=MAX_SCALE, description="FID is multiplied by this; deploy measures it for fingerprints")
    ] = 1.0
    fingerprinter: Annotated[Literal["small", "resnet50"], Field(description="network preset of the scorers")] = "small"
    temperature: Annotated[float, Field(gt=0, le=10, description="λ of eq. 1")] = 0.1
    shortlist: Annotated[int, Field(ge=1, le=100, description="K nearest training images checked per sample")] = 5
    intra_class: Annotated[float, Field(ge=-3, le=3, description="0.5 of eq. 5: threshold = mean − this·std")] = 0.5
    confirmation: Annotated[float, Field(gt=0, lt=1, description="verifier score from which a pair is a copy")] = 0.8
    novelty_weight: Annotated[
        float, Field(ge=0, le=MAX_SCALE, description="w of eq. 6; 100000 reproduces the paper's Table 1")
    ] = 1000.0
    training_images: Annotated[int, Field(ge=100, description="images seen when deploy trains each scoring model")] = 60_000


class TaskSpec(Frozen):
    """A task's public, immutable terms. Stored as task.json in the genesis bundle."""

    version: Literal[1] = 1
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")]
    description: Annotated[str, Field(max_length=2000)] = ""
    licence: Annotated[Words, Field(max_length=200, description="of the models trained here")] = "CC-BY-4.0"
    images: Images
    network: Network = Network()
    training: Training = Training()
    sampling: Sampling = Sampling()
    scoring: Scoring = Scoring()
    exchange: Annotated[Literal["full"], Field(description="which parameters a submission carries")] = "full"
    max_bundle_bytes: Annotated[int, Field(ge=10_000, le=10**11)] = 64_000_000

    @model_validator(mode="after")
    def _check(self) -> TaskSpec:
        shrink = self.network.unshuffle * 2 ** (len(self.network.channels) - 1)
        if self.images.size % shrink:
            raise ValueError(f"images.size ({self.images.size}) must be a multiple of {shrink} for this network")
        if self.sampling.images < len(self.images.classes):
            raise ValueError("sampling.images must be at least one per class")
        return self


class TermsSpec(Frozen):
    """The contract's terms as a sponsor writes them. Amounts: "0.01 ether", "5 gwei" or wei; times in seconds."""

    submission_fee: Annotated[Wei | None, Field(description="null = pool / 4000, at least 0.001 ether")] = None
    commit_bond: Annotated[Wei | None, Field(description="null = 3 fees")] = None
    min_stake: Annotated[Wei | None, Field(ge=10**15, description="null = 100 fees, or 32 bonds if that is more")] = None
    quorum: Annotated[int, Field(ge=1, le=10_000, description="basis points")] = 5_000
    release: Annotated[int, Field(ge=1, le=9_999, description="basis points of the pool per halving of Q-N")] = 2_500
    min_gain: Annotated[int | None, Field(ge=1, le=63, description="steps of 1/64 halving; null = measured by deploy")] = None
    jury: Annotated[int, Field(ge=0, le=65_535, description="expected voters per model, 0 = everyone")] = 0
    royalty: Annotated[int, Field(ge=0, le=5_000, description="basis points")] = 1_000
    commit_window: Annotated[int, Field(ge=1, le=MAX_SECONDS, description="seconds")] = 86_400
    reveal_window: Annotated[int, Field(ge=1, le=MAX_SECONDS, description="seconds")] = 86_400
    unbonding: Annotated[int, Field(ge=1, le=MAX_SECONDS, description="seconds")] = 604_800
    sunset: Annotated[int, Field(ge=0, le=MAX_SECONDS, description="seconds, 0 = never")] = 7_776_000  # 90 days
    sponsor: Annotated[Address | None, Field(description="where the pool returns to; null = the deployer")] = None

    @model_validator(mode="after")
    def _check(self) -> TermsSpec:
        windows = self.commit_window + self.reveal_window
        if self.unbonding < windows:
            raise ValueError(f"unbonding ({self.unbonding}) must be at least commit_window + reveal_window ({windows})")
        if 0 < self.sunset < windows:
            raise ValueError(f"sunset ({self.sunset}) must be 0, or at least commit_window + reveal_window ({windows})")
        return self


class TaskFile(Frozen):
    """What `ape run deploy --task FILE` reads: the task, the contract's terms, and how the genesis is made."""

    task: TaskSpec
    terms: TermsSpec = TermsSpec()
    public: Annotated[str, Field(description="non-private pictures: 'digits[:a-b/n]', an .npz or a folder")]
    genesis_images: Annotated[int, Field(ge=64, description="images seen when the genesis is trained")] = 20_000
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0

    @model_validator(mode="after")
    def _check(self) -> TaskFile:
        batch = self.task.training.batch
        if self.genesis_images < MIN_GENESIS_BATCHES * batch:
            raise ValueError(f"genesis_images ({self.genesis_images}) must be at least {MIN_GENESIS_BATCHES} batches of {batch}")
        return self
