<?php
// PHP's mysqli or PDO: clients.php mysqli|pdo HOST PORT TASK... (see ../doc.go for what it prints).
ini_set('memory_limit', '1G');
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
const BLOCK = 'abcdefghijklmnopqrstuvwxyz0';
[, $kind, $host, $port] = $argv;
define('CA', getenv('MATRIX_CA'));
define('FILE', getenv('MATRIX_FILE'));

// What differs between the two.
interface Connection {
    public function one(string $query, array $arguments = []): ?string;
    public function all(string $query, array $arguments): array;
    public function run(string $query): void;
    public function prepare(string $query): callable; // which takes arguments, executes, and gives rows
}

class ByMysqli implements Connection {
    public mysqli $c;
    function __construct(string $user, string $password, ?string $database, array $options) {
        global $host, $port;
        $this->c = mysqli_init();
        $flags = 0;
        if (isset($options['tls'])) { $this->c->ssl_set(null, null, CA, null, null); $flags |= MYSQLI_CLIENT_SSL; }
        if (isset($options['infile'])) $this->c->options(MYSQLI_OPT_LOCAL_INFILE, 1);
        if (isset($options['compression'])) $flags |= MYSQLI_CLIENT_COMPRESS;
        // A failed login is an exception; PHP warns of it as well.
        @$this->c->real_connect($host, $user, $password, $database, (int)$port, null, $flags);
        $this->c->set_charset('utf8mb4');
    }
    function one(string $query, array $arguments = []): ?string {
        $rows = $arguments ? $this->all($query, $arguments) : $this->c->query($query)->fetch_all();
        return $rows[0][0];
    }
    function all(string $query, array $arguments): array { return $this->prepare($query)(...$arguments); }
    function run(string $query): void { $this->c->query($query); }
    function prepare(string $query): callable {
        $s = $this->c->prepare($query);
        return function (...$arguments) use ($s) {
            $s->execute($arguments);
            $r = $s->get_result();
            return $r ? $r->fetch_all() : [];
        };
    }
}

class ByPDO implements Connection {
    public PDO $c;
    function __construct(string $user, string $password, ?string $database, array $options) {
        global $host, $port;
        $o = [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_EMULATE_PREPARES => false];
        if (isset($options['tls'])) $o[PDO::MYSQL_ATTR_SSL_CA] = CA;
        if (isset($options['infile'])) $o[PDO::MYSQL_ATTR_LOCAL_INFILE] = true;
        if (isset($options['compression'])) $o[PDO::MYSQL_ATTR_COMPRESS] = true;
        $this->c = new PDO("mysql:host=$host;port=$port;charset=utf8mb4" . ($database === null ? '' : ";dbname=$database"), $user, $password, $o);
    }
    function one(string $query, array $arguments = []): ?string {
        $rows = $arguments ? $this->all($query, $arguments) : $this->c->query($query)->fetchAll(PDO::FETCH_NUM);
        return $rows[0][0];
    }
    function all(string $query, array $arguments): array { return $this->prepare($query)(...$arguments); }
    function run(string $query): void { $this->c->exec($query); }
    function prepare(string $query): callable {
        $s = $this->c->prepare($query);
        return function (...$arguments) use ($s) {
            $s->execute($arguments);
            return $s->columnCount() ? $s->fetchAll(PDO::FETCH_NUM) : [];
        };
    }
}

function connect(string $user = 'app', string $password = 'secret', ?string $database = 'sales', array $options = []): Connection {
    global $kind;
    return $kind === 'pdo' ? new ByPDO($user, $password, $database, $options) : new ByMysqli($user, $password, $database, $options);
}

function say(string $task, string $step, array $said): void {
    echo json_encode(['task' => $task, 'step' => $step] + $said, JSON_INVALID_UTF8_SUBSTITUTE), "\n";
}

function step(string $task, string $step, callable $work): void {
    try {
        say($task, $step, ['result' => (string)$work()]);
    } catch (mysqli_sql_exception $e) {
        say($task, $step, ['code' => $e->getCode(), 'state' => $e->getSqlState(), 'text' => $e->getMessage()]);
    } catch (PDOException $e) {
        say($task, $step, ['code' => $e->errorInfo[1] ?? 0, 'state' => $e->errorInfo[0] ?? '', 'text' => $e->getMessage()]);
    }
}

