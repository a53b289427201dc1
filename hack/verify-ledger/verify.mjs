// A second verifier of exports of the ledger, which shares no code with the first: node verify.mjs [--key VKEY] [--checkpoint FILE] EXPORT.tar...
// It needs node and nothing else. Exit code 0: all of them verify. README.md of an export says what is checked.
import { createHash, createPublicKey, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

const sha256 = (...parts) => parts.reduce((h, p) => h.update(p), createHash('sha256')).digest()
const leaf = (entry) => sha256(Buffer.from([0]), entry), node = (left, right) => sha256(Buffer.from([1]), left, right)
const must = (is, text) => { if (!is) throw new Error(text) }
const latin = (bytes) => bytes.toString('latin1'), sameB64 = (bytes, text) => bytes.toString('base64') === text

// Plain files of a tar, each once, with two empty blocks and nothing else behind them.
function untar(tar) {
  const files = new Map()
  for (let at = 0; ;) {
    must(at + 1024 <= tar.length, 'the tar file was cut off')
    const head = tar.subarray(at, at + 512)
    if (head.every((b) => b === 0)) {
      must(tar.subarray(at).every((b) => b === 0), 'something follows the end of the tar file')
      return files
    }
    const sum = head.reduce((n, b, i) => n + (i >= 148 && i < 156 ? 32 : b), 0)
    const octal = (from, to) => parseInt(latin(head.subarray(from, to)), 8)
    const name = latin(head.subarray(0, 100)).split('\0')[0], size = octal(124, 136)
    must(octal(148, 156) === sum && Number.isSafeInteger(size) && size >= 0 && at + 512 + size <= tar.length, 'the tar file is damaged')
    must(head[156] === 0x30 && head[345] === 0, `${name} is no plain file`)
    must(/^[A-Za-z0-9][A-Za-z0-9.\/-]*$/.test(name) && !name.split('/').some((p) => p === '' || p === '.' || p === '..'), 'a name is no plain path')
    must(!files.has(name), `${name} is there twice`)
    files.set(name, tar.subarray(at + 512, at + 512 + size))
    at += 512 + Math.ceil(size / 512) * 512
  }
}

// A key in the form of signed notes: name+hash+base64(1, 32 bytes of Ed25519).
function readKey(text) {
  const [, name, hash, b64] = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+\/]{44})\n?$/.exec(text) ?? []
  must(name, 'a key is not name+hash+key')
  const raw = Buffer.from(b64, 'base64')
  must(raw[0] === 1 && sha256(name, '\n', raw).toString('hex').startsWith(hash), 'a key is no Ed25519 key, or its hash is wrong')
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), raw.subarray(1)])
  return { text: text.trim(), name, id: Buffer.from(hash, 'hex'), key: createPublicKey({ key: spki, format: 'der', type: 'spki' }) }
}

// A signed note that says origin, size and root. One trusted key must have signed it under the name of the log; none may have signed it wrongly.
function openCheckpoint(bytes, keys) {
  const split = bytes.lastIndexOf('\n\n')
  must(split > 0, 'a checkpoint is no signed note')
  const text = bytes.subarray(0, split + 1)
  const [, origin, size, root] = /^(stele\.dev\/ledger\/[!-~]+)\n(0|[1-9][0-9]{0,14})\n([A-Za-z0-9+\/]{43}=)\n$/.exec(latin(text)) ?? []
  must(origin && sameB64(Buffer.from(root, 'base64'), root), 'a checkpoint does not say origin, size and root')
  const lines = bytes.subarray(split + 2).toString('utf8').split('\n')
  must(lines.pop() === '' && new Set(lines).size === lines.length, 'the signatures of a checkpoint are malformed')
  let signed = false
  for (const line of lines) {
    const [, name, b64] = /^\u2014 ([^\s+]+) ([A-Za-z0-9+\/]+=*)$/.exec(line) ?? []
    const sig = Buffer.from(b64 ?? '', 'base64')
    must(name && sig.length > 4 && sameB64(sig, b64), 'the signatures of a checkpoint are malformed')
    for (const k of keys.filter((k) => k.name === name && k.id.equals(sig.subarray(0, 4)))) {
      must(verify(null, text, k.key, sig.subarray(4)), 'the signature of a checkpoint is wrong')
      signed ||= name === origin
    }
  }
  must(signed, 'no trusted key has signed a checkpoint')
  return { origin, size: Number(size), root: Buffer.from(root, 'base64'), bytes }
}

// Path of the n-th tile or bundle, of which there are so many nodes.
function path(prefix, n, nodes) {
  let text = String(n % 1000).padStart(3, '0')
  for (let rest = Math.floor(n / 1000); rest > 0; rest = Math.floor(rest / 1000)) text = `x${String(rest % 1000).padStart(3, '0')}/${text}`
  return `tile/${prefix}/${text}` + (nodes - n * 256 < 256 ? `.p/${nodes - n * 256}` : '')
}

// Root of the first `size` leaves: RFC 6962 pairs from the left, and a node without a partner goes up as it is.
function root(leaves, size) {
  let level = leaves.slice(0, size)
  if (size === 0) return sha256()
  for (; level.length > 1;) level = Array.from({ length: Math.ceil(level.length / 2) }, (_, i) => 2 * i + 1 < level.length ? node(level[2 * i], level[2 * i + 1]) : level[2 * i])
  return level[0]
}

