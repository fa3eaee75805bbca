// SPDX-License-Identifier: Apache-2.0
// Validate a picture, weights with a manifest beside them (model.safetensors + .c2pa), or weights with a manifest inside, with
// an independent C2PA implementation: node read.mjs FILE [MANIFEST]. Prints JSON: {kind, valid, codes, failed, manifests}.

import { readFile } from 'node:fs/promises';
import { PNG } from '@trustnxt/c2pa-ts/asset';
import { SuperBox } from '@trustnxt/c2pa-ts/jumbf';
import { ManifestStore, ValidationResult } from '@trustnxt/c2pa-ts/manifest';

const UNTRUSTED = 'signingCredential.untrusted'; // expected without a trust list

/** A file format unknown to the library. manifest: the store's bytes; range: of the file, excluded from its hash. */
class PlainFile {
  constructor(data, manifest, range) {
    Object.assign(this, { data, manifest, range });
  }
  getManifestJUMBF() {
    return this.manifest;
  }
  getDataLength() {
    return this.data.length;
  }
  async getDataRange(start = 0, length = this.data.length - start) {
    return this.data.subarray(start, start + length);
  }
  getHashExclusionRange() {
    return this.range;
  }
}

/** Weights with a manifest inside (C2PA 2.5, A.3.16): the Base64 value of "c2pa:manifest" in the header's metadata. */
function embedded(data) {
  const length = Number(new DataView(data.buffer, data.byteOffset).getBigUint64(0, true));
  const header = Buffer.from(data.subarray(8, 8 + length)).toString('utf8');
  const value = JSON.parse(header).__metadata__?.['c2pa:manifest'];
  if (value === undefined) throw new Error('no c2pa:manifest in the header');
  const start = 8 + Buffer.byteLength(header.slice(0, header.indexOf(value)));
  return new PlainFile(data, new Uint8Array(Buffer.from(value, 'base64')), { start, length: value.length });
}

const [path, sidecar] = process.argv.slice(2);
const data = new Uint8Array(await readFile(path));
let kind, asset;
if (sidecar) {
  [kind, asset] = ['sidecar', new PlainFile(data, new Uint8Array(await readFile(sidecar)), { start: 0, length: 0 })];
} else if (PNG.canRead(data)) {
  [kind, asset] = ['png', new PNG(data)];
} else {
  [kind, asset] = ['header', embedded(data)];
}
let result;
let manifests = [];
try {
  const store = ManifestStore.read(SuperBox.fromBuffer(asset.getManifestJUMBF()));
  manifests = store.manifests ?? [];
  result = await store.validate(asset);
} catch (fault) {
  result = ValidationResult.fromError(fault);
}
const entries = result.statusEntries ?? [];
const failed = entries.filter((entry) => !entry.success && entry.code !== UNTRUSTED);
console.log(
  JSON.stringify({
    kind,
    valid: entries.length > 0 && failed.length === 0,
    codes: [...new Set(entries.map((entry) => entry.code))].sort(),
    failed: [...new Set(failed.map((entry) => entry.code))].sort(),
    manifests: manifests.length,
  }),
);
