# SPDX-License-Identifier: Apache-2.0
"""One node: events in, transactions out, one bounded step at a time.

core.py      the step: follow the chain, send, queue what is due, do one piece of work
inbox.py     models of others: fetch, verify, screen, score
draft.py     the own next submission: train, judge, sign, submit, publish
ballots.py   votes: commit, reveal
pinning.py     what is kept: pins in the store, bundles on disk
workplace.py what all of them work with, opened once
"""

from pdfed.node.context import NodeContext, home_of, open_context
from pdfed.node.core import Activity, Node
from pdfed.node.node_errors import NodeBusy, StakeTooLow

__all__ = ["Activity", "Node", "NodeBusy", "NodeContext", "StakeTooLow", "home_of", "open_context"]
