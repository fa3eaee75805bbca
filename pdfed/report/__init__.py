# SPDX-License-Identifier: Apache-2.0
"""What people see of a federation: tables in the terminal. Reads the ledger, audits and journals; nothing reads it."""
