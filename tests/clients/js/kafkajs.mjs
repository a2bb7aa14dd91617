// KafkaJS.

import assert from 'node:assert/strict'
import zstd from '@bokuweb/zstd-wasm'
import { lz4Compress, lz4Decompress, snappyCompress, snappyDecompress } from '@platformatic/wasm-utils'
import kafkajs from 'kafkajs'
import { breakForGood, eventually, refusal, settings, show, sleep, unique } from './features.mjs'

const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = kafkajs
const GROUP = { sessionTimeout: 2000, heartbeatInterval: 300, rebalanceTimeout: 5000, maxWaitTimeInMs: 100 }

await zstd.init()
const codec = (compress, decompress) => () => ({
  compress: async encoder => Buffer.from(compress(encoder.buffer)),
  decompress: async buffer => Buffer.from(decompress(buffer))
})
CompressionCodecs[CompressionTypes.Snappy] = codec(snappyCompress, snappyDecompress)
CompressionCodecs[CompressionTypes.LZ4] = codec(lz4Compress, lz4Decompress)
CompressionCodecs[CompressionTypes.ZSTD] = codec(zstd.compress, zstd.decompress)

const connectTo = address => new Kafka({
  brokers: [address],
  clientId: 'millpond-tests',
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 60 }
})
const kafka = connectTo(settings.broker)
const admin = kafka.admin()
await admin.connect()

// It keeps what gets timestamps long ago.
async function makeTopic (numPartitions = 1, config = {}) {
  const topic = unique('topic')
  const configEntries = Object.entries({ 'retention.ms': '-1', ...config }).map(([name, value]) => ({ name, value }))
  await admin.createTopics({ topics: [{ topic, numPartitions, configEntries }], waitForLeaders: false })
  await eventually(() => admin.fetchTopicMetadata({ topics: [topic] }).catch(() => null)) // Kafka tells of it a bit later
  return topic
}

// An administrator of one's own: what one call makes it know of topics, another at the same time makes it forget.
async function alone (use) {
  const own = kafka.admin()
  await own.connect()
  const seen = await use(own)
  await own.disconnect()
  return seen
}

const offsetsOf = topic => alone(own => own.fetchTopicOffsets(topic))

async function makeProducer (options = {}, client = kafka) {
  const producer = client.producer({ allowAutoTopicCreation: false, ...options })
  await producer.connect()
  return producer
}

// Values are taken as they are; messages are objects.
async function send (producer, topic, ...values) {
  const messages = values.map(value => typeof value === 'string' ? { value, partition: 0 } : { partition: 0, ...value })
  return producer.send({ topic, messages })
}

async function sendPlain (topic, ...values) {
  const producer = await makeProducer()
  await send(producer, topic, ...values)
  await producer.disconnect()
}

// A member of a group that collects what it gets.
async function join (topic, { groupId = unique('group'), client = kafka, fromBeginning = true, onBatch, ...options } = {}) {
  const consumer = client.consumer({ groupId, ...GROUP, ...options })
  const member = { consumer, messages: [], partitions: [], left: false }
  consumer.on(consumer.events.GROUP_JOIN, event => { member.partitions = event.payload.memberAssignment[topic] ?? [] })
  consumer.on(consumer.events.REBALANCING, () => { member.partitions = [] })
  member.leave = async () => {
    member.partitions = []
    await consumer.disconnect()
  }
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning })
  await consumer.run({ autoCommit: false, eachMessage: async ({ message }) => { member.messages.push(message) } })
  return member
}

async function read (topic, count, { offset, ...options } = {}) {
  const member = await join(topic, options)
  if (offset !== undefined) member.consumer.seek({ topic, partition: 0, offset: String(offset) })
  await eventually(() => member.messages.length >= count)
  await member.leave()
  assert.equal(member.messages.length, count)
  return member.messages
}

const values = messages => messages.map(message => message.value?.toString() ?? null)
const numbers = count => Array.from({ length: count }, (_, i) => String(i))
const UNCOMMITTED = { readUncommitted: true }

