# SPDX-License-Identifier: Apache-2.0
"""Metrics on features that Q-N is compared with.

One module per metric: frechet (FID), inception_score, fld, overfit_gaussians, auth_pct, ct_score, precision_recall. Shared by
several: mixture (Gaussians on samples), neighbours (exact nearest neighbours).
"""
