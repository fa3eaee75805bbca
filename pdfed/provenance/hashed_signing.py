# SPDX-License-Identifier: Apache-2.0
"""Sign a manifest over a hash that the caller computes (c2pa-rs "data hashed" signing, missing in its Python package).

The library can't write safetensors files with a manifest inside, so the caller hashes the file and the library only signs.
Calls two functions of the library's C interface, documented in its c2pa.h; tested with the pinned c2pa-python.
"""

from __future__ import annotations

import ctypes
import io
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from c2pa import Builder, C2paError, C2paSignerInfo, Signer
from c2pa import c2pa as library

from pdfed.provenance import manifest_reading
from pdfed.provenance.assertions import one_line
from pdfed.provenance.identity import Identity
from pdfed.provenance.manifest_store import MAX_STORE_BYTES
from pdfed.provenance.provenance_errors import ManifestInvalid

_RAW = b"application/c2pa"  # the bare store, without a container
_BYTES = ctypes.POINTER(ctypes.c_ubyte)
_BUILDER, _SIGNER, _STREAM = (ctypes.POINTER(kind) for kind in (library.C2paBuilder, library.C2paSigner, library.C2paStream))

_placeholder = library._lib.c2pa_builder_data_hashed_placeholder
_placeholder.argtypes = [_BUILDER, ctypes.c_size_t, ctypes.c_char_p, ctypes.POINTER(_BYTES)]
_placeholder.restype = ctypes.c_int64
_sign = library._lib.c2pa_builder_sign_data_hashed_embeddable
_sign.argtypes = [_BUILDER, _SIGNER, ctypes.c_char_p, ctypes.c_char_p, _STREAM, ctypes.POINTER(_BYTES)]
_sign.restype = ctypes.c_int64


class HashedSigning:
    """Context manager: `size` is the size of the future store in bytes; `sign` makes it, once the file is hashed."""

    def __init__(self, definition: Mapping[str, Any], resources: Mapping[str, bytes], identity: Identity) -> None:
        self._definition, self._resources, self._identity = definition, resources, identity
        self._stack = ExitStack()
        self.size = 0

    def __enter__(self) -> HashedSigning:
        """Compute `size`. Raises ManifestInvalid."""
        info = C2paSignerInfo(b"es256", self._identity.chain, self._identity.leaf().private_pem, None)
        try:
            self._signer = self._stack.enter_context(Signer.from_info(info))
            self._builder = self._stack.enter_context(Builder(dict(self._definition), context=manifest_reading.offline_context()))
            for name, content in self._resources.items():
                self._builder.add_resource(name, io.BytesIO(content))
            self.size = len(self._call(_placeholder, self._signer.reserve_size(), _RAW))
        except BaseException as fault:
            self._stack.close()
            if isinstance(fault, C2paError):
                raise _signing_error(one_line(str(fault))) from fault
            raise
        if self.size > MAX_STORE_BYTES:
            self._stack.close()
            raise _signing_error(f"it would have {self.size} bytes, over {MAX_STORE_BYTES}")
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def sign(self, digest: bytes, exclusions: Sequence[tuple[int, int]]) -> bytes:
        """Sign and return the store, `size` bytes long. digest: sha256 of the file without the `exclusions` (start, length)."""
        binding = {
            "exclusions": [{"start": start, "length": length} for start, length in exclusions],
            "name": "jumbf manifest",
            "alg": "sha256",
            "hash": list(digest),
            "pad": [],
        }
        store = self._call(_sign, self._signer._handle, json.dumps(binding).encode(), _RAW, None)
        if len(store) != self.size:
            raise _signing_error(f"it came out at {len(store)} bytes instead of {self.size}")
        return store

    def _call(self, function: Any, *arguments: Any) -> bytes:
        """Call a C function on the builder. Returns a copy of its output, which is freed. Raises ManifestInvalid."""
        output = _BYTES()
        with self._builder._exclusive_native_call():
            length = function(self._builder._handle, *arguments, ctypes.byref(output))
        if length < 0:
            raise _signing_error(one_line(str(library._read_native_error())))
        try:
            return ctypes.string_at(output, length)
        finally:
            library._lib.c2pa_free(output)


def _signing_error(cause: str) -> ManifestInvalid:
    return ManifestInvalid(
        f"The manifest can't be signed: {cause}.", "Nothing was exported. Run again; if it fails, report this."
    )
