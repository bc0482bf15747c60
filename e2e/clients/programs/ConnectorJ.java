import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.sql.*;
import java.util.*;

/** MariaDB Connector/J: ConnectorJ URL HOST PORT TASK... where URL is "jdbc:mariadb:" or the like (see ../doc.go for what it prints). */
public class ConnectorJ {
    static String scheme, at;
    static final String CA = System.getenv("MATRIX_CA"), FILE = System.getenv("MATRIX_FILE"), OTHER = System.getenv("MATRIX_OTHER");
    static final String BLOCK = "abcdefghijklmnopqrstuvwxyz0";

    interface Work { Object run() throws Exception; }

    /** Logs in; null stands for what is not said. More is added to the URL. A wrong password is tried at all hosts 120 times otherwise. */
    static Connection connect(String user, String password, String database, String more) throws SQLException {
        return DriverManager.getConnection(scheme + "//" + at + "/" + (database == null ? "" : database) + "?retriesAllDown=1&useSsl=" + more.contains("serverSslCert") + more, user, password);
    }

    static Connection connect(String more) throws SQLException { return connect("app", "secret", "sales", more); }

    static String one(Connection c, String query) throws SQLException {
        try (Statement s = c.createStatement(); ResultSet r = s.executeQuery(query)) {
            r.next();
            return r.getString(1);
        }
    }

    static void run(Connection c, String query) throws SQLException {
        try (Statement s = c.createStatement()) { s.execute(query); }
    }

    static String md5(String text) throws Exception {
        byte[] sum = MessageDigest.getInstance("MD5").digest(text.getBytes(StandardCharsets.UTF_8));
        return String.format("%032x", new BigInteger(1, sum));
    }

    static String quoted(String s) {
        StringBuilder b = new StringBuilder("\"");
        for (char c : s.toCharArray()) b.append(c == '"' || c == '\\' ? "\\" + c : c < ' ' ? String.format("\\u%04x", (int) c) : String.valueOf(c));
        return b.append('"').toString();
    }

    static void say(String task, String step, String said) {
        System.out.println("{\"task\":" + quoted(task) + ",\"step\":" + quoted(step) + said + "}");
        System.out.flush();
    }

    static void step(String task, String step, Work work) throws Exception {
        try {
            say(task, step, ",\"result\":" + quoted(String.valueOf(work.run())));
        } catch (SQLException e) {
            say(task, step, ",\"code\":" + Math.max(0, e.getErrorCode()) + ",\"state\":" + quoted(String.valueOf(e.getSQLState())) + ",\"text\":" + quoted(String.valueOf(e.getMessage())));
        }
    }

    static void login() throws Exception {
        String[][] ways = {
            {"right", "app", "secret", "sales"}, {"no database", "app", "secret", null}, {"wrong password", "app", "wrong", "sales"},
            {"no password", "app", "", "sales"}, {"unknown user", "nobody", "secret", "sales"},
            {"unknown database", "app", "secret", "nowhere"}, {"forbidden database", "lonely", "secret", "sales"}};
        for (String[] w : ways) step("login", w[0], () -> {
            try (Connection c = connect(w[1], w[2], w[3], "")) { return one(c, "select concat(current_user(), ' ', ifnull(database(), 'none'))"); }
        });
    }

    static void tls() throws Exception {
        String more = "&serverSslCert=" + CA;
        step("tls", "cipher", () -> {
            try (Connection c = connect(more)) {
                return one(c, "select if(variable_value = '', 'off', 'on') from information_schema.session_status where variable_name = 'Ssl_cipher'");
            }
        });
        step("tls", "wrong password", () -> connect("app", "wrong", "sales", more));
        step("tls", "row", () -> {
            try (Connection c = connect(more)) { return md5(one(c, "select repeat('" + BLOCK + "', 100000)")); }
        });
    }

    static Object insert(Connection c, PreparedStatement s) throws SQLException {
        s.setInt(1, 7);
        s.setLong(2, -9000000000L);
        s.setDouble(3, 1.5);
        s.setBigDecimal(4, new java.math.BigDecimal("3.14"));
        s.setString(5, "äß€😀");
        s.setBytes(6, new byte[] {0, (byte) 255, '\''});
        s.setDate(7, java.sql.Date.valueOf("2024-02-29"));
        s.setNull(8, Types.INTEGER);
        s.executeUpdate();
        return one(c, "select concat_ws('|', a, b, c, d, e, hex(f), g, ifnull(h, 'NULL')) from t");
    }

    /** Executes a statement with one number from first to last, and adds up all rows' first column. */
    static Object summed(Connection c, String query, int first, int last) throws SQLException {
        long sum = 0;
        try (PreparedStatement s = c.prepareStatement(query)) {
            for (int i = first; i <= last; i++) {
                s.setInt(1, i);
                try (ResultSet r = s.executeQuery()) { while (r.next()) sum += r.getLong(1); }
            }
        }
        return sum;
    }

