// @platformatic/kafka.

import assert from 'node:assert/strict'
import {
  Admin, ConfigResourceTypes, Consumer, FetchIsolationLevels, IncrementalAlterConfigOperationTypes,
  MessagesStreamModes, Producer, stringDeserializers, stringSerializers
} from '@platformatic/kafka'
import { breakForGood, eventually, refusal, settings, show, sleep, unique } from './features.mjs'

const CLASSIC = { sessionTimeout: 2000, heartbeatInterval: 300, rebalanceTimeout: 5000 }
const KIP_848 = { groupProtocol: 'consumer' }
const { COMMITTED: RESUMING, EARLIEST, LATEST, MANUAL } = MessagesStreamModes
const UNCOMMITTED = { isolationLevel: FetchIsolationLevels.READ_UNCOMMITTED }

const connection = (address = settings.broker) => ({
  clientId: 'millpond-tests', bootstrapBrokers: [address], retries: 60, retryDelay: 50
})
const admin = new Admin(connection())

// It keeps what gets timestamps long ago.
async function makeTopic (partitions = 1, config = {}) {
  const topic = unique('topic')
  const configs = Object.entries({ 'retention.ms': '-1', ...config }).map(([name, value]) => ({ name, value }))
  await admin.createTopics({ topics: [topic], partitions, replicas: 1, configs })
  await eventually(async () => (await admin.listTopics()).includes(topic)) // Kafka tells of it a bit later
  return topic
}

const makeProducer = ({ address, ...options } = {}) =>
  new Producer({ ...connection(address), serializers: stringSerializers, ...options })

// Values are taken as they are; messages are objects.
const messagesOf = (topic, values) =>
  values.map(value => typeof value === 'string' ? { topic, value, partition: 0 } : { topic, partition: 0, ...value })
const send = (producer, topic, ...values) => producer.send({ messages: messagesOf(topic, values), acks: -1 })

async function sendPlain (topic, ...values) {
  const producer = makeProducer()
  await send(producer, topic, ...values)
  await producer.close()
}

// A member of a group that collects what it gets.
async function join (topic, { groupId = unique('group'), address, mode = EARLIEST, offsets, ...options } = {}) {
  const consumer = new Consumer({
    ...connection(address), groupId, autocommit: false, maxWaitTime: 100, deserializers: stringDeserializers,
    isolationLevel: FetchIsolationLevels.READ_COMMITTED, ...(options.groupProtocol ? {} : CLASSIC), ...options
  })
  const member = { consumer, messages: [], failure: null }
  consumer.on('error', () => {})
  const stream = await consumer.consume({ topics: [topic], mode, fallbackMode: mode === MANUAL ? 'fail' : 'earliest', offsets })
  stream.on('data', message => member.messages.push(message))
  stream.on('error', error => { member.failure = error })
  member.leave = () => consumer.close(true)
  return member
}

async function read (topic, count, { offset, ...options } = {}) {
  const from = offset === undefined ? {} : { mode: MANUAL, offsets: [{ topic, partition: 0, offset }] }
  const member = await join(topic, { ...from, ...options })
  await eventually(() => member.messages.length >= count)
  await member.leave()
  assert.equal(member.messages.length, count)
  return member.messages
}

const values = messages => messages.map(message => message.value ?? null)
const numbers = count => Array.from({ length: count }, (_, i) => String(i))

function partitionsOf (member) {
  return (member.consumer.assignments ?? []).flatMap(assignment => assignment.partitions)
}

function sharedOut (...members) {
  const all = members.flatMap(partitionsOf).sort()
  return all.join() === '0,1,2,3' && members.every(member => partitionsOf(member).length > 0)
}

// The identifiers that Kafka's errors have, in whatever an error is wrapped.
function reasons (error) {
  const inner = [...(error.errors ?? []), error.cause].filter(Boolean)
  return [error.apiId, ...inner.flatMap(reasons)].filter(Boolean)
}

async function isRefused (promise, expected) {
  const error = await refusal(promise)
  assert.ok(reasons(error).some(reason => expected.includes(reason)), `${reasons(error)}: ${error.stack}`)
}

async function compressed (compression) {
  const topic = await makeTopic()
  const sent = []
  for (const acks of [0, 1, -1]) {
    const producer = makeProducer()
    const batch = numbers(100).map(i => `${acks} ${i} `.repeat(50))
    await producer.send({ messages: messagesOf(topic, batch), acks, compression })
    if (acks === 0) await sleep(300) // nobody waits for those
    await producer.close()
    sent.push(...batch)
  }
  assert.deepEqual(values(await read(topic, 300)).sort(), sent.sort())
}

