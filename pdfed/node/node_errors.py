# SPDX-License-Identifier: Apache-2.0
"""Errors of running a node."""

from __future__ import annotations

from pdfed.errors import PDFedError


class StakeTooLow(PDFedError):
    """The node's stake is below the task's minimum."""


class NodeBusy(PDFedError):
    """Another process already runs this account's node in this folder."""


class HostileTerms(PDFedError):
    """The task's terms let others take what a member puts in."""
