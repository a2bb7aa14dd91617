// Runs the main classes of Kafka's own tools, one after another in one JVM, since each start of a JVM takes a second.
//
// A command is a line of JSON on standard input: {"main": "org.apache.kafka.tools.TopicCommand", "arguments": […], "sent": "…"}.
// The answer is one as well: {"code": 0, "out": "…", "error": "…"}. The tools are told apart from each other by a class
// loader each, for some keep counts in static fields, and Scala what standard output is.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.*;
import java.lang.reflect.InvocationTargetException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.utils.Exit;

class Tools {
    /** What a tool throws here where it would end the process. Some catch it, and end once more: the first one counts. */
    static class Ended extends RuntimeException {}

    static Integer code;

    static void end(int with) {
        if (code == null) code = with;
        throw new Ended();
    }

    public static void main(String[] arguments) throws Exception {
        URL[] tools = new URL[arguments.length];
        for (int i = 0; i < tools.length; i++) tools[i] = Path.of(arguments[i]).toUri().toURL();
        ObjectMapper json = new ObjectMapper();
        PrintStream answers = System.out;
        PrintStream complaints = System.err;
        Exit.setExitProcedure((code, message) -> end(code));
        Exit.setHaltProcedure((code, message) -> end(code));
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            JsonNode command = json.readTree(line);
            List<String> given = new ArrayList<>();
            command.get("arguments").forEach(each -> given.add(each.asText()));
            List<Runnable> hooks = new ArrayList<>();
            Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
            var out = new ByteArrayOutputStream();
            var error = new ByteArrayOutputStream();
            System.setIn(new ByteArrayInputStream(command.get("sent").asText().getBytes(StandardCharsets.UTF_8)));
            System.setOut(new PrintStream(out));
            System.setErr(new PrintStream(error));
            code = null;
            try (URLClassLoader loader = new URLClassLoader(tools, Tools.class.getClassLoader())) {
                Thread.currentThread().setContextClassLoader(loader);
                try {
                    loader.loadClass(command.get("main").asText()).getMethod("main", String[].class)
                        .invoke(null, (Object) given.toArray(new String[0]));
                } catch (InvocationTargetException thrown) {
                    if (code == null) {
                        code = 1;
                        thrown.getCause().printStackTrace();
                    }
                }
                hooks.forEach(Runnable::run);
            }
            System.setOut(answers);
            System.setErr(complaints);
            Map<String, Object> answer = new LinkedHashMap<>();
            answer.put("code", code == null ? 0 : code);
            answer.put("out", out.toString());
            answer.put("error", error.toString());
            answers.println(json.writeValueAsString(answer));
        }
    }
}
