# SPDX-License-Identifier: Apache-2.0
"""Write the compiled contract into the package, for installations without a checkout: pdfed/chain/PDFed.json.

Run it after a change of contracts/: `make compiled`. The file holds `abi` (list), `creation`, `runtime` (0x-hex bytecode) and
`solc` (the compiler's version).
"""

from __future__ import annotations

import json
import sys

from pdfed.atomic import write_atomic
from pdfed.chain.abi import PACKAGED, compile_contract
from pdfed.errors import PDFedError


def main() -> None:
    try:
        build = compile_contract()
    except PDFedError as fault:
        sys.exit(str(fault))
    write_atomic(PACKAGED, json.dumps(build, sort_keys=True) + "\n")
    print(f"{PACKAGED}: solc {build['solc']}, {len(build['runtime']) // 2 - 1} bytes of runtime code")


if __name__ == "__main__":
    main()
