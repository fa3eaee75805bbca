// SPDX-License-Identifier: Apache-2.0
// An IPFS node for the tests: node daemon.mjs REPO. Speaks Kubo's RPC and bitswap on 127.0.0.1 only, knows no other node until it
// is told of one, and ends when its standard input does: with the process that started it, however that ends.
import { join } from 'node:path'

Promise.withResolvers ??= function () {  // Node 20 lacks it
  const parts = {}
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }))
  return parts
}
process.stdin.on('end', () => process.exit(0)).on('error', () => process.exit(0)).resume()

const { create } = await import('ipfs-core')
const { HttpApi } = await import('ipfs-http-server')
const { HttpGateway } = await import('ipfs-http-gateway')

const here = '/ip4/127.0.0.1/tcp/0'
const ipfs = await create({
  repo: join(process.argv[2]),
  silent: true,
  preload: { enabled: false },
  init: { emptyRepo: true, algorithm: 'Ed25519' },
  config: {
    Addresses: { Swarm: [here], API: here, Gateway: here, Announce: [], NoAnnounce: [], Delegates: [] },
    Bootstrap: [],
    Discovery: { MDNS: { Enabled: false }, webRTCStar: { Enabled: false } },
    Pubsub: { Enabled: false },
    Routing: { Type: 'none' },
    Swarm: { DisableNatPortMap: true }
  }
})
const api = new HttpApi(ipfs)
await api.start()
const gateway = new HttpGateway(ipfs)
await gateway.start()
const { id, addresses } = await ipfs.id()
console.log(JSON.stringify({
  id: id.toString(),
  swarm: addresses.map(String).filter(address => address.startsWith('/ip4/127.0.0.1/')),
  api: `127.0.0.1:${api._apiServers[0].info.port}`,
  gateway: `http://127.0.0.1:${gateway._gatewayServers[0].info.port}`
}))
