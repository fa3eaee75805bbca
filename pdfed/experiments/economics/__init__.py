# SPDX-License-Identifier: Apache-2.0
"""Economics: what dishonest strategies earn against honest play, on the mechanism itself."""

from pdfed.experiments.economics.experiment import Settings, run

__all__ = ["Settings", "run"]
