// The Java client: runs what it is to show, several features at a time, and prints a line of JSON for each.
//
//     java -cp 'jars/*' Features.java '{"broker": "127.0.0.1:9092", "faulty": "…", "doomed": ["…", "…", "…"]}'
//
// `faulty` is a network that breaks connections now and then; `doomed` are networks that break for good when told so.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.Socket;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.*;

class Features {
    interface Story { void tell() throws Exception; }
    interface Look<T> { T at() throws Exception; }

    static final int AT_ONCE = 8;
    static final Map<String, Object> CLASSIC = Map.of(
        "group.protocol", "classic", "session.timeout.ms", 2000, "heartbeat.interval.ms", 300);
    static final Map<String, Object> KIP_848 = Map.of("group.protocol", "consumer");
    static final Map<String, Object> COMMITTED = Map.of("isolation.level", "read_committed");
    static final Map<String, Object> UNCOMMITTED = Map.of("isolation.level", "read_uncommitted");

    static String broker;
    static String faulty;
    static List<String> doomed = new ArrayList<>();
    static Admin admin;

    public static void main(String[] arguments) throws Exception {
        JsonNode settings = new ObjectMapper().readTree(arguments[0]);
        broker = settings.get("broker").asText();
        faulty = settings.get("faulty").asText();
        settings.get("doomed").forEach(each -> doomed.add(each.asText()));
        admin = Admin.create(Map.of("bootstrap.servers", broker));
        var workers = Executors.newFixedThreadPool(AT_ONCE);
        List<Future<?>> told = new ArrayList<>();
        stories().forEach((name, story) -> told.add(workers.submit(() -> show(name, story))));
        for (Future<?> each : told) each.get();
        System.exit(0);
    }

    static void show(String name, Story story) {
        Map<String, String> line = new LinkedHashMap<>();
        line.put("feature", name);
        line.put("error", null);
        try {
            story.tell();
        } catch (Throwable failure) {
            StringWriter trace = new StringWriter();
            failure.printStackTrace(new PrintWriter(trace));
            line.put("error", trace.toString());
        }
        try {
            System.out.println(new ObjectMapper().writeValueAsString(line));
        } catch (Exception impossible) {
            throw new AssertionError(impossible);
        }
    }

    static Map<String, Story> stories() {
        Map<String, Story> stories = new LinkedHashMap<>();
        // those that wait come first, so that the others run meanwhile
        stories.put("classic: crash", () -> crash(CLASSIC, doomed.get(0)));
        stories.put("KIP-848: crash", () -> crash(KIP_848, doomed.get(1)));
        stories.put("transaction timeout", Features::transactionTimeout);
        stories.put("idempotence", Features::idempotence);
        for (var protocol : Map.of("classic", CLASSIC, "KIP-848", KIP_848).entrySet()) {
            String name = protocol.getKey();
            stories.put(name + ": join and leave", () -> joinAndLeave(protocol.getValue()));
            stories.put(name + ": static member", () -> staticMember(protocol.getValue()));
            stories.put(name + ": commit and resume", () -> commitAndResume(protocol.getValue()));
        }
        stories.put("classic: cooperative", Features::cooperative);
        stories.put("no compression", () -> compressed("none"));
        for (String codec : List.of("gzip", "snappy", "lz4", "zstd")) stories.put(codec, () -> compressed(codec));
        stories.put("headers", Features::headers);
        stories.put("null keys and values", Features::nulls);
        stories.put("large records", Features::largeRecords);
        stories.put("timestamps", Features::timestamps);
        stories.put("automatic topics", Features::automaticTopics);
        stories.put("from the beginning", Features::fromTheBeginning);
        stories.put("from the end", Features::fromTheEnd);
        stories.put("from an offset", Features::fromAnOffset);
        stories.put("from a time", Features::fromATime);
        stories.put("commit", Features::commit);
        stories.put("abort", Features::abort);
        stories.put("open transaction", Features::openTransaction);
        stories.put("fencing", Features::fencing);
        stories.put("zombie", Features::zombie);
        stories.put("offsets in a transaction", Features::offsetsInATransaction);
        stories.put("create topics", Features::createTopics);
        stories.put("describe topics", Features::describeTopics);
        stories.put("list topics", Features::listTopics);
        stories.put("delete topics", Features::deleteTopics);
        stories.put("add partitions", Features::addPartitions);
        stories.put("describe configs", Features::describeConfigs);
        stories.put("alter configs", Features::alterConfigs);
        stories.put("list groups", Features::listGroups);
        stories.put("describe groups", Features::describeGroups);
        stories.put("delete groups", Features::deleteGroups);
        stories.put("list offsets", Features::listOffsets);
        stories.put("group offsets", Features::groupOffsets);
        stories.put("delete records", Features::deleteRecords);
        stories.put("describe cluster", Features::describeCluster);
        stories.put("describe transactions", Features::describeTransactions);
        stories.put("unknown topic", Features::unknownTopic);
        stories.put("too large", Features::tooLarge);
        stories.put("out of range", Features::outOfRange);
        stories.put("fenced member", Features::fencedMember);
        stories.put("invalid topic name", Features::invalidTopicName);
        stories.put("invalid config", Features::invalidConfig);
        stories.put("topic exists", Features::topicExists);
        return stories;
    }

