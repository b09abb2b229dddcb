// Prints, as JSON, every setting that the Kafka on the class path defines: brokers', topics', and
// (where ZooKeeper is there too) zoo.cfg's. Run by generate.py; see there.

import java.io.DataInputStream;
import java.io.InputStream;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Enumeration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;

import org.apache.kafka.common.config.ConfigDef;

public class Dump {
    public static void main(String[] arguments) throws Exception {
        Map<String, Object> all = new TreeMap<>();
        ConfigDef broker = (ConfigDef) Class.forName("kafka.server.KafkaConfig").getMethod("configDef").invoke(null);
        all.put("broker", definitions(broker, updateModes()));
        Class<?> log = Class.forName("org.apache.kafka.storage.internals.log.LogConfig");
        ConfigDef topic = (ConfigDef) log.getMethod("configDefCopy").invoke(null);
        all.put("topic", definitions(topic, Map.of()));
        all.put("zookeeper", zookeeper());
        System.out.println(json(all));
    }

    @SuppressWarnings("unchecked")
    private static Map<String, String> updateModes() throws Exception {
        // A Java class in 4.3, a Scala object before: there the method is on its only instance.
        for (String name : List.of("org.apache.kafka.server.config.DynamicBrokerConfig", "kafka.server.DynamicBrokerConfig$")) {
            try {
                Class<?> type = Class.forName(name);
                Object owner = name.endsWith("$") ? type.getField("MODULE$").get(null) : null;
                return (Map<String, String>) type.getMethod("dynamicConfigUpdateModes").invoke(owner);
            } catch (ClassNotFoundException | NoSuchMethodException next) {
                // It moved between versions.
            }
        }
        throw new IllegalStateException("no DynamicBrokerConfig.dynamicConfigUpdateModes on the class path");
    }

    private static Map<String, Object> definitions(ConfigDef def, Map<String, String> modes) throws Exception {
        Map<String, Object> all = new TreeMap<>();
        for (ConfigDef.ConfigKey key : def.configKeys().values()) {
            Map<String, Object> one = new TreeMap<>();
            one.put("type", key.type.name().toLowerCase());
            if (key.hasDefault() && key.defaultValue != null && key.type != ConfigDef.Type.PASSWORD) {
                one.put("default", ConfigDef.convertToString(key.defaultValue, key.type));
            }
            if (!key.hasDefault()) {
                one.put("required", true);
            }
            if (key.internalConfig) {
                one.put("internal", true);
            }
            if (modes.containsKey(key.name)) {
                one.put("update", modes.get(key.name));
            }
            validity(key, one);
            all.put(key.name, one);
        }
        return all;
    }

    private static void validity(ConfigDef.ConfigKey key, Map<String, Object> one) throws Exception {
        Object validator = key.validator;
        if (validator == null) {
            return;
        }
        String words = validator.toString();
        if (!words.contains("@") && !words.contains("Lambda")) {
            one.put("valid", words);
        }
        for (String name : List.of("min", "max")) {
            Object bound = field(validator, name);
            if (bound instanceof Number) {
                one.put(name, bound);
            }
        }
        for (String name : List.of("validStrings", "validString")) {
            Object inner = field(validator, name);
            if (inner != null && !(inner instanceof Collection)) {
                inner = field(inner, "validStrings");
            }
            if (inner instanceof Collection && !((Collection<?>) inner).isEmpty()) {
                one.put("choices", new ArrayList<>(new TreeSet<>((Collection<String>) inner)));
                if (validator.getClass().getSimpleName().startsWith("CaseInsensitive")) {
                    one.put("any_case", true);
                }
            }
        }
    }

    private static Object field(Object owner, String name) throws Exception {
        try {
            Field field = owner.getClass().getDeclaredField(name);
            field.setAccessible(true);
            return field.get(owner);
        } catch (NoSuchFieldException absent) {
            return null;
        }
    }

