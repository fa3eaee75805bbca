// SPDX-License-Identifier: Apache-2.0
// IPFS node for the tests: node daemon.mjs REPO. Serves Kubo's RPC, a gateway and bitswap on 127.0.0.1 only; knows no other node
// until a test connects one. Prints its addresses as JSON. Exits at the end of its standard input: with its parent process,
// however that ends.
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

const loopback = '/ip4/127.0.0.1/tcp/0'
const ipfs = await create({
  repo: join(process.argv[2]),
  silent: true,
  preload: { enabled: false },
  init: { emptyRepo: true, algorithm: 'Ed25519' },
  config: {
    Addresses: { Swarm: [loopback], API: loopback, Gateway: loopback, Announce: [], NoAnnounce: [], Delegates: [] },
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
