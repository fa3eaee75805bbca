# SPDX-License-Identifier: Apache-2.0
"""Diffusion models: network, noise schedule, training in bounded slices, sampling, weights files and their screening."""

from pdfed.diffusion.network import Weights, build_network, initial_weights
from pdfed.diffusion.sampling import balanced_labels, grid, sample_all, samples
from pdfed.diffusion.schema import schema
from pdfed.diffusion.training import CheckpointUnreadable, Progress, TrainingDiverged, TrainingRun
from pdfed.diffusion.weights import WeightsRejected, load_weights, merge, nearly_equal, save_weights, weights_distance

__all__ = [
    "CheckpointUnreadable",
    "Progress",
    "TrainingDiverged",
    "TrainingRun",
    "Weights",
    "WeightsRejected",
    "balanced_labels",
    "build_network",
    "grid",
    "initial_weights",
    "load_weights",
    "merge",
    "nearly_equal",
    "sample_all",
    "samples",
    "save_weights",
    "schema",
    "weights_distance",
]