function sharedOut (...members) {
  const all = members.flatMap(member => member.partitions).sort()
  return all.join() === '0,1,2,3' && members.every(member => member.partitions.length > 0)
}

async function compressed (compression) {
  const topic = await makeTopic()
  const sent = []
  for (const acks of [0, 1, -1]) {
    const producer = await makeProducer()
    const batch = numbers(100).map(i => `${acks} ${i} `.repeat(50))
    await producer.send({ topic, acks, compression, messages: batch.map(value => ({ value })) })
    if (acks === 0) await sleep(300) // nobody waits for those
    await producer.disconnect()
    sent.push(...batch)
  }
  assert.deepEqual(values(await read(topic, 300)).sort(), sent.sort())
}

function makeTransactional () {
  const transactionalId = unique('id')
  return (options = {}) => makeProducer({ transactionalId, idempotent: true, maxInFlightRequests: 1, ...options })
}

async function configOf (topic, name) {
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }]
  })
  return resources[0].configEntries.find(entry => entry.configName === name)
}

const features = {
  'no compression': () => compressed(CompressionTypes.None),
  gzip: () => compressed(CompressionTypes.GZIP),
  snappy: () => compressed(CompressionTypes.Snappy),
  lz4: () => compressed(CompressionTypes.LZ4),
  zstd: () => compressed(CompressionTypes.ZSTD),

  headers: async () => {
    const topic = await makeTopic()
    await sendPlain(topic, { value: 'x', headers: { trace: ['1', '2'], empty: '' } })
    const [{ headers }] = await read(topic, 1)
    assert.deepEqual(headers.trace.map(String), ['1', '2'])
    assert.equal(headers.empty.length, 0)
  },

  'null keys and values': async () => {
    const topic = await makeTopic()
    const pairs = [[null, 'v'], ['', 'v'], ['k', null], ['k', '']]
    await sendPlain(topic, ...pairs.map(([key, value]) => ({ key, value })))
    const messages = await read(topic, 4)
    assert.deepEqual(messages.map(m => [m.key?.toString() ?? null, m.value?.toString() ?? null]), pairs)
  },

  'large records': async () => {
    const topic = await makeTopic()
    const large = '0123456789abcdef'.repeat(62_000)
    await sendPlain(topic, 'before')
    await sendPlain(topic, large)
    await sendPlain(topic, 'behind')
    assert.deepEqual(values(await read(topic, 3)), ['before', large, 'behind'])
  },

  timestamps: async () => {
    const theirs = await makeTopic()
    const ours = await makeTopic(1, { 'message.timestamp.type': 'LogAppendTime' })
    const before = Date.now() - 1
    for (const topic of [theirs, ours]) await sendPlain(topic, { value: 'x', timestamp: '1234567890123' })
    assert.equal((await read(theirs, 1))[0].timestamp, '1234567890123')
    const appended = Number((await read(ours, 1))[0].timestamp)
    assert.ok(before <= appended && appended <= Date.now() + 1, appended)
  },

  'automatic topics': async () => {
    const topic = unique('automatic')
    const producer = await makeProducer({ allowAutoTopicCreation: true })
    await send(producer, topic, 'first')
    await producer.disconnect()
    assert.deepEqual(values(await read(topic, 1)), ['first'])
  },

  'from the beginning': async () => {
    const topic = await makeTopic()
    await sendPlain(topic, ...numbers(1000))
    assert.deepEqual((await read(topic, 1000)).map(m => m.offset), numbers(1000))
  },

  'from the end': async () => {
    const topic = await makeTopic()
    await sendPlain(topic, 'before')
    const member = await join(topic, { fromBeginning: false })
    await eventually(() => member.partitions.length)
    let fetched = false
    member.consumer.on(member.consumer.events.FETCH, () => { fetched = true })
    await eventually(() => fetched)
    await sendPlain(topic, 'later')
    await eventually(() => member.messages.length)
    await member.leave()
    assert.deepEqual(values(member.messages), ['later'])
  },

  'from an offset': async () => {
    const topic = await makeTopic()
    await sendPlain(topic, ...numbers(10))
    assert.deepEqual(values(await read(topic, 3, { offset: 7, fromBeginning: false })), ['7', '8', '9'])
  },

  'from a time': async () => {
    const topic = await makeTopic()
    for (const i of numbers(10)) await sendPlain(topic, { value: i, timestamp: String(1_000_000 + 1000 * i) })
    const found = []
    for (const time of [0, 1_003_500, 1_009_000]) {
      found.push(await alone(async own => (await own.fetchTopicOffsetsByTimestamp(topic, time))[0].offset))
    }
    assert.deepEqual(found, ['0', '4', '9'])
    assert.deepEqual(values(await read(topic, 6, { offset: found[1] })), ['4', '5', '6', '7', '8', '9'])
  },

  'classic: join and leave': async () => {
    const topic = await makeTopic(4)
    const groupId = unique('group')
    const first = await join(topic, { groupId })
    await eventually(() => sharedOut(first))
    const second = await join(topic, { groupId })
    await eventually(() => sharedOut(first, second))
    await second.leave()
    await eventually(() => sharedOut(first))
    await first.leave()
  },

  'classic: crash': async () => {
    const topic = await makeTopic(4)
    const groupId = unique('group')
    const [wire] = settings.doomed
    const survivor = await join(topic, { groupId })
    const doomed = await join(topic, { groupId, client: connectTo(wire) })
    await eventually(() => sharedOut(survivor, doomed))
    breakForGood(wire)
    await eventually(() => sharedOut(survivor))
    await survivor.leave()
  },

  'classic: commit and resume': async () => {
    const topic = await makeTopic()
    const groupId = unique('group')
    await sendPlain(topic, ...numbers(10))
    const first = await join(topic, { groupId })
    await eventually(() => first.messages.length === 10)
    await first.consumer.commitOffsets([{ topic, partition: 0, offset: '6', metadata: 'note' }])
    await first.leave()
    assert.deepEqual(values(await read(topic, 4, { groupId })), ['6', '7', '8', '9'])
    const [{ partitions: [committed] }] = await admin.fetchOffsets({ groupId, topics: [topic] })
    assert.deepEqual([committed.offset, committed.metadata], ['6', 'note'])
  },

  idempotence: async () => {
    const topic = await makeTopic()
    const client = connectTo(settings.faulty)
    const options = { idempotent: true, maxInFlightRequests: 1 }
    const producer = await eventually(() => makeProducer(options, client).catch(() => null)) // connects but once
    const sent = numbers(2000).map(i => `${i} `.repeat(20))
    for (let i = 0; i < sent.length; i += 40) await send(producer, topic, ...sent.slice(i, i + 40))
    await producer.disconnect()
    assert.deepEqual(values(await read(topic, sent.length)), sent)
  },

  commit: async () => {
    const topic = await makeTopic()
    const producer = await makeTransactional()()
    for (const batch of [['1', '2'], ['3']]) {
      const transaction = await producer.transaction()
      await send(transaction, topic, ...batch)
      await transaction.commit()
    }
    await producer.disconnect()
    assert.deepEqual(values(await read(topic, 3)), ['1', '2', '3'])
    assert.deepEqual(values(await read(topic, 3, UNCOMMITTED)), ['1', '2', '3'])
  },

  abort: async () => {
    const topic = await makeTopic()
    const producer = await makeTransactional()()
    for (const [value, end] of [['kept', 'commit'], ['dropped', 'abort'], ['kept too', 'commit']]) {
      const transaction = await producer.transaction()
      await send(transaction, topic, value)
      await transaction[end]()
    }
    await producer.disconnect()
    assert.deepEqual(values(await read(topic, 2)), ['kept', 'kept too'])
    assert.deepEqual(values(await read(topic, 3, UNCOMMITTED)), ['kept', 'dropped', 'kept too'])
  },

  'open transaction': async () => {
    const topic = await makeTopic()
    const producer = await makeTransactional()()
    const transaction = await producer.transaction()
    await send(transaction, topic, 'open')
    await sendPlain(topic, 'behind')
    assert.deepEqual(values(await read(topic, 2, UNCOMMITTED)), ['open', 'behind'])
    const committed = await join(topic)
    await eventually(() => committed.partitions.length)
    await sleep(500)
    assert.deepEqual(values(committed.messages), [])
    await transaction.commit()
    await eventually(() => committed.messages.length === 2)
    await committed.leave()
    await producer.disconnect()
    assert.deepEqual(values(committed.messages), ['open', 'behind'])
  },

  fencing: async () => {
    const topic = await makeTopic()
    const make = makeTransactional()
    const first = await (await make()).transaction()
    await send(first, topic, 'left open')
    const second = await (await make()).transaction()
    await send(second, topic, 'by the second')
    await second.commit()
    assert.deepEqual(values(await read(topic, 1)), ['by the second'])
  },

  zombie: async () => {
    for (const attempt of ['commit', 'write']) {
      const topic = await makeTopic()
      const make = makeTransactional()
      const zombie = await (await make()).transaction()
      await send(zombie, topic, 'left open')
      const second = await (await make()).transaction()
      const error = await refusal(attempt === 'write' ? send(zombie, topic, 'from the grave') : zombie.commit())
      assert.match(error.type ?? error.cause?.type, /PRODUCER_FENCED|INVALID_PRODUCER_EPOCH/)
      await send(second, topic, 'by the second')
      await second.commit()
      assert.deepEqual(values(await read(topic, 1)), ['by the second'])
      assert.deepEqual(values(await read(topic, 2, UNCOMMITTED)), ['left open', 'by the second'])
    }
  },

  'transaction timeout': async () => {
    const topic = await makeTopic()
    const forgetful = await (await makeTransactional()({ transactionTimeout: 1000 })).transaction()
    await send(forgetful, topic, 'forgotten')
    await sendPlain(topic, 'behind')
    assert.deepEqual(values(await read(topic, 1)), ['behind'])
    await refusal(forgetful.commit())
  },

  'offsets in a transaction': async () => {
    const topic = await makeTopic()
    const consumerGroupId = unique('group')
    await sendPlain(topic, ...numbers(4))
    const producer = await makeTransactional()()
    const endAt = async (offset, end) => {
      const transaction = await producer.transaction()
      await transaction.sendOffsets({ consumerGroupId, topics: [{ topic, partitions: [{ partition: 0, offset }] }] })
      await transaction[end]()
    }
    const isCommitted = offset => eventually(async () => {
      const [{ partitions: [committed] }] = await admin.fetchOffsets({ groupId: consumerGroupId, topics: [topic] })
      return committed.offset === offset
    })
    await endAt('1', 'commit')
    await isCommitted('1')
    await endAt('2', 'abort')
    await isCommitted('1')
    await endAt('3', 'commit')
    await isCommitted('3')
    await producer.disconnect()
  },

  'create topics': async () => {
    const topic = await makeTopic(3, { 'retention.ms': '12345' })
    assert.equal((await configOf(topic, 'retention.ms')).configValue, '12345')
  },

  'describe topics': async () => {
    const topic = await makeTopic(3)
    const { topics: [described] } = await admin.fetchTopicMetadata({ topics: [topic] })
    assert.deepEqual(described.partitions.map(p => p.partitionId).sort(), [0, 1, 2])
    assert.ok(described.partitions.every(p => p.isr.includes(p.leader)))
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
    await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] })
    await sendPlain(topic, 'new')
    assert.deepEqual(values(await read(topic, 1)), ['new'])
  },

  'add partitions': async () => {
    const topic = await makeTopic()
    await sendPlain(topic, 'kept')
    await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] })
    await eventually(() => offsetsOf(topic).then(offsets => offsets.length === 3, () => false))
    await sendPlain(topic, { value: 'new', partition: 2 })
    assert.deepEqual(values(await read(topic, 2)).sort(), ['kept', 'new'])
    await refusal(admin.createPartitions({ topicPartitions: [{ topic, count: 2 }] }))
  },

  'describe configs': async () => {
    const entry = await configOf(await makeTopic(), 'cleanup.policy')
    assert.deepEqual([entry.configValue, entry.isDefault], ['delete', true])
  },

  'alter configs': async () => {
    const name = await makeTopic()
    const alter = configEntries => admin.alterConfigs({
      validateOnly: false, resources: [{ type: ConfigResourceTypes.TOPIC, name, configEntries }]
    })
    await alter([{ name: 'retention.ms', value: '60000' }])
    await eventually(async () => (await configOf(name, 'retention.ms')).configValue === '60000')
    await alter([])
    await eventually(async () => (await configOf(name, 'retention.ms')).configValue === '604800000')
  },

  'list groups': async () => {
    const topic = await makeTopic()
    const groupId = unique('group')
    const member = await join(topic, { groupId })
    await eventually(() => member.partitions.length)
    const listed = (await admin.listGroups()).groups.find(group => group.groupId === groupId)
    assert.equal(listed.protocolType, 'consumer')
    await member.leave()
  },

  'describe groups': async () => {
    const topic = await makeTopic()
    const groupId = unique('group')
    const member = await join(topic, { groupId })
    await eventually(() => member.partitions.length)
    const { groups: [described] } = await admin.describeGroups([groupId])
    assert.deepEqual([described.state, described.members.length], ['Stable', 1])
    await member.leave()
  },

  'delete groups': async () => {
    const topic = await makeTopic()
    const groupId = unique('group')
    const member = await join(topic, { groupId })
    await eventually(() => member.partitions.length)
    const { groups: [refused] } = await refusal(admin.deleteGroups([groupId]))
    assert.equal(refused.error.type, 'NON_EMPTY_GROUP')
    await member.leave()
    await admin.deleteGroups([groupId])
    assert.ok(!(await admin.listGroups()).groups.some(group => group.groupId === groupId))
  },

  'list offsets': async () => {
    const topic = await makeTopic()
    await sendPlain(topic, ...numbers(5))
    const [offsets] = await offsetsOf(topic)
    assert.deepEqual([offsets.low, offsets.high, offsets.offset], ['0', '5', '5'])
  },

  'group offsets': async () => {
    const topic = await makeTopic()
    const groupId = unique('group')
    await sendPlain(topic, ...numbers(3))
    const listed = async () => (await admin.fetchOffsets({ groupId, topics: [topic] }))[0].partitions[0].offset
    await admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: '2' }] })
    assert.equal(await listed(), '2')
  },

  'delete records': async () => {
    const topic = await makeTopic()
    await sendPlain(topic, ...numbers(10))
    await alone(async own => {
      await own.fetchTopicOffsets(topic) // it must have heard of the topic
      await own.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '4' }] })
    })
    assert.equal((await offsetsOf(topic))[0].low, '4')
    assert.equal((await read(topic, 6))[0].offset, '4')
  },

  'describe cluster': async () => {
    const { brokers: [node, ...others], controller, clusterId } = await admin.describeCluster()
    assert.deepEqual([`${node.host}:${node.port}`, others, controller], [settings.broker, [], node.nodeId])
    assert.ok(clusterId)
  },

  'unknown topic': async () => {
    const error = await refusal(admin.fetchTopicMetadata({ topics: [unique('unknown')] }))
    assert.equal(error.type, 'UNKNOWN_TOPIC_OR_PARTITION')
  },

  'too large': async () => {
    const topic = await makeTopic(1, { 'max.message.bytes': '2000' })
    const error = await refusal(sendPlain(topic, 'x'.repeat(3000)))
    assert.equal(error.type ?? error.cause?.type, 'MESSAGE_TOO_LARGE')
  },

  'invalid topic name': async () => {
    for (const topic of ['with space', 'a'.repeat(250), '.', 'sl/ash']) {
      const error = await refusal(admin.createTopics({ topics: [{ topic, numPartitions: 1 }] }))
      assert.equal(error.errors[0].type, 'INVALID_TOPIC_EXCEPTION')
    }
  },

  'invalid config': async () => {
    const error = await refusal(makeTopic(1, { 'retention.ms': 'soon' }))
    assert.equal(error.errors[0].type, 'INVALID_CONFIG')
  },

  'topic exists': async () => {
    const topic = await makeTopic()
    assert.equal(await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] }), false)
  }
}

await show(features)
process.exit(0)
