# SPDX-License-Identifier: Apache-2.0
"""A task's public settings and a node's private configuration, as pydantic models.

Imports nothing of pdfed but errors and untrusted_json.
"""

from pdfed.spec.money import wei
from pdfed.spec.node_config import DINOV2, NodeConfig
from pdfed.spec.presets import PRESETS
from pdfed.spec.spec_files import SpecError, TaskVersionError, read_node_config, read_task_file, read_task_json
from pdfed.spec.task import (
    Images,
    Network,
    Sampling,
    Scoring,
    TaskFile,
    TaskSpec,
    TermsSpec,
    Training,
)
from pdfed.spec.use import UseSpec

__all__ = [
    "DINOV2",
    "PRESETS",
    "Images",
    "Network",
    "NodeConfig",
    "Sampling",
    "Scoring",
    "SpecError",
    "TaskFile",
    "TaskSpec",
    "TaskVersionError",
    "TermsSpec",
    "Training",
    "UseSpec",
    "read_node_config",
    "read_task_file",
    "read_task_json",
    "wei",
]