const makeTransactional = (options = {}) => makeProducer({ transactionalId: unique('id'), idempotent: true, ...options })

async function configOf (topic, name) {
  const [{ configs }] = await admin.describeConfigs({
    resources: [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: topic, configurationKeys: null }]
  })
  return configs.find(config => config.name === name)
}

async function offsetAt (topic, timestamp) {
  const [listed] = await admin.listOffsets({ topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp }] }] })
  return listed.partitions[0].offset
}

async function committedOffset (groupId) {
  const [listed] = await admin.listConsumerGroupOffsets({ groups: [groupId], requireStable: true })
  return listed.topics[0]?.partitions[0].committedOffset
}

async function joinAndLeave (protocol) {
  const topic = await makeTopic(4)
  const groupId = unique('group')
  const first = await join(topic, { groupId, ...protocol })
  await eventually(() => sharedOut(first))
  const second = await join(topic, { groupId, ...protocol })
  await eventually(() => sharedOut(first, second))
  await second.leave()
  await eventually(() => sharedOut(first))
  await first.leave()
}

async function crash (protocol, wire) {
  const topic = await makeTopic(4)
  const groupId = unique('group')
  const survivor = await join(topic, { groupId, ...protocol })
  const doomed = await join(topic, { groupId, address: wire, ...protocol })
  await eventually(() => sharedOut(survivor, doomed))
  breakForGood(wire)
  await eventually(() => sharedOut(survivor))
  await survivor.leave()
}

async function commitAndResume (protocol) {
  const topic = await makeTopic()
  const groupId = unique('group')
  await sendPlain(topic, ...numbers(10))
  const first = await join(topic, { groupId, ...protocol })
  await eventually(() => first.messages.length === 10)
  await first.consumer.commit({ offsets: [{ topic, partition: 0, offset: 6n, leaderEpoch: 0 }] })
  await first.leave()
  assert.deepEqual(values(await read(topic, 4, { groupId, mode: RESUMING, ...protocol })), ['6', '7', '8', '9'])
}

