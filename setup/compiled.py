# SPDX-License-Identifier: Apache-2.0
"""Write the compiled contracts into the package, for installations without a checkout: pdfed/chain/PDFed.json, PDFedUse.json.

Run it after a change of contracts/: `make compiled`. Each file holds `abi` (list), `creation`, `runtime` (0x-hex bytecode) and
`solc` (the compiler's version).
"""

from __future__ import annotations

import json
import sys

from pdfed.atomic import write_atomic
from pdfed.chain.abi import CONTRACT, PACKAGED, USE_CONTRACT, compile_contract
from pdfed.errors import PDFedError


def main() -> None:
    for name in (CONTRACT, USE_CONTRACT):
        try:
            build = compile_contract(name)
        except PDFedError as fault:
            sys.exit(str(fault))
        packaged = PACKAGED / f"{name}.json"
        write_atomic(packaged, json.dumps(build, sort_keys=True) + "\n")
        print(f"{packaged}: solc {build['solc']}, {len(build['runtime']) // 2 - 1} bytes of runtime code")


if __name__ == "__main__":
    main()