    // zoo.cfg has no definition table. A key is known when QuorumPeerConfig takes it by name (it then
    // does not hand it on as the system property zookeeper.KEY), or when a class of ZooKeeper's jar
    // names the system property zookeeper.KEY, or when it is one of the TLS utilities' properties.
    private static Map<String, Object> zookeeper() throws Exception {
        Map<String, Object> known = new TreeMap<>();
        Class<?> config;
        try {
            config = Class.forName("org.apache.zookeeper.server.quorum.QuorumPeerConfig");
        } catch (ClassNotFoundException none) {
            return known;
        }
        String jar = config.getProtectionDomain().getCodeSource().getLocation().getPath();
        TreeSet<String> properties = new TreeSet<>();
        TreeSet<String> candidates = new TreeSet<>();
        try (JarFile file = new JarFile(jar)) {
            Enumeration<JarEntry> entries = file.entries();
            while (entries.hasMoreElements()) {
                JarEntry entry = entries.nextElement();
                if (entry.getName().endsWith(".class")) {
                    try (InputStream in = file.getInputStream(entry)) {
                        List<String> strings = strings(new DataInputStream(in));
                        if (entry.getName().equals("org/apache/zookeeper/server/quorum/QuorumPeerConfig.class")) {
                            candidates.addAll(strings);
                        }
                        strings.stream().filter(text -> text.matches("zookeeper\\.[A-Za-z0-9_.-]*[A-Za-z0-9]"))
                            .forEach(properties::add);
                    }
                }
            }
        }
        for (String name : List.of("ClientX509Util", "QuorumX509Util")) {
            Class<?> util = Class.forName("org.apache.zookeeper.common." + name);
            Object instance = util.getDeclaredConstructor().newInstance();
            for (Method method : util.getMethods()) {
                if (method.getName().matches("get(Ssl|Sslc|Cipher|X509)?.*Property") && method.getParameterCount() == 0) {
                    properties.add((String) method.invoke(instance));
                }
            }
        }
        for (String property : properties) {
            known.put(property.substring("zookeeper.".length()), Map.of("via", "system property"));
        }
        for (String candidate : candidates) {
            if (candidate.matches("[A-Za-z]([A-Za-z0-9.]*[A-Za-z0-9])?") && takenByName(config, candidate)) {
                known.put(candidate, Map.of("via", "zoo.cfg"));
            }
        }
        return known;
    }

    private static boolean takenByName(Class<?> config, String key) throws Exception {
        String property = "zookeeper." + key;
        System.clearProperty(property);
        Properties properties = new Properties();
        properties.setProperty(key, "1");
        try {
            Object parser = config.getDeclaredConstructor().newInstance();
            config.getMethod("parseProperties", Properties.class).invoke(parser, properties);
        } catch (java.lang.reflect.InvocationTargetException refused) {
            // Also a refusal of the value says that the key is known; see the property below.
        }
        boolean handedOn = System.getProperty(property) != null;
        System.clearProperty(property);
        return !handedOn;
    }

    private static List<String> strings(DataInputStream in) throws Exception {
        in.readInt();
        in.readInt();
        int count = in.readUnsignedShort();
        Map<Integer, String> texts = new HashMap<>();
        List<Integer> used = new ArrayList<>();
        for (int index = 1; index < count; index++) {
            int tag = in.readUnsignedByte();
            switch (tag) {
                case 1 -> texts.put(index, in.readUTF());
                case 8 -> used.add(in.readUnsignedShort());
                case 7, 16, 19, 20 -> in.readUnsignedShort();
                case 15 -> in.skipBytes(3);
                case 5, 6 -> {
                    in.skipBytes(8);
                    index++;
                }
                default -> in.skipBytes(4);
            }
        }
        List<String> all = new ArrayList<>();
        used.forEach(index -> all.add(texts.get(index)));
        return all;
    }

    private static String json(Object value) {
        if (value instanceof Map<?, ?> map) {
            List<String> parts = new ArrayList<>();
            new TreeMap<>(map).forEach((key, item) -> parts.add(json(key) + ": " + json(item)));
            return "{" + String.join(", ", parts) + "}";
        }
        if (value instanceof Collection<?> items) {
            List<String> parts = new ArrayList<>();
            items.forEach(item -> parts.add(json(item)));
            return "[" + String.join(", ", parts) + "]";
        }
        if (value instanceof Number || value instanceof Boolean) {
            return value.toString();
        }
        return "\"" + value.toString().replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + "\"";
    }
}
