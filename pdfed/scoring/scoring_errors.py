# SPDX-License-Identifier: Apache-2.0
"""Errors and warnings of scoring."""

from __future__ import annotations

from pdfed.errors import PDFedError


class BadPictures(PDFedError):
    """Pictures or labels of a shape or type that can't be scored."""


class BadFeatures(PDFedError):
    """Input that a metric can't take: features, probabilities or pairs of a wrong shape, empty or not finite; an argument out of
    range."""


class ScorersRejected(PDFedError):
    """A file of scoring models that does not match the task. Nothing of it was used."""


class CheckpointUnfit(PDFedError):
    """A training checkpoint of scoring models that can't be resumed."""


class ModelMissing(PDFedError):
    """A feature extractor whose weights are not in the folder or in the hub's cache, or differ from the task's."""


class MetricUndefined(RuntimeWarning):
    """Warns that a metric has no value for these samples and returned nan. The message says why."""
