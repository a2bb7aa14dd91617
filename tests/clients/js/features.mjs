// Runs what a client is to show, several features at a time, and prints a line of JSON for each.
//
//     node kafkajs.mjs '{"broker": "127.0.0.1:9092", "faulty": "127.0.0.1:5001", "doomed": ["127.0.0.1:5002"]}'
//
// `faulty` is a network that breaks connections now and then; `doomed` are networks that break for good when told so.

import { randomUUID } from 'node:crypto'
import { createConnection } from 'node:net'

export const settings = JSON.parse(process.argv[2])

const FEATURE_TIMEOUT_MS = 60_000
const AT_ONCE = 6

export async function show (features) {
  const waiting = Object.entries(features)
  const worker = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [feature, story] = next
      let error = null
      try {
        await within(FEATURE_TIMEOUT_MS, story())
      } catch (failure) {
        error = told(failure)
      }
      console.log(JSON.stringify({ feature, error }))
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

function told (failure) {
  const causes = [failure.cause, ...(failure.errors ?? [])].filter(Boolean).map(told)
  return [failure.stack ?? String(failure), ...causes].join('\ncaused by: ')
}

export function unique (name) {
  return `${name}-${randomUUID().slice(0, 12)}`
}

export function sleep (ms) {
  return new Promise(resolve => setTimeout(resolve, ms))
}

export async function within (ms, promise) {
  let timer
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

// Look again and again until there is something to see, and return it.
export async function eventually (look) {
  const deadline = Date.now() + 20_000
  while (Date.now() < deadline) {
    const seen = await look()
    if (seen) return seen
    await sleep(50)
  }
  throw new Error(`not within 20 s: ${look}`)
}

export async function refusal (promise) {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new Error('was not refused')
}

// Break a network for good: to the broker, whoever uses it has crashed.
export function breakForGood (address) {
  const [host, port] = address.split(':')
  createConnection(Number(port), host).on('error', () => {}).end('BREAK\n')
}
