# SPDX-License-Identifier: Apache-2.0
"""Train a task's scoring models (fingerprinter, verifier) once, at deployment, and measure their quality.

train_scorers: the whole training. scorer_training: one optimiser step at a time. augment, negatives: its pairs of pictures.
quality: recall and accuracy on held-out pictures.
"""
