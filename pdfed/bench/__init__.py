# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of this machine. Each measurement has its own process, so that its peak memory is its own.

jobs.py measures (in the child process) · measure.py starts the processes · tables.py shows and stores the results ·
features.py makes synthetic fingerprints
"""