    // What the stories are told with

    static String unique(String name) {
        return name + "-" + UUID.randomUUID().toString().substring(0, 12);
    }

    static void isTrue(boolean condition, Object seen) {
        if (!condition) throw new AssertionError(String.valueOf(seen));
    }

    static void isEqual(Object expected, Object seen) {
        isTrue(Objects.deepEquals(expected, seen), "expected " + expected + ", saw " + seen);
    }

    static <T> T eventually(Look<T> look) throws Exception {
        long deadline = System.nanoTime() + 20_000_000_000L;
        while (System.nanoTime() < deadline) {
            T seen = look.at();
            if (seen != null && !Boolean.FALSE.equals(seen)) return seen;
            Thread.sleep(20);
        }
        throw new AssertionError("not within 20 s");
    }

    static <E> E refusal(Class<E> expected, Callable<?> action) throws Exception {
        try {
            action.call();
        } catch (Exception refused) {
            Throwable reason = refused instanceof ExecutionException ? refused.getCause() : refused;
            isTrue(expected.isInstance(reason), "expected " + expected + ", saw " + reason);
            return expected.cast(reason);
        }
        throw new AssertionError("was not refused with " + expected);
    }

    static void breakForGood(String address) throws Exception {
        String[] parts = address.split(":");
        try (Socket socket = new Socket(parts[0], Integer.parseInt(parts[1]))) {
            socket.getOutputStream().write("BREAK\n".getBytes());
        }
    }

