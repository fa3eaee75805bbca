# SPDX-License-Identifier: Apache-2.0
"""Output for people and programs: terminal tables, JSON facts, the web page of a demo."""
