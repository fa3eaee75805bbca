# SPDX-License-Identifier: Apache-2.0
"""Everything that knows Ape, wei and blocks; no other package imports Ape.

abi.py               the compiled contract; encodes calls, decodes return values, events and errors
client.py            typed, read-only client of one contract
feed.py              confirmed events in order, with undo after a reorg, kept in the journal
events.py            the event type that the feed yields
ledger.py            events folded into facts: models, votes, nodes, champion, money
outbox.py            transactions that take effect exactly once; outbox_table.py: their rows in the journal
fees.py              fee quotes, signing, waiting for a receipt
deployment_tx.py     a deployment that is paid once, however often it is stopped
verification.py      deployed code against the sources; contract_sources.py: compiles them by solc alone
creation_check.py    the transaction that created a contract: did it run our constructor?
networks.py          --network choices; local_chain.py: an anvil for the demo and tests
accounts.py          Ape accounts that sign; secret.py: salts, pads and noise seeds that only this account can derive
rpc.py               JSON-RPC calls and batches
chain_errors.py      errors of chain, account and transaction
"""
