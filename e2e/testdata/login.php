<?php
// Logs in and asks: login.php host port user password database. mysqli on mysqlnd.
[, $host, $port, $user, $password, $database] = $argv;
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
try {
    $c = new mysqli($host, $user, $password, $database, (int)$port);
    $who = $c->query("select concat_ws(' ', @@server_id, current_user(), database())")->fetch_row()[0];
    $s = $c->prepare("select ? + 1");
    $n = 41;
    $s->bind_param("i", $n);
    $s->execute();
    $sum = $s->get_result()->fetch_row()[0];
    $s->close();
    $long = strlen($c->query("select repeat('x', 100000)")->fetch_row()[0]);
    echo "$who $sum $long\n";
} catch (mysqli_sql_exception $e) {
    fwrite(STDERR, $e->getMessage() . "\n");
    exit(1);
}