function checkProof(name, bytes, keys, checkpoint, leaves) {
  const [, extra, index, hashes, note] = /^c2sp\.org\/tlog-proof@v1\nextra ([A-Za-z0-9+\/]+=*)\nindex (0|[1-9][0-9]{0,14})\n((?:[A-Za-z0-9+\/]{43}=\n)*)\n([^]*)$/.exec(latin(bytes)) ?? []
  must(extra && name === `proofs/${index}.tlog-proof` && note === latin(checkpoint.bytes), `${name} is no proof of this log`)
  const entry = Buffer.from(extra, 'base64')
  const path = hashes.split('\n').slice(0, -1).map((h) => { must(sameB64(Buffer.from(h, 'base64'), h), `${name} is malformed`); return Buffer.from(h, 'base64') })
  must(sameB64(entry, extra) && Number(index) < leaves.length, `${name} is malformed`)
  for (var hash = leaf(entry), at = Number(index), last = checkpoint.size - 1; last > 0; at >>= 1, last >>= 1) {
    if (at === last && at % 2 === 0) continue // no partner on this level
    must(path.length > 0, `${name} is too short`)
    hash = at % 2 ? node(path.shift(), hash) : node(hash, path.shift())
  }
  must(path.length === 0 && hash.equals(checkpoint.root), `${name} does not lead to the root`)
}

function check(tar, given, earlier) {
  const files = untar(tar)
  const left = new Set(files.keys()), all = (form) => [...left].filter((name) => form.test(name))
  const take = (name) => { must(files.has(name), `${name} is missing`); left.delete(name); return files.get(name) }
  const sums = all(/^(?!SHA256SUMS$)/).map((name) => `${sha256(files.get(name)).toString('hex')}  ${name}`).sort()
  must(latin(take('SHA256SUMS')) !== '' && latin(files.get('SHA256SUMS')).split('\n').sort().join('\n') === ['', ...sums].sort().join('\n'), 'a file is not the one of SHA256SUMS')
  take('README.md')
  const own = all(/^keys\/.*\.vkey$/).map((name) => readKey(latin(take(name))))
  const keys = given.length > 0 ? given : own
  must(own.every((k) => keys.some((g) => g.text === k.text)), 'a key of the file is not trusted')
  const checkpoint = openCheckpoint(take('checkpoint'), keys)
  const { size } = checkpoint, entries = []
  for (let n = 0; n * 256 < size; n++) {
    const bundle = take(path('entries', n, size))
    for (let at = 0; at < bundle.length;) {
      must(at + 2 <= bundle.length && at + 2 + bundle.readUInt16BE(at) <= bundle.length, `entry ${entries.length}: cut off`)
      entries.push(bundle.subarray(at + 2, at += 2 + bundle.readUInt16BE(at)))
    }
    must(entries.length === Math.min(size, (n + 1) * 256), `entries ${n * 256} and following: too few or too many`)
  }
  const leaves = entries.map(leaf)
  for (let level = 0, nodes = leaves; nodes.length > 0; level++) {
    for (let n = 0; n * 256 < nodes.length; n++) {
      const name = path(level, n, nodes.length)
      must(take(name).equals(Buffer.concat(nodes.slice(n * 256, n * 256 + 256))), `${name}: its hashes are not those of the entries`)
    }
    nodes = Array.from({ length: Math.floor(nodes.length / 256) }, (_, n) => root(nodes.slice(n * 256, n * 256 + 256), 256))
  }
  must(root(leaves, size).equals(checkpoint.root), 'the entries do not lead to the root that was signed')
  for (const name of all(/^checkpoints\/(0|[1-9][0-9]*)$/)) earlier = [...earlier, [take(name), Number(name.slice(12))]]
  for (const [bytes, promised] of earlier) {
    const c = openCheckpoint(bytes, keys)
    must(c.origin === checkpoint.origin && c.size <= size && (promised ?? c.size) === c.size && root(leaves, c.size).equals(c.root), `the log does not lead on the checkpoint of ${c.size} entries`)
  }
  must(Buffer.concat(entries.flatMap((e) => [e, Buffer.from('\n')])).equals(take('entries.jsonl')), 'entries.jsonl is not what the log says')
  const seen = new Set(entries.map((e, i) => { const { key, schema } = JSON.parse(e); must(schema === 'stele.dev/entry/v1' && key, `entry ${i}: malformed`); return key }))
  must(seen.size === size, 'two entries have the same key')
  for (const name of all(/^proofs\/(0|[1-9][0-9]*)\.tlog-proof$/)) checkProof(name, take(name), keys, checkpoint, leaves)
  must(left.size === 0, `${[...left][0]} does not belong here`)
  return `${size} entries of ${checkpoint.origin}${given.length ? '' : ' (with the key of the file)'}`
}

const list = { type: 'string', multiple: true, default: [] }
const { values, positionals } = parseArgs({ options: { key: list, checkpoint: list }, allowPositionals: true })
const keys = values.key.map(readKey), earlier = values.checkpoint.map((file) => [readFileSync(file)])
process.exitCode = positionals.length > 0 ? 0 : 2
for (const file of positionals) {
  try {
    console.log(`ok ${file}: ${check(readFileSync(file), keys, earlier)}`)
  } catch (e) {
    console.log(`bad ${file}: ${JSON.stringify(e.message)}`)
    process.exitCode = 1
  }
}
