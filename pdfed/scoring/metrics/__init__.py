# SPDX-License-Identifier: Apache-2.0
"""Metrics that Q-N is compared with.

One module per metric: frechet (FID), fid_infinity, kernel_distance (KID), inception_score, precision_recall, fld,
overfit_gaussians, auth_pct, ct_score; on pixels: gap_ratio (f_mem), extraction. Shared by several: mixture (Gaussians on
samples), neighbours (exact nearest neighbours).
"""
