# SPDX-License-Identifier: Apache-2.0
"""Training of a task's scoring models (fingerprinter, verifier), once, at deployment, and their measured quality."""
