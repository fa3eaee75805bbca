# SPDX-License-Identifier: Apache-2.0
"""What a person can meet while scoring."""

from __future__ import annotations

from pdfed.errors import PDFedError


class BadPictures(PDFedError):
    """Pictures or labels of a shape or type that can't be scored."""


class BadFeatures(PDFedError):
    """A feature matrix (or probabilities, pairs, or a number beside them) that a metric can't take: wrong shape, empty, or not
    finite."""


class ScorersRejected(PDFedError):
    """A file of scoring models that is not what the task's spec says; nothing of it was used."""


class CheckpointUnfit(PDFedError):
    """A checkpoint of scoring models in training that can't be continued from."""


class ModelMissing(PDFedError):
    """A feature extractor whose weights are neither in the given folder nor in the hub's cache."""


class MetricUndefined(RuntimeWarning):
    """A metric has no value for these samples; nan was returned. The message says why."""
