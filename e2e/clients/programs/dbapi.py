"""PyMySQL or mysqlclient: dbapi.py MODULE HOST PORT TASK... (see ../doc.go for what it prints)."""
import hashlib
import importlib
import json
import os
import sys
import warnings

module, host, port, *tasks = sys.argv[1:]
db = importlib.import_module(module)
warnings.simplefilter("ignore")  # "Data truncated" and the like
CA, FILE = os.environ["MATRIX_CA"], os.environ["MATRIX_FILE"]
BLOCK = "abcdefghijklmnopqrstuvwxyz0"


def connect(user="app", password="secret", database="sales", **more):
    if database:
        more["database"] = database
    return db.connect(host=host, port=int(port), user=user, password=password, charset="utf8mb4", **more)


def one(c, query, *arguments):
    with c.cursor() as cursor:
        cursor.execute(query, arguments or None)
        row = cursor.fetchone()
        value = row and row[0]
        return value.decode() if isinstance(value, bytes) else value


def run(c, *queries):
    with c.cursor() as cursor:
        for query in queries:
            cursor.execute(query)


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def say(task, step, **said):
    print(json.dumps(dict(task=task, step=step, **said)), flush=True)


def step(task, name, work):
    try:
        say(task, name, result=str(work()))
    except db.Error as e:
        code, text = e.args if len(e.args) == 2 else (0, str(e))
        say(task, name, code=code, text=text)
    except OSError as e:
        say(task, name, code=0, text=str(e))


def login():
    who = "select concat(current_user(), ' ', ifnull(database(), 'none'))"
    for name, arguments in {
        "right": {}, "no database": dict(database=None), "wrong password": dict(password="wrong"), "no password": dict(password=""),
        "unknown user": dict(user="nobody"), "unknown database": dict(database="nowhere"), "forbidden database": dict(user="lonely"),
    }.items():
        step("login", name, lambda: one(connect(**arguments), who))


def tls():
    options = {"ssl": {"ca": CA}}
    step("tls", "cipher", lambda: one(connect(**options),
         "select if(variable_value = '', 'off', 'on') from information_schema.session_status where variable_name = 'Ssl_cipher'"))
    step("tls", "wrong password", lambda: one(connect(password="wrong", **options), "select 1"))
    step("tls", "row", lambda: md5(one(connect(**options), "select repeat(%s, 100000)", BLOCK)))


def prepared():
    c = connect()
    run(c, "create temporary table t (a int primary key, b bigint, c double, d decimal(10,2), e varchar(20), f blob, g date, h int) charset utf8mb4",
        "prepare s from 'insert into t values (?, ?, ?, ?, ?, ?, ?, ?)'", "prepare again from 'select ? + 0'",
        "prepare listed from 'select seq from seq_1_to_1000 where seq > ?'")

    def insert():
        with c.cursor() as cursor:
            values = (7, -9000000000, 1.5, "3.14", "äß€😀", b"\x00\xff'", "2024-02-29", None)
            cursor.execute("set @a=%s, @b=%s, @c=%s, @d=%s, @e=%s, @f=%s, @g=%s, @h=%s", values)
            cursor.execute("execute s using @a, @b, @c, @d, @e, @f, @g, @h")
        return one(c, "select concat_ws('|', a, b, c, d, e, hex(f), g, ifnull(h, 'NULL')) from t")

    def again():
        total = 0
        for i in range(1, 101):
            run(c, f"set @i = {i}")
            total += int(one(c, "execute again using @i"))
        return total

    def rows():
        with c.cursor() as cursor:
            cursor.execute("set @n = 0")
            cursor.execute("execute listed using @n")
            return sum(row[0] for row in cursor.fetchall())

    step("prepared", "types", insert)
    step("prepared", "again", again)
    step("prepared", "rows", rows)
    step("prepared", "syntax error", lambda: run(c, "prepare x from 'selec 1'"))
    step("prepared", "missing table", lambda: run(c, "prepare x from 'select * from nowhere'"))
    step("prepared", "duplicate", insert)


def large():
    options = {"max_allowed_packet": 64 << 20} if module == "pymysql" else {}
    c = connect(**options)
    step("large", "query", lambda: one(c, "select md5('" + BLOCK * 630000 + "')"))
    step("large", "exact query", lambda: one(c, "select length('" + "x" * 16777197 + "')"))
    step("large", "parameter", lambda: one(c, "select md5(%s)", BLOCK * 630000))
    step("large", "row", lambda: md5(one(c, f"select repeat('{BLOCK}', 630000)")))
    step("large", "exact row", lambda: len(one(c, "select repeat('x', 16777211)")))
    step("large", "three packets", lambda: md5(one(c, f"select repeat('{BLOCK}', 1260000)")))


def infile():
    c = connect(local_infile=1)
    run(c, "create temporary table t (a int, b varchar(20))")

    def load():
        run(c, f"load data local infile '{FILE}' into table t")
        return one(c, "select concat_ws(' ', count(*), sum(a), bit_xor(crc32(b))) from t")

    step("infile", "load", load)
    step("infile", "missing file", lambda: run(c, f"load data local infile '{FILE}.none' into table t"))


def compression():
    c = connect(compress=1)
    step("compression", "in force", lambda: one(c, "select variable_value from information_schema.session_status where variable_name = 'Compression'"))
    step("compression", "query", lambda: one(c, "select md5('" + BLOCK * 630000 + "')"))
    step("compression", "row", lambda: md5(one(c, f"select repeat('{BLOCK}', 630000)")))


def change_user():
    c = connect()
    run(c, "set @a = 1")

    def change(password):
        c.change_user("other", password, "etl")
        return one(c, "select concat_ws(' ', current_user(), database(), ifnull(@a, 'reset'))")

    step("change_user", "other user", lambda: change("word"))
    step("change_user", "wrong password", lambda: change("wrong"))


def pool():
    """Neither has a pool: four connections, each opened anew when it fails."""
    connections = [connect() for _ in range(4)]
    for c in connections:
        one(c, "select @@server_id")
    say("pool", "ready")
    sys.stdin.readline()
    failed, servers = 0, []
    for i in range(40):
        try:
            servers.append(one(connections[i % 4], "select @@server_id"))
        except db.Error:
            failed += 1
            connections[i % 4] = connect()
    say("pool", "after", failed=failed, servers=sorted({str(s) for s in servers}))


def version():
    say("version", "version", result=db.__version__)


for name in tasks:
    globals()[name]()
