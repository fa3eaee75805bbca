# SPDX-License-Identifier: Apache-2.0
"""Metrics of two feature sets that Q-N is compared with: Fréchet distance, FLD, AuthPct, C_T, precision, recall."""
