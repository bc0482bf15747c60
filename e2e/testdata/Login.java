import java.sql.*;

/** Logs in and asks: Login host port user password database. MariaDB Connector/J. */
public class Login {
    public static void main(String[] a) throws Exception {
        DriverManager.registerDriver(new org.mariadb.jdbc.Driver()); // what does not compile without the driver tells that it is not there
        String url = "jdbc:mariadb://" + a[0] + ":" + a[1] + "/" + a[4] + "?useServerPrepStmts=true";
        try (Connection c = DriverManager.getConnection(url, a[2], a[3])) {
            String who = one(c.createStatement().executeQuery("select concat_ws(' ', @@server_id, current_user(), database())"));
            PreparedStatement s = c.prepareStatement("select ? + 1");
            s.setInt(1, 41);
            ResultSet r = s.executeQuery();
            r.next();
            int sum = r.getInt(1);
            String text = one(c.createStatement().executeQuery("select repeat('x', 100000)"));
            System.out.println(who + " " + sum + " " + text.length());
        } catch (SQLException e) {
            System.err.println(e.getMessage());
            System.exit(1);
        }
    }

    static String one(ResultSet r) throws SQLException {
        r.next();
        return r.getString(1);
    }
}
