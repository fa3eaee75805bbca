# SPDX-License-Identifier: Apache-2.0
"""One node: events in, transactions out, one bounded step at a time.

core.py           the step: read events, send and queue transactions, run one piece of a job
loop.py           the loop of `ape run node`: steps, rests, Ctrl-C
inbox.py          models of others: fetch, verify, screen, score
submission.py     the next submission: train, judge, sign, submit, publish
ballots.py        votes: commit, reveal
strategy.py       decisions: whose votes to believe, which models to continue from, whether to submit
evaluation.py     weights → samples → score on the node's own data
privacy_audit.py  membership inference on the node's own pictures
pinning.py        bundles that are kept on disk and pinned in the store
context.py        open resources that all of them share
"""

from pdfed.node.context import NodeContext, home_of, open_context
from pdfed.node.core import Activity, Node
from pdfed.node.node_errors import NodeBusy, StakeTooLow

__all__ = ["Activity", "Node", "NodeBusy", "NodeContext", "StakeTooLow", "home_of", "open_context"]