    static String makeTopic(int partitions, Map<String, String> config) throws Exception {
        String topic = unique("topic");
        Map<String, String> settings = new HashMap<>(Map.of("retention.ms", "-1")); // some get timestamps long ago
        settings.putAll(config);
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(settings))).all().get();
        eventually(() -> admin.listTopics().names().get().contains(topic)); // Kafka tells of it a bit later
        return topic;
    }

    static String makeTopic() throws Exception {
        return makeTopic(1, Map.of());
    }

    static Producer<byte[], byte[]> makeProducer(Map<String, Object> options) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", broker, "linger.ms", 0));
        settings.putAll(options);
        return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static void send(Producer<byte[], byte[]> producer, String topic, List<String> values) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (String value : values) sent.add(producer.send(new ProducerRecord<>(topic, 0, null, value.getBytes())));
        for (var each : sent) each.get();
    }

    static void sendPlain(String topic, String... values) throws Exception {
        try (var producer = makeProducer(Map.of())) {
            send(producer, topic, List.of(values));
        }
    }

    static Consumer<byte[], byte[]> makeConsumer(Map<String, Object> options) {
        Map<String, Object> settings = new HashMap<>(Map.of(
            "bootstrap.servers", broker, "auto.offset.reset", "earliest", "enable.auto.commit", false,
            "fetch.max.wait.ms", 100));
        settings.putAll(options);
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static Consumer<byte[], byte[]> member(String group, Map<String, Object> protocol, Map<String, Object> more) {
        Map<String, Object> options = new HashMap<>(protocol);
        options.put("group.id", group);
        options.putAll(more);
        return makeConsumer(options);
    }

    static List<ConsumerRecord<byte[], byte[]>> take(Consumer<byte[], byte[]> consumer, int count) {
        List<ConsumerRecord<byte[], byte[]>> taken = new ArrayList<>();
        long deadline = System.nanoTime() + 20_000_000_000L;
        while (taken.size() < count && System.nanoTime() < deadline)
            consumer.poll(Duration.ofMillis(100)).forEach(taken::add);
        isEqual(count, taken.size());
        return taken;
    }

    static List<ConsumerRecord<byte[], byte[]>> read(String topic, int count, Map<String, Object> options) {
        try (var consumer = makeConsumer(options)) {
            consumer.assign(List.of(new TopicPartition(topic, 0)));
            consumer.seekToBeginning(consumer.assignment());
            return take(consumer, count);
        }
    }

    static List<String> values(List<ConsumerRecord<byte[], byte[]>> records) {
        return records.stream().map(each -> new String(each.value())).collect(Collectors.toList());
    }

    static List<String> numbers(int count) {
        return IntStream.range(0, count).mapToObj(String::valueOf).collect(Collectors.toList());
    }

    static Set<Integer> partitionsOf(Consumer<byte[], byte[]> consumer) {
        consumer.poll(Duration.ofMillis(50));
        return consumer.assignment().stream().map(TopicPartition::partition).collect(Collectors.toSet());
    }

    @SafeVarargs
    static List<Set<Integer>> sharedOut(Consumer<byte[], byte[]>... members) {
        List<Set<Integer>> owned = new ArrayList<>();
        for (var each : members) owned.add(partitionsOf(each));
        var all = owned.stream().flatMap(Set::stream).sorted().collect(Collectors.toList());
        return all.equals(List.of(0, 1, 2, 3)) && owned.stream().noneMatch(Set::isEmpty) ? owned : null;
    }

    /** Collects what is taken away from a member. */
    static class Revocations implements ConsumerRebalanceListener {
        final Set<Integer> partitions = new HashSet<>();
        public void onPartitionsRevoked(Collection<TopicPartition> revoked) {
            revoked.forEach(each -> partitions.add(each.partition()));
        }
        public void onPartitionsAssigned(Collection<TopicPartition> assigned) {}
    }

    // Produce

    static void compressed(String codec) throws Exception {
        String topic = makeTopic();
        List<String> sent = new ArrayList<>();
        for (String acks : List.of("0", "1", "all")) {
            List<String> batch = numbers(100).stream().map(i -> (acks + " " + i + " ").repeat(50)).collect(Collectors.toList());
            Map<String, Object> options = Map.of(
                "acks", acks, "compression.type", codec, "linger.ms", 20, "enable.idempotence", acks.equals("all"));
            try (var producer = makeProducer(options)) {
                send(producer, topic, batch);
            }
            sent.addAll(batch);
        }
        List<String> seen = values(read(topic, 300, Map.of()));
        Collections.sort(sent);
        Collections.sort(seen); // nobody waits for those of acks 0
        isEqual(sent, seen);
    }

    static void headers() throws Exception {
        String topic = makeTopic();
        List<Header> sent = List.of(
            new RecordHeader("trace", new byte[] {1}), new RecordHeader("trace", new byte[] {2}),
            new RecordHeader("empty", new byte[0]), new RecordHeader("nothing", (byte[]) null));
        try (var producer = makeProducer(Map.of())) {
            producer.send(new ProducerRecord<>(topic, 0, (byte[]) null, new byte[0], sent)).get();
        }
        isEqual(sent, List.of(read(topic, 1, Map.of()).get(0).headers().toArray()));
    }

    static void nulls() throws Exception {
        String topic = makeTopic();
        byte[] text = "x".getBytes(), empty = new byte[0];
        byte[][][] pairs = {{null, text}, {empty, text}, {text, null}, {text, empty}, {null, null}};
        try (var producer = makeProducer(Map.of())) {
            for (byte[][] pair : pairs) producer.send(new ProducerRecord<>(topic, 0, pair[0], pair[1])).get();
        }
        var seen = read(topic, pairs.length, Map.of());
        for (int i = 0; i < pairs.length; i++) {
            isTrue(Arrays.equals(pairs[i][0], seen.get(i).key()), "key of " + seen.get(i));
            isTrue(Arrays.equals(pairs[i][1], seen.get(i).value()), "value of " + seen.get(i));
        }
    }

    static void largeRecords() throws Exception {
        String topic = makeTopic(), large = "0123456789abcdef".repeat(62_000);
        sendPlain(topic, "before", large, "behind");
        isEqual(List.of("before", large, "behind"), values(read(topic, 3, Map.of())));
    }

    static void timestamps() throws Exception {
        String theirs = makeTopic(), ours = makeTopic(1, Map.of("message.timestamp.type", "LogAppendTime"));
        long before = System.currentTimeMillis() - 1;
        try (var producer = makeProducer(Map.of())) {
            for (String topic : List.of(theirs, ours))
                producer.send(new ProducerRecord<>(topic, 0, 1234567890123L, null, new byte[0])).get();
        }
        var created = read(theirs, 1, Map.of()).get(0);
        isEqual(TimestampType.CREATE_TIME, created.timestampType());
        isEqual(1234567890123L, created.timestamp());
        var appended = read(ours, 1, Map.of()).get(0);
        isEqual(TimestampType.LOG_APPEND_TIME, appended.timestampType());
        isTrue(before <= appended.timestamp() && appended.timestamp() <= System.currentTimeMillis() + 1, appended);
    }

    static void automaticTopics() throws Exception {
        String topic = unique("automatic");
        sendPlain(topic, "first");
        isEqual(List.of("first"), values(read(topic, 1, Map.of())));
    }

    // Consume

    static void fromTheBeginning() throws Exception {
        String topic = makeTopic();
        sendPlain(topic, numbers(1000).toArray(new String[0]));
        isEqual(numbers(1000), values(read(topic, 1000, Map.of())));
    }

    static void fromTheEnd() throws Exception {
        String topic = makeTopic();
        var partition = new TopicPartition(topic, 0);
        sendPlain(topic, "before");
        try (var consumer = makeConsumer(Map.of())) {
            consumer.assign(List.of(partition));
            consumer.seekToEnd(List.of(partition));
            isEqual(1L, consumer.position(partition));
            sendPlain(topic, "later");
            isEqual(List.of("later"), values(take(consumer, 1)));
        }
    }

    static void fromAnOffset() throws Exception {
        String topic = makeTopic();
        sendPlain(topic, numbers(10).toArray(new String[0]));
        try (var consumer = makeConsumer(Map.of())) {
            consumer.assign(List.of(new TopicPartition(topic, 0)));
            consumer.seek(new TopicPartition(topic, 0), 7);
            isEqual(List.of("7", "8", "9"), values(take(consumer, 3)));
        }
    }

    static void fromATime() throws Exception {
        String topic = makeTopic();
        var partition = new TopicPartition(topic, 0);
        try (var producer = makeProducer(Map.of()); var consumer = makeConsumer(Map.of())) {
            for (int i = 0; i < 10; i++)
                producer.send(new ProducerRecord<>(topic, 0, 1_000_000L + i * 1000, null, ("" + i).getBytes())).get();
            List<Long> found = new ArrayList<>();
            for (long time : List.of(0L, 1_003_500L, 1_009_000L, 2_000_000L)) {
                var at = consumer.offsetsForTimes(Map.of(partition, time)).get(partition);
                found.add(at == null ? null : at.offset());
            }
            isEqual(Arrays.asList(0L, 4L, 9L, null), found);
            consumer.assign(List.of(partition));
            consumer.seek(partition, found.get(1));
            isEqual("4", values(take(consumer, 6)).get(0));
        }
    }

    // Groups

    static void joinAndLeave(Map<String, Object> protocol) throws Exception {
        String topic = makeTopic(4, Map.of()), group = unique("group");
        try (var first = member(group, protocol, Map.of()); var second = member(group, protocol, Map.of())) {
            first.subscribe(List.of(topic));
            eventually(() -> sharedOut(first));
            second.subscribe(List.of(topic));
            eventually(() -> sharedOut(first, second));
            second.close();
            eventually(() -> sharedOut(first));
        }
    }

    static void crash(Map<String, Object> protocol, String wire) throws Exception {
        String topic = makeTopic(4, Map.of()), group = unique("group");
        var crashing = member(group, protocol, Map.of("bootstrap.servers", wire));
        try (var survivor = member(group, protocol, Map.of())) {
            survivor.subscribe(List.of(topic));
            crashing.subscribe(List.of(topic));
            eventually(() -> sharedOut(survivor, crashing));
            breakForGood(wire);
            eventually(() -> sharedOut(survivor));
        }
        crashing.close(CloseOptions.timeout(Duration.ZERO));
    }

    static void staticMember(Map<String, Object> protocol) throws Exception {
        String topic = makeTopic(4, Map.of()), group = unique("group");
        var revocations = new Revocations();
        try (var stays = member(group, protocol, Map.of("group.instance.id", "stays"))) {
            var leaves = member(group, protocol, Map.of("group.instance.id", "leaves"));
            stays.subscribe(List.of(topic), revocations);
            leaves.subscribe(List.of(topic));
            var before = eventually(() -> sharedOut(stays, leaves));
            revocations.partitions.clear();
            leaves.close();
            try (var returned = member(group, protocol, Map.of("group.instance.id", "leaves"))) {
                returned.subscribe(List.of(topic));
                isEqual(before, eventually(() -> sharedOut(stays, returned)));
            }
            isEqual(Set.of(), revocations.partitions);
        }
    }

    static void cooperative() throws Exception {
        String topic = makeTopic(4, Map.of()), group = unique("group");
        Map<String, Object> assignor = Map.of(
            "partition.assignment.strategy", CooperativeStickyAssignor.class.getName());
        var revocations = new Revocations();
        try (var first = member(group, CLASSIC, assignor); var second = member(group, CLASSIC, assignor)) {
            first.subscribe(List.of(topic), revocations);
            eventually(() -> sharedOut(first));
            second.subscribe(List.of(topic));
            var owned = eventually(() -> sharedOut(first, second));
            isEqual(List.of(2, 2), owned.stream().map(Set::size).collect(Collectors.toList()));
            isEqual(owned.get(1), revocations.partitions);
        }
    }

    static void commitAndResume(Map<String, Object> protocol) throws Exception {
        String topic = makeTopic(), group = unique("group");
        var partition = new TopicPartition(topic, 0);
        sendPlain(topic, numbers(10).toArray(new String[0]));
        try (var first = member(group, protocol, Map.of("max.poll.records", 6))) {
            first.subscribe(List.of(topic));
            take(first, 6);
            first.commitSync(Map.of(partition, new OffsetAndMetadata(6, "note")));
        }
        try (var second = member(group, protocol, Map.of())) {
            second.subscribe(List.of(topic));
            isEqual(List.of("6", "7", "8", "9"), values(take(second, 4)));
            isEqual("note", second.committed(Set.of(partition)).get(partition).metadata());
        }
    }

    // Exactly once

    static void idempotence() throws Exception {
        String topic = makeTopic();
        Map<String, Object> options = Map.of(
            "bootstrap.servers", faulty, "batch.size", 4000, "linger.ms", 1, "reconnect.backoff.ms", 10,
            "reconnect.backoff.max.ms", 50, "retry.backoff.ms", 20);
        List<String> sent = numbers(5000).stream().map(i -> (i + " ").repeat(20)).collect(Collectors.toList());
        try (var producer = makeProducer(options)) {
            send(producer, topic, sent);
        }
        isEqual(sent, values(read(topic, sent.size(), Map.of())));
    }

    static Producer<byte[], byte[]> transactional(String id, Map<String, Object> more) {
        Map<String, Object> options = new HashMap<>(more);
        options.put("transactional.id", id);
        var producer = makeProducer(options);
        producer.initTransactions();
        return producer;
    }

    static void commit() throws Exception {
        String topic = makeTopic();
        try (var producer = transactional(unique("id"), Map.of())) {
            for (var batch : List.of(List.of("1", "2"), List.of("3"))) {
                producer.beginTransaction();
                send(producer, topic, batch);
                producer.commitTransaction();
            }
        }
        for (var isolation : List.of(COMMITTED, UNCOMMITTED))
            isEqual(List.of("1", "2", "3"), values(read(topic, 3, isolation)));
    }

    static void abort() throws Exception {
        String topic = makeTopic();
        try (var producer = transactional(unique("id"), Map.of())) {
            for (String value : List.of("kept", "dropped", "kept too")) {
                producer.beginTransaction();
                send(producer, topic, List.of(value));
                if (value.equals("dropped")) producer.abortTransaction();
                else producer.commitTransaction();
            }
        }
        isEqual(List.of("kept", "kept too"), values(read(topic, 2, COMMITTED)));
        isEqual(List.of("kept", "dropped", "kept too"), values(read(topic, 3, UNCOMMITTED)));
    }

    static void openTransaction() throws Exception {
        String topic = makeTopic();
        try (var opened = transactional(unique("id"), Map.of()); var reader = makeConsumer(COMMITTED)) {
            opened.beginTransaction();
            send(opened, topic, List.of("open"));
            sendPlain(topic, "behind");
            isEqual(List.of("open", "behind"), values(read(topic, 2, UNCOMMITTED)));
            reader.assign(List.of(new TopicPartition(topic, 0)));
            isEqual(0, reader.poll(Duration.ofMillis(500)).count());
            opened.commitTransaction();
            isEqual(List.of("open", "behind"), values(take(reader, 2)));
        }
    }

    static void fencing() throws Exception {
        String topic = makeTopic(), id = unique("id");
        var first = transactional(id, Map.of());
        first.beginTransaction();
        send(first, topic, List.of("left open"));
        try (var second = transactional(id, Map.of())) {
            second.beginTransaction();
            send(second, topic, List.of("by the second"));
            second.commitTransaction();
        }
        isEqual(List.of("by the second"), values(read(topic, 1, COMMITTED)));
        first.close(Duration.ZERO);
    }

    static void zombie() throws Exception {
        for (String attempt : List.of("commit", "write")) {
            String topic = makeTopic(), id = unique("id");
            var zombie = transactional(id, Map.of());
            zombie.beginTransaction();
            send(zombie, topic, List.of("left open"));
            try (var second = transactional(id, Map.of())) {
                refusal(ApiException.class, () -> {
                    if (attempt.equals("write")) send(zombie, topic, List.of("from the grave"));
                    else zombie.commitTransaction();
                    return null;
                });
                second.beginTransaction();
                send(second, topic, List.of("by the second"));
                second.commitTransaction();
            }
            isEqual(List.of("by the second"), values(read(topic, 1, COMMITTED)));
            isEqual(List.of("left open", "by the second"), values(read(topic, 2, UNCOMMITTED)));
            zombie.close(Duration.ZERO);
        }
    }

    static void transactionTimeout() throws Exception {
        String topic = makeTopic();
        var forgetful = transactional(unique("id"), Map.of("transaction.timeout.ms", 1000));
        forgetful.beginTransaction();
        send(forgetful, topic, List.of("forgotten"));
        sendPlain(topic, "behind");
        isEqual(List.of("behind"), values(read(topic, 1, COMMITTED)));
        refusal(KafkaException.class, () -> { forgetful.commitTransaction(); return null; });
        forgetful.close(Duration.ZERO);
    }

    static void offsetsInATransaction() throws Exception {
        String topic = makeTopic(), group = unique("group");
        var partition = new TopicPartition(topic, 0);
        sendPlain(topic, numbers(4).toArray(new String[0]));
        try (var consumer = member(group, CLASSIC, Map.of()); var atomic = transactional(unique("id"), Map.of())) {
            consumer.subscribe(List.of(topic));
            take(consumer, 4);
            long[][] steps = {{1, 1}, {2, 1}, {3, 3}}; // what is written, and what then is committed
            for (long[] step : steps) {
                atomic.beginTransaction();
                atomic.sendOffsetsToTransaction(
                    Map.of(partition, new OffsetAndMetadata(step[0])), consumer.groupMetadata());
                if (step[0] == step[1]) atomic.commitTransaction();
                else atomic.abortTransaction();
                isEqual(step[1], consumer.committed(Set.of(partition)).get(partition).offset());
            }
        }
    }

    // Administration

    static Config configOf(String topic) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        return admin.describeConfigs(List.of(resource)).all().get().get(resource);
    }

    static void createTopics() throws Exception {
        String topic = makeTopic(3, Map.of("retention.ms", "12345"));
        isEqual("12345", configOf(topic).get("retention.ms").value());
    }

    static void describeTopics() throws Exception {
        String topic = makeTopic(3, Map.of());
        TopicDescription described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
        isEqual(List.of(0, 1, 2), described.partitions().stream().map(TopicPartitionInfo::partition).collect(Collectors.toList()));
        isTrue(described.partitions().stream().allMatch(each -> each.isr().contains(each.leader())), described);
        isTrue(!described.topicId().equals(Uuid.ZERO_UUID), described);
    }

    static void listTopics() throws Exception {
        String topic = makeTopic();
        var listed = admin.listTopics(new ListTopicsOptions().listInternal(true)).listings().get();
        var found = listed.stream().filter(each -> each.name().equals(topic)).collect(Collectors.toList());
        isEqual(1, found.size());
        isTrue(!found.get(0).isInternal(), found);
        isTrue(listed.stream().filter(each -> each.name().startsWith("__")).allMatch(TopicListing::isInternal), listed);
    }

    static void deleteTopics() throws Exception {
        String topic = makeTopic();
        sendPlain(topic, "old");
        admin.deleteTopics(List.of(topic)).all().get();
        eventually(() -> !admin.listTopics().names().get().contains(topic));
        admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get();
        sendPlain(topic, "new");
        isEqual(List.of("new"), values(read(topic, 1, Map.of())));
    }

    static void addPartitions() throws Exception {
        String topic = makeTopic();
        sendPlain(topic, "kept");
        admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all().get();
        try (var producer = makeProducer(Map.of())) {
            eventually(() -> admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size() == 3);
            producer.send(new ProducerRecord<>(topic, 2, null, new byte[0])).get();
        }
        isEqual(List.of("kept"), values(read(topic, 1, Map.of())));
        refusal(InvalidPartitionsException.class,
            () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(2))).all().get());
    }

    static void describeConfigs() throws Exception {
        ConfigEntry entry = configOf(makeTopic()).get("cleanup.policy");
        isEqual("delete", entry.value());
        isTrue(entry.isDefault(), entry);
    }

    static void alterConfigs() throws Exception {
        String topic = makeTopic();
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        var set = new AlterConfigOp(new ConfigEntry("retention.ms", "60000"), AlterConfigOp.OpType.SET);
        var append = new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.APPEND);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(set, append))).all().get();
        eventually(() -> configOf(topic).get("retention.ms").value().equals("60000"));
        isEqual("delete,compact", configOf(topic).get("cleanup.policy").value());
        var delete = new AlterConfigOp(new ConfigEntry("retention.ms", null), AlterConfigOp.OpType.DELETE);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(delete))).all().get();
        eventually(() -> configOf(topic).get("retention.ms").value().equals("604800000"));
    }

    static void listGroups() throws Exception {
        String topic = makeTopic(), group = unique("group");
        try (var classic = member(group, CLASSIC, Map.of()); var modern = member(group + "-848", KIP_848, Map.of())) {
            for (var each : List.of(classic, modern)) {
                each.subscribe(List.of(topic));
                eventually(() -> !partitionsOf(each).isEmpty());
            }
            Map<String, GroupListing> listed = new HashMap<>();
            admin.listGroups().all().get().forEach(each -> listed.put(each.groupId(), each));
            isEqual(Optional.of(GroupType.CLASSIC), listed.get(group).type());
            isEqual(Optional.of(GroupType.CONSUMER), listed.get(group + "-848").type());
            isEqual(Optional.of(GroupState.STABLE), listed.get(group + "-848").groupState());
        }
    }

    static void describeGroups() throws Exception {
        for (var protocol : List.of(CLASSIC, KIP_848)) {
            String topic = makeTopic(), group = unique("group");
            try (var consumer = member(group, protocol, Map.of("client.id", "me"))) {
                consumer.subscribe(List.of(topic));
                eventually(() -> !partitionsOf(consumer).isEmpty());
                var described = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
                isEqual(GroupState.STABLE, described.groupState());
                isEqual(1, described.members().size());
                MemberDescription member = described.members().iterator().next();
                isEqual("me", member.clientId());
                isEqual(Set.of(new TopicPartition(topic, 0)), member.assignment().topicPartitions());
            }
        }
    }

    static void deleteGroups() throws Exception {
        for (var protocol : List.of(CLASSIC, KIP_848)) {
            String topic = makeTopic(), group = unique("group");
            try (var consumer = member(group, protocol, Map.of())) {
                consumer.subscribe(List.of(topic));
                eventually(() -> !partitionsOf(consumer).isEmpty());
                refusal(GroupNotEmptyException.class, () -> admin.deleteConsumerGroups(List.of(group)).all().get());
            }
            eventually(() -> {
                try {
                    admin.deleteConsumerGroups(List.of(group)).all().get();
                    return true;
                } catch (ExecutionException stillThere) {
                    return false;
                }
            });
            isTrue(admin.listGroups().all().get().stream().noneMatch(each -> each.groupId().equals(group)), group);
        }
    }

    static void listOffsets() throws Exception {
        String topic = makeTopic();
        var partition = new TopicPartition(topic, 0);
        try (var producer = makeProducer(Map.of())) {
            for (long i = 0; i < 5; i++) producer.send(new ProducerRecord<>(topic, 0, 1000 + i, null, new byte[0])).get();
        }
        List<Long> found = new ArrayList<>();
        for (OffsetSpec spec : List.of(
                OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.forTimestamp(1003), OffsetSpec.maxTimestamp()))
            found.add(admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get().offset());
        isEqual(List.of(0L, 5L, 3L, 4L), found);
    }

    static void groupOffsets() throws Exception {
        String topic = makeTopic(), group = unique("group");
        var partition = new TopicPartition(topic, 0);
        sendPlain(topic, numbers(3).toArray(new String[0]));
        admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(2))).all().get();
        Look<Map<TopicPartition, OffsetAndMetadata>> listed =
            () -> admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        isEqual(2L, listed.at().get(partition).offset());
        admin.deleteConsumerGroupOffsets(group, Set.of(partition)).all().get();
        isEqual(null, listed.at().get(partition));
    }

    static void deleteRecords() throws Exception {
        String topic = makeTopic();
        var partition = new TopicPartition(topic, 0);
        sendPlain(topic, numbers(10).toArray(new String[0]));
        var deleted = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(4)));
        isEqual(4L, deleted.lowWatermarks().get(partition).get().lowWatermark());
        isEqual(4L, read(topic, 6, Map.of()).get(0).offset());
    }

    static void describeCluster() throws Exception {
        var cluster = admin.describeCluster();
        isEqual(1, cluster.nodes().get().size());
        Node node = cluster.nodes().get().iterator().next();
        isEqual(broker, node.host() + ":" + node.port());
        isEqual(node, cluster.controller().get());
        isTrue(!cluster.clusterId().get().isEmpty(), cluster);
        isTrue(admin.describeFeatures().featureMetadata().get().finalizedFeatures().containsKey("metadata.version")
            || !admin.describeFeatures().featureMetadata().get().supportedFeatures().isEmpty(), "features");
    }

    static void describeTransactions() throws Exception {
        String topic = makeTopic(), id = unique("id");
        var partition = new TopicPartition(topic, 0);
        try (var producer = transactional(id, Map.of())) {
            producer.beginTransaction();
            send(producer, topic, List.of("open"));
            var described = admin.describeTransactions(List.of(id)).all().get().get(id);
            isEqual(TransactionState.ONGOING, described.state());
            isEqual(Set.of(partition), described.topicPartitions());
            isTrue(admin.listTransactions().all().get().stream().anyMatch(each -> each.transactionalId().equals(id)), id);
            var writing = admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers();
            isEqual(described.producerId(), writing.get(0).producerId());
            isEqual(OptionalLong.of(0), writing.get(0).currentTransactionStartOffset());
            producer.commitTransaction();
        }
    }

    // Errors

    static void unknownTopic() throws Exception {
        String unknown = unique("unknown");
        refusal(UnknownTopicOrPartitionException.class, () -> admin.describeTopics(List.of(unknown)).allTopicNames().get());
        refusal(UnknownTopicIdException.class,
            () -> admin.describeTopics(TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()))).allTopicIds().get());
        refusal(UnknownTopicOrPartitionException.class, () -> admin.deleteTopics(List.of(unknown)).all().get());
    }

    static void tooLarge() throws Exception {
        String topic = makeTopic(1, Map.of("max.message.bytes", "2000"));
        refusal(RecordTooLargeException.class, () -> { sendPlain(topic, "x".repeat(3000)); return null; });
    }

    static void outOfRange() throws Exception {
        String topic = makeTopic();
        sendPlain(topic, "0");
        try (var consumer = makeConsumer(Map.of("auto.offset.reset", "none"))) {
            consumer.assign(List.of(new TopicPartition(topic, 0)));
            consumer.seek(new TopicPartition(topic, 0), 17);
            refusal(org.apache.kafka.clients.consumer.OffsetOutOfRangeException.class, () -> take(consumer, 1));
        }
    }

    static void fencedMember() throws Exception {
        String topic = makeTopic(), group = unique("group");
        sendPlain(topic, "0");
        var position = Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(1));
        Map<String, Object> instance = Map.of("group.instance.id", "the-one");
        var first = member(group, CLASSIC, instance);
        first.subscribe(List.of(topic));
        take(first, 1);
        try (var second = member(group, CLASSIC, instance)) {
            second.subscribe(List.of(topic));
            take(second, 1);
            refusal(FencedInstanceIdException.class, () -> { first.commitSync(position); return null; });
            second.commitSync(position);
        }
        first.close(CloseOptions.timeout(Duration.ZERO));
    }

    static void invalidTopicName() throws Exception {
        for (String name : List.of("with space", "a".repeat(250), ".", "sl/ash"))
            refusal(InvalidTopicException.class,
                () -> admin.createTopics(List.of(new NewTopic(name, 1, (short) 1))).all().get());
    }

    static void invalidConfig() throws Exception {
        for (var config : Map.of("retention.ms", "soon", "cleanup.policy", "burn", "no.such", "1").entrySet())
            refusal(InvalidConfigurationException.class, () -> makeTopic(1, Map.of(config.getKey(), config.getValue())));
    }

    static void topicExists() throws Exception {
        String topic = makeTopic();
        refusal(TopicExistsException.class,
            () -> admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get());
    }
}
