# SPDX-License-Identifier: Apache-2.0
"""The only room that knows Ape, wei and blocks.

errors.py    what can go wrong with a chain, an account or a transaction
rpc.py       calls and batches to an Ethereum node, errors named
abi.py       the compiled contract: its code, and the words of its calls, events and errors
client.py    typed contract client
events.py    what the contract said
feed.py      its confirmed events, in order, with undo after a reorg, kept in the journal
outbox.py    transactions that are sent exactly once, kept in the journal
ledger.py    events folded into facts
networks.py  which chain; accounts.py: whose key; secret.py: what only this account can derive
local.py     a chain of one's own, for the demo and tests
"""
