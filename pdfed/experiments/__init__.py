# SPDX-License-Identifier: Apache-2.0
"""The papers' experiments and the economics: one module and one YAML of presets each, run by `ape run experiment NAME`."""
