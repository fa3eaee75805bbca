# SPDX-License-Identifier: Apache-2.0
"""Jury size: gas saved against the chance that hostile stake captures a model's vote."""

from pdfed.experiments.jury.experiment import Settings, run

__all__ = ["Settings", "run"]
