#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Answers as a native solc does for the two calls that Ape makes of it, using the compiler of the npm package `solc`
// (the same compiler as WebAssembly). Used only where no native solc of this version is installed.
'use strict';
const fs = require('fs');
const path = require('path');
const solc = require(process.env.PDFED_SOLC_MODULE || 'solc');

const flags = process.argv.slice(2);

if (flags.includes('--version')) {
  const version = solc.version().replace('Emscripten.clang', 'Linux.g++');
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${version}`);
  process.exit(0);
}
if (!flags.includes('--standard-json')) {
  console.error('this stand-in for solc knows --version and --standard-json only');
  process.exit(1);
}
const base = flags.includes('--base-path') ? flags[flags.indexOf('--base-path') + 1] : '.';
const readImport = (name) => {
  try {
    return { contents: fs.readFileSync(path.join(base, name), 'utf8') };
  } catch (fault) {
    return { error: String(fault) };
  }
};
process.stdout.write(solc.compile(fs.readFileSync(0, 'utf8'), { import: readImport }));