const features = {
  'no compression': () => compressed('none'),
  gzip: () => compressed('gzip'),
  snappy: () => compressed('snappy'),
  lz4: () => compressed('lz4'),

  headers: async () => {
    const topic = await makeTopic()
    await sendPlain(topic, { value: 'x', headers: { trace: '1', empty: '' } })
    const [{ headers }] = await read(topic, 1)
    assert.deepEqual([...headers], [['trace', '1'], ['empty', '']])
  },

  'null keys and values': async () => {
    const topic = await makeTopic()
    const pairs = [[null, 'v'], ['', 'v'], ['k', null], ['k', '']]
    const producer = makeProducer({ serializers: Object.fromEntries(
      ['key', 'value', 'headerKey', 'headerValue'].map(name => [name, data => data == null ? undefined : Buffer.from(data)])
    ) })
    await send(producer, topic, ...pairs.map(([key, value]) => ({ key, value })))
    await producer.close()
    const deserialize = data => data == null ? null : data.toString()
    const deserializers = { key: deserialize, value: deserialize, headerKey: deserialize, headerValue: deserialize }
    const messages = await read(topic, 4, { deserializers })
    assert.deepEqual(messages.map(({ key, value }) => [key ?? null, value ?? null]), pairs)
  },

  'large records': async () => {
    const topic = await makeTopic()
    const large = '0123456789abcdef'.repeat(62_000)
    for (const value of ['before', large, 'behind']) await sendPlain(topic, value)
    assert.deepEqual(values(await read(topic, 3)), ['before', large, 'behind'])
  },

  timestamps: async () => {
    const theirs = await makeTopic()
    const ours = await makeTopic(1, { 'message.timestamp.type': 'LogAppendTime' })
    for (const topic of [theirs, ours]) await sendPlain(topic, { value: 'x', timestamp: 1234567890123n })
    assert.equal((await read(theirs, 1))[0].timestamp, 1234567890123n)
    assert.equal(await offsetAt(ours, BigInt(Date.now() - 60_000)), 0n)
    assert.equal(await offsetAt(theirs, BigInt(Date.now() - 60_000)), -1n)
  },

  'automatic topics': async () => {
    const topic = unique('automatic')
    const producer = makeProducer({ autocreateTopics: true })
    await send(producer, topic, 'first')
    await producer.close()
    assert.deepEqual(values(await read(topic, 1)), ['first'])
  },

  'from the beginning': async () => {
    const topic = await makeTopic()
    await sendPlain(topic, ...numbers(1000))
    assert.deepEqual((await read(topic, 1000)).map(m => Number(m.offset)), numbers(1000).map(Number))
  },

  'from the end': async () => {
    const topic = await makeTopic()
    await sendPlain(topic, 'before')
    const member = await join(topic, { mode: LATEST })
    await eventually(() => partitionsOf(member).length)
    await sleep(300)
    await sendPlain(topic, 'later')
    await eventually(() => member.messages.length)
    await member.leave()
    assert.deepEqual(values(member.messages), ['later'])
  },

  'from an offset': async () => {
    const topic = await makeTopic()
    await sendPlain(topic, ...numbers(10))
    assert.deepEqual(values(await read(topic, 3, { offset: 7n })), ['7', '8', '9'])
  },

  'from a time': async () => {
    const topic = await makeTopic()
    for (const i of numbers(10)) await sendPlain(topic, { value: i, timestamp: 1_000_000n + 1000n * BigInt(i) })
    const found = await Promise.all([0n, 1_003_500n, 1_009_000n, 2_000_000n].map(time => offsetAt(topic, time)))
    assert.deepEqual(found, [0n, 4n, 9n, -1n])
    assert.deepEqual(values(await read(topic, 6, { offset: found[1] })), ['4', '5', '6', '7', '8', '9'])
  },

  'classic: join and leave': () => joinAndLeave({}),
  'KIP-848: join and leave': () => joinAndLeave(KIP_848),
  'classic: crash': () => crash({}, settings.doomed[0]),
  'KIP-848: crash': () => crash(KIP_848, settings.doomed[1]),

  'classic: static member': async () => {
    const topic = await makeTopic(4)
    const groupId = unique('group')
    const wire = settings.doomed[2]
    const stays = await join(topic, { groupId, groupInstanceId: 'stays' })
    const leaves = await join(topic, { groupId, groupInstanceId: 'leaves', address: wire })
    await eventually(() => sharedOut(stays, leaves))
    const before = partitionsOf(leaves)
    let rebalances = 0
    stays.consumer.on('consumer:group:rebalance', () => { rebalances++ })
    breakForGood(wire) // it would leave for good if it could
    const returned = await join(topic, { groupId, groupInstanceId: 'leaves' })
    await eventually(() => sharedOut(stays, returned))
    assert.deepEqual(partitionsOf(returned), before)
    assert.equal(rebalances, 0)
    await stays.leave()
    await returned.leave()
  },

  'classic: commit and resume': () => commitAndResume({}),
  'KIP-848: commit and resume': () => commitAndResume(KIP_848),

  idempotence: async () => {
    const topic = await makeTopic()
    const producer = makeProducer({ address: settings.faulty, idempotent: true })
    const sent = numbers(2000).map(i => `${i} `.repeat(20))
    for (let i = 0; i < sent.length; i += 40) await send(producer, topic, ...sent.slice(i, i + 40))
    await producer.close(true)
    assert.deepEqual(values(await read(topic, sent.length)), sent)
  },

  commit: async () => {
    const topic = await makeTopic()
    const producer = makeTransactional()
    for (const batch of [['1', '2'], ['3']]) {
      const transaction = await producer.beginTransaction()
      await send(transaction, topic, ...batch)
      await transaction.commit()
    }
    await producer.close()
    assert.deepEqual(values(await read(topic, 3)), ['1', '2', '3'])
    assert.deepEqual(values(await read(topic, 3, UNCOMMITTED)), ['1', '2', '3'])
  },

  abort: async () => {
    const topic = await makeTopic()
    const producer = makeTransactional()
    for (const [value, end] of [['kept', 'commit'], ['dropped', 'abort'], ['kept too', 'commit']]) {
      const transaction = await producer.beginTransaction()
      await send(transaction, topic, value)
      await transaction[end]()
    }
    await producer.close()
    assert.deepEqual(values(await read(topic, 2)), ['kept', 'kept too'])
    assert.deepEqual(values(await read(topic, 3, UNCOMMITTED)), ['kept', 'dropped', 'kept too'])
  },

  'open transaction': async () => {
    const topic = await makeTopic()
    const transaction = await makeTransactional().beginTransaction()
    await send(transaction, topic, 'open')
    await sendPlain(topic, 'behind')
    assert.deepEqual(values(await read(topic, 2, UNCOMMITTED)), ['open', 'behind'])
    const committed = await join(topic)
    await sleep(500)
    assert.deepEqual(values(committed.messages), [])
    await transaction.commit()
    await eventually(() => committed.messages.length === 2)
    await committed.leave()
    assert.deepEqual(values(committed.messages), ['open', 'behind'])
  },

  'transaction timeout': async () => {
    const topic = await makeTopic()
    const forgetful = await makeTransactional({ timeout: 1000 }).beginTransaction()
    await send(forgetful, topic, 'forgotten')
    await sendPlain(topic, 'behind')
    assert.deepEqual(values(await read(topic, 1)), ['behind'])
    await refusal(forgetful.commit())
  },

  'offsets in a transaction': async () => {
    const topic = await makeTopic()
    const groupId = unique('group')
    await sendPlain(topic, ...numbers(4))
    const producer = makeTransactional()
    const member = await join(topic, { groupId })
    await eventually(() => member.messages.length === 4)
    const endBehind = async (message, end) => {
      const transaction = await producer.beginTransaction()
      await transaction.addConsumer(member.consumer)
      await transaction.addOffset(message)
      await transaction[end]()
    }
    const isCommitted = offset => eventually(async () => await committedOffset(groupId) === offset)
    await endBehind(member.messages[0], 'commit')
    await isCommitted(1n)
    await endBehind(member.messages[1], 'abort')
    await isCommitted(1n)
    await endBehind(member.messages[2], 'commit')
    await isCommitted(3n)
    await member.leave()
    await producer.close()
  },

  'create topics': async () => {
    const topic = await makeTopic(3, { 'retention.ms': '12345' })
    assert.equal((await configOf(topic, 'retention.ms')).value, '12345')
  },

  'describe topics': async () => {
    const topic = await makeTopic(3)
    const described = (await admin.metadata({ topics: [topic] })).topics.get(topic)
    assert.equal(described.partitionsCount, 3)
    assert.ok(described.partitions.every(p => p.isr.includes(p.leader)))
    assert.notEqual(described.id, '00000000-0000-0000-0000-000000000000')
  },

  'list topics': async () => {
    const topic = await makeTopic()
    assert.ok((await admin.listTopics()).includes(topic))
  },

  'delete topics': async () => {
    const topic = await makeTopic()
    await sendPlain(topic, 'old')
    await admin.deleteTopics({ topics: [topic] })
    await eventually(async () => !(await admin.listTopics()).includes(topic))
    await admin.createTopics({ topics: [topic], partitions: 1, replicas: 1 })
    await sendPlain(topic, 'new')
    assert.deepEqual(values(await read(topic, 1)), ['new'])
  },

  'add partitions': async () => {
    const topic = await makeTopic()
    await sendPlain(topic, 'kept')
    const raise = count => admin.createPartitions({ topics: [{ name: topic, count, assignments: null }] })
    await raise(3)
    await sendPlain(topic, { value: 'new', partition: 2 })
    assert.deepEqual(values(await read(topic, 2)).sort(), ['kept', 'new'])
    await isRefused(raise(2), ['INVALID_PARTITIONS'])
  },

  'describe configs': async () => {
    const { value, configSource } = await configOf(await makeTopic(), 'cleanup.policy')
    assert.deepEqual([value, configSource], ['delete', 5])
  },

  'alter configs': async () => {
    const resourceName = await makeTopic()
    const alter = (configOperation, value) => admin.incrementalAlterConfigs({
      resources: [{
        resourceType: ConfigResourceTypes.TOPIC, resourceName, configs: [{ name: 'retention.ms', configOperation, value }]
      }]
    })
    await alter(IncrementalAlterConfigOperationTypes.SET, '60000')
    await eventually(async () => (await configOf(resourceName, 'retention.ms')).value === '60000')
    await alter(IncrementalAlterConfigOperationTypes.DELETE, null)
    await eventually(async () => (await configOf(resourceName, 'retention.ms')).value === '604800000')
  },

  'list groups': async () => {
    const groupId = unique('group')
    const classic = await join(await makeTopic(), { groupId })
    const modern = await join(await makeTopic(), { groupId: `${groupId}-848`, ...KIP_848 })
    await eventually(() => partitionsOf(classic).length && partitionsOf(modern).length)
    const listed = await admin.listGroups({ types: ['classic', 'consumer'] })
    assert.deepEqual([listed.get(groupId).state, listed.get(groupId).groupType], ['STABLE', 'classic'])
    assert.equal(listed.get(`${groupId}-848`).groupType, 'consumer')
    await classic.leave()
    await modern.leave()
  },

  'describe groups': async () => {
    const topic = await makeTopic()
    const groupId = unique('group')
    const member = await join(topic, { groupId })
    await eventually(() => partitionsOf(member).length)
    const described = (await admin.describeGroups({ groups: [groupId] })).get(groupId)
    assert.deepEqual([described.state, described.members.size], ['STABLE', 1])
    await member.leave()
  },

  'delete groups': async () => {
    const groupId = unique('group')
    const member = await join(await makeTopic(), { groupId })
    await eventually(() => partitionsOf(member).length)
    await isRefused(admin.deleteGroups({ groups: [groupId] }), ['NON_EMPTY_GROUP'])
    await member.leave()
    await admin.deleteGroups({ groups: [groupId] })
    assert.ok(!(await admin.listGroups()).has(groupId))
  },

  'list offsets': async () => {
    const topic = await makeTopic()
    await sendPlain(topic, ...numbers(5))
    assert.deepEqual([await offsetAt(topic, -2n), await offsetAt(topic, -1n)], [0n, 5n])
  },

  'group offsets': async () => {
    const topic = await makeTopic()
    const groupId = unique('group')
    await sendPlain(topic, ...numbers(3))
    const topics = [{ name: topic, partitionOffsets: [{ partition: 0, offset: 2n }] }]
    await admin.alterConsumerGroupOffsets({ groupId, topics })
    assert.equal(await committedOffset(groupId), 2n)
    await admin.deleteConsumerGroupOffsets({ groupId, topics: [{ name: topic, partitionIndexes: [0] }] })
    assert.equal(await committedOffset(groupId), undefined)
  },

  'delete records': async () => {
    const topic = await makeTopic()
    await sendPlain(topic, ...numbers(10))
    await admin.deleteRecords({ topics: [{ name: topic, partitions: [{ partition: 0, offset: 4n }] }] })
    assert.equal(await offsetAt(topic, -2n), 4n)
    assert.equal((await read(topic, 6))[0].offset, 4n)
  },

  'describe cluster': async () => {
    const { id, brokers, controllerId } = await admin.metadata({ topics: [] })
    const [[nodeId, node], ...others] = brokers
    assert.deepEqual([`${node.host}:${node.port}`, others, controllerId], [settings.broker, [], nodeId])
    assert.ok(id)
  },

  'unknown topic': async () => {
    const asking = new Admin({ ...connection(), retries: 0 })
    const error = await refusal(asking.metadata({ topics: [unique('unknown')], autocreateTopics: false }))
    assert.match(error.stack + error.errors?.map(each => each.stack), /Unknown topic/)
  },

  'too large': async () => {
    const topic = await makeTopic(1, { 'max.message.bytes': '2000' })
    await isRefused(sendPlain(topic, 'x'.repeat(3000)), ['MESSAGE_TOO_LARGE'])
  },

  'out of range': async () => {
    const topic = await makeTopic()
    await sendPlain(topic, '0')
    const member = await join(topic, { mode: MANUAL, offsets: [{ topic, partition: 0, offset: 17n }] })
    await eventually(() => member.failure)
    assert.deepEqual(reasons(member.failure), ['OFFSET_OUT_OF_RANGE'])
    await member.leave()
  },

  'wrong leader epoch': async () => {
    const topic = await makeTopic()
    await sendPlain(topic, '0')
    const described = (await admin.metadata({ topics: [topic] })).topics.get(topic)
    const { leader, leaderEpoch } = described.partitions[0]
    const consumer = new Consumer({ ...connection(), retries: 0, groupId: unique('group') })
    const fetch = currentLeaderEpoch => consumer.fetch({
      node: leader,
      maxWaitTime: 100,
      minBytes: 1,
      maxBytes: 1000,
      isolationLevel: 0,
      topics: [{
        topicId: described.id,
        partitions: [{ partition: 0, currentLeaderEpoch, fetchOffset: 0n, lastFetchedEpoch: -1, partitionMaxBytes: 1000 }]
      }]
    })
    await fetch(leaderEpoch)
    await isRefused(fetch(leaderEpoch + 1), ['UNKNOWN_LEADER_EPOCH'])
    await consumer.close(true)
  },

  'invalid topic name': async () => {
    for (const topic of ['with space', 'a'.repeat(250), '.', 'sl/ash']) {
      const created = admin.createTopics({ topics: [topic], partitions: 1, replicas: 1 })
      await isRefused(created, ['INVALID_TOPIC_EXCEPTION'])
    }
  },

  'invalid config': () => isRefused(makeTopic(1, { 'retention.ms': 'soon' }), ['INVALID_CONFIG']),

  'topic exists': async () => {
    const topic = await makeTopic()
    await isRefused(admin.createTopics({ topics: [topic], partitions: 1, replicas: 1 }), ['TOPIC_ALREADY_EXISTS'])
  }
}

await show(features)
process.exit(0)
