# SPDX-License-Identifier: Apache-2.0
"""How long this machine takes: each measurement in a process of its own, so that its peak memory is its own.

jobs.py what is measured (in the child) · runner.py starts the children · tables.py shows and keeps what they say
"""
