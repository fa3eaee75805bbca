# SPDX-License-Identifier: Apache-2.0
"""One node: events in, transactions out, one bounded step at a time.

core.py      the step: follow the chain, send, queue what is due, do one piece of work
inbox.py     models of others: fetch, verify, screen, score
draft.py     the own next submission: train, judge, sign, submit, publish
ballots.py   votes: commit, reveal
shelf.py     what is kept: pins in the store, bundles on disk
workplace.py what all of them work with, opened once
"""

from pdfed.node.core import Activity, Node
from pdfed.node.errors import NodeBusy, StakeTooLow
from pdfed.node.workplace import Workplace, home_of, open_workplace

__all__ = ["Activity", "Node", "NodeBusy", "StakeTooLow", "Workplace", "home_of", "open_workplace"]