    static void prepared() throws Exception {
        try (Connection c = connect("&useServerPrepStmts=true")) {
            run(c, "create temporary table t (a int primary key, b bigint, c double, d decimal(10,2), e varchar(20), f blob, g date, h int) charset utf8mb4");
            try (PreparedStatement s = c.prepareStatement("insert into t values (?, ?, ?, ?, ?, ?, ?, ?)")) {
                step("prepared", "types", () -> insert(c, s));
                step("prepared", "again", () -> summed(c, "select ? + 0", 1, 100));
                step("prepared", "rows", () -> summed(c, "select seq from seq_1_to_1000 where seq > ?", 0, 0));
                step("prepared", "syntax error", () -> c.prepareStatement("selec 1").executeQuery());
                step("prepared", "missing table", () -> c.prepareStatement("select * from nowhere").executeQuery());
                step("prepared", "duplicate", () -> insert(c, s));
            }
        }
    }

    static void large() throws Exception {
        try (Connection c = connect("&useServerPrepStmts=true")) {
            step("large", "query", () -> one(c, "select md5('" + BLOCK.repeat(630000) + "')"));
            step("large", "exact query", () -> one(c, "select length('" + "x".repeat(16777197) + "')"));
            step("large", "parameter", () -> {
                try (PreparedStatement s = c.prepareStatement("select md5(?)")) {
                    s.setString(1, BLOCK.repeat(630000));
                    ResultSet r = s.executeQuery();
                    r.next();
                    return r.getString(1);
                }
            });
            step("large", "row", () -> md5(one(c, "select repeat('" + BLOCK + "', 630000)")));
            step("large", "exact row", () -> one(c, "select repeat('x', 16777211)").length());
            step("large", "three packets", () -> md5(one(c, "select repeat('" + BLOCK + "', 1260000)")));
        }
    }

    static void infile() throws Exception {
        try (Connection c = connect("&allowLocalInfile=true")) {
            run(c, "create temporary table t (a int, b varchar(20))");
            step("infile", "load", () -> {
                run(c, "load data local infile '" + FILE + "' into table t");
                return one(c, "select concat_ws(' ', count(*), sum(a), bit_xor(crc32(b))) from t");
            });
            step("infile", "missing file", () -> {
                run(c, "load data local infile '" + FILE + ".none' into table t");
                return "loaded";
            });
        }
    }

    static void compression() throws Exception {
        try (Connection c = connect("&useCompression=true")) {
            step("compression", "in force", () -> one(c, "select variable_value from information_schema.session_status where variable_name = 'Compression'"));
            step("compression", "query", () -> one(c, "select md5('" + BLOCK.repeat(630000) + "')"));
            step("compression", "row", () -> md5(one(c, "select repeat('" + BLOCK + "', 630000)")));
        }
    }

    /** The connector's own pool, of four connections. */
    static void pool() throws Exception {
        boolean several = scheme.contains("loadbalance");
        String hosts = OTHER == null || OTHER.isEmpty() ? at : at + "," + OTHER;
        String url = scheme + "//" + hosts + "/sales?user=app&password=secret&pool&minPoolSize=4&maxPoolSize=4&poolName=matrix";
        List<Connection> all = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            all.add(DriverManager.getConnection(url));
            one(all.get(i), "select @@server_id");
        }
        for (Connection c : all) c.close();
        Scanner in = new Scanner(System.in);
        say("pool", "ready", "");
        in.nextLine();
        String said = rounds(url);
        if (several) {
            say("pool", "ready again", "");
            in.nextLine();
            said = rounds(url);
        }
        say("pool", "after", said);
        System.exit(0); // the pool's threads would go on for a while
    }

    /** Ten times, takes all connections out of the pool and asks on each. */
    static String rounds(String url) {
        int failed = 0;
        Set<String> servers = new TreeSet<>();
        for (int i = 0; i < 10; i++) {
            List<Connection> taken = new ArrayList<>();
            for (int k = 0; k < 4; k++) {
                try {
                    taken.add(DriverManager.getConnection(url));
                    servers.add(quoted(one(taken.get(k), "select @@server_id")));
                } catch (SQLException e) {
                    failed++;
                    System.err.println(e.getMessage());
                    break;
                }
            }
            for (Connection c : taken) try { c.close(); } catch (SQLException e) { System.err.println(e.getMessage()); }
        }
        return ",\"failed\":" + failed + ",\"servers\":[" + String.join(",", servers) + "]";
    }

    static void version() throws Exception {
        say("version", "version", ",\"result\":" + quoted(org.mariadb.jdbc.internal.util.constant.Version.version));
    }

    public static void main(String[] a) throws Exception {
        scheme = a[0];
        at = a[1] + ":" + a[2];
        for (String task : Arrays.asList(a).subList(3, a.length)) ConnectorJ.class.getDeclaredMethod(task).invoke(null);
    }
}