$tasks = [
    'login' => function () {
        foreach ([
            'right' => [], 'no database' => ['app', 'secret', null], 'wrong password' => ['app', 'wrong'], 'no password' => ['app', ''],
            'unknown user' => ['nobody'], 'unknown database' => ['app', 'secret', 'nowhere'], 'forbidden database' => ['lonely'],
        ] as $step => $arguments) {
            step('login', $step, fn() => connect(...$arguments)->one("select concat(current_user(), ' ', ifnull(database(), 'none'))"));
        }
    },
    'tls' => function () {
        $tls = ['tls' => true];
        step('tls', 'cipher', fn() => connect(options: $tls)->one(
            "select if(variable_value = '', 'off', 'on') from information_schema.session_status where variable_name = 'Ssl_cipher'"));
        step('tls', 'wrong password', fn() => connect('app', 'wrong', options: $tls)->one('select 1'));
        step('tls', 'row', fn() => md5(connect(options: $tls)->one('select repeat(?, 100000)', [BLOCK])));
    },
    'prepared' => function () {
        $c = connect();
        $c->run('create temporary table t (a int primary key, b bigint, c double, d decimal(10,2), e varchar(20), f blob, g date, h int) charset utf8mb4');
        $insert = $c->prepare('insert into t values (?, ?, ?, ?, ?, ?, ?, ?)');
        $values = [7, -9000000000, 1.5, '3.14', 'äß€😀', "\x00\xff'", '2024-02-29', null];
        step('prepared', 'types', function () use ($c, $insert, $values) {
            $insert(...$values);
            return $c->one("select concat_ws('|', a, b, c, d, e, hex(f), g, ifnull(h, 'NULL')) from t");
        });
        step('prepared', 'again', function () use ($c) {
            $s = $c->prepare('select ? + 0');
            return array_sum(array_map(fn($i) => (int)$s($i)[0][0], range(1, 100)));
        });
        step('prepared', 'rows', fn() => array_sum(array_column($c->all('select seq from seq_1_to_1000 where seq > ?', [0]), 0)));
        step('prepared', 'syntax error', fn() => $c->prepare('selec 1'));
        step('prepared', 'missing table', fn() => $c->prepare('select * from nowhere'));
        step('prepared', 'duplicate', fn() => $insert(...$values));
    },
    'large' => function () {
        $c = connect();
        step('large', 'query', fn() => $c->one("select md5('" . str_repeat(BLOCK, 630000) . "')"));
        step('large', 'exact query', fn() => $c->one("select length('" . str_repeat('x', 16777197) . "')"));
        step('large', 'parameter', fn() => $c->one('select md5(?)', [str_repeat(BLOCK, 630000)]));
        step('large', 'row', fn() => md5($c->one("select repeat('" . BLOCK . "', 630000)")));
        step('large', 'exact row', fn() => strlen($c->one("select repeat('x', 16777211)")));
        step('large', 'three packets', fn() => md5($c->one("select repeat('" . BLOCK . "', 1260000)")));
    },
    'infile' => function () {
        $c = connect(options: ['infile' => true]);
        $c->run('create temporary table t (a int, b varchar(20))');
        step('infile', 'load', function () use ($c) {
            $c->run("load data local infile '" . FILE . "' into table t");
            return $c->one("select concat_ws(' ', count(*), sum(a), bit_xor(crc32(b))) from t");
        });
        step('infile', 'missing file', function () use ($c) { @$c->run("load data local infile '" . FILE . ".none' into table t"); });
    },
    'compression' => function () {
        $c = connect(options: ['compression' => true]);
        step('compression', 'in force', fn() => $c->one("select variable_value from information_schema.session_status where variable_name = 'Compression'"));
        step('compression', 'query', fn() => $c->one("select md5('" . str_repeat(BLOCK, 630000) . "')"));
        step('compression', 'row', fn() => md5($c->one("select repeat('" . BLOCK . "', 630000)")));
    },
    'change_user' => function () {
        $c = connect();
        $c->run('set @a = 1');
        foreach (['other user' => 'word', 'wrong password' => 'wrong'] as $step => $password) {
            step('change_user', $step, function () use ($c, $password) {
                $c->c->change_user('other', $password, 'etl');
                return $c->one("select concat_ws(' ', current_user(), database(), ifnull(@a, 'reset'))");
            });
        }
    },
    'pool' => function () { // four connections, each opened anew when it fails
        $all = [connect(), connect(), connect(), connect()];
        foreach ($all as $c) $c->one('select @@server_id');
        say('pool', 'ready', []);
        fgets(STDIN);
        $failed = 0;
        $servers = [];
        for ($i = 0; $i < 40; $i++) {
            try {
                $servers[] = @$all[$i % 4]->one('select @@server_id');
            } catch (mysqli_sql_exception | PDOException) {
                $failed++;
                $all[$i % 4] = connect();
            }
        }
        say('pool', 'after', ['failed' => $failed, 'servers' => array_values(array_unique($servers))]);
    },
    'version' => fn() => say('version', 'version', ['result' => explode('-', PHP_VERSION)[0]]),
];
foreach (array_slice($argv, 4) as $task) $tasks[$task]();
