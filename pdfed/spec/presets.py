# SPDX-License-Identifier: Apache-2.0
"""Presets of tasks: the fields that a task file may start from. Fields that a preset leaves out have their defaults."""

from __future__ import annotations

from typing import Any

DIGITS = tuple(str(digit) for digit in range(10))
FASHION = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

PRESETS: dict[str, dict[str, Any]] = {
    # 1,797 real scans of handwritten digits (UCI, through scikit-learn), 8×8 shown at 16×16. A federation in minutes on a CPU.
    "digits": {
        "task": {
            "name": "digits",
            "description": "Handwritten digits (UCI, 1,797 scans), 16×16 grey.",
            "images": {"size": 16, "channels": 1, "classes": DIGITS},
        },
        "public": "digits:0-1/3",
    },
    # Fashion-MNIST padded to 32×32, with the network of `digits` on 16×16×4 pictures. The sponsor provides the file `public`.
    "fashion": {
        "task": {
            "name": "fashion",
            "description": "Fashion-MNIST, 32×32 grey.",
            "images": {"size": 32, "channels": 1, "classes": FASHION, "flip": True},
            # Trains for 15 minutes on one core, once. With a quarter of these images, 1 % of redrawn copies were missed.
            "scoring": {"training_images": 640_000},
        },
        "public": "fashion.npz",
        "genesis_images": 40_000,
    },
    # Ho et al. 2020 (DDPM), 35.7 M parameters, epsilon-prediction on a linear schedule; scored on DINOv2. For a GPU.
    "cifar10-ddpm": {
        "task": {
            "name": "cifar10-ddpm",
            "description": "CIFAR-10, 32×32 colour, the network of Ho et al. 2020.",
            "images": {"size": 32, "channels": 3, "classes": CIFAR10, "flip": True},
            "network": {
                "unshuffle": 1,
                "channels": (128, 256, 256, 256),
                "layers": 2,
                "attention": (False, True, False, False),
                "groups": 32,
                "head": 128,
            },
            "training": {
                "prediction": "epsilon",
                "schedule": "linear",
                "learning_rate": 2e-4,
                "batch": 128,
                "ema": 0.9999,
            },
            "sampling": {"steps": 20, "images": 1000},
            "scoring": {"features": "dinov2", "fingerprinter": "resnet50", "training_images": 500_000},
            "max_bundle_bytes": 256_000_000,
        },
        "public": "cifar10.npz",
        "genesis_images": 2_000_000,
    },
    # Any folder of pictures, with or without a sub-folder per class: `ape run deploy` fills in the classes.
    "art64": {
        "task": {
            "name": "art64",
            "description": "A folder of pictures, 64×64 colour.",
            "images": {"size": 64, "channels": 3, "classes": ("picture",), "flip": True},
            "network": {"unshuffle": 4, "channels": (96, 128)},
            "sampling": {"steps": 12, "images": 200},
        },
        "public": "pictures",
        "genesis_images": 20_000,
    },
}

# The task of the paper's Table 1, which fits eq. 6 only with R_C in percent: w = 100 000 (docs/scoring.md, "the unit trap").
_CIFAR10 = PRESETS["cifar10-ddpm"]
PRESETS["table1"] = {
    **_CIFAR10,
    "task": {
        **_CIFAR10["task"],
        "name": "table1",
        "description": "CIFAR-10 as in cifar10-ddpm, Q-N in the unit of the PDFed paper's Table 1.",
        "scoring": {**_CIFAR10["task"]["scoring"], "novelty_weight": 100_000.0},
    },
}
