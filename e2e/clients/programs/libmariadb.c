// C with libmariadb: libmariadb HOST PORT TASK... (see ../doc.go for what it prints).
#include <mysql.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *host, *ca, *file;
static unsigned port;
static const char block[] = "abcdefghijklmnopqrstuvwxyz0";
static const char *task; // the present one

enum { TLS = 1, LOCAL = 2, COMPRESSED = 4 };

static void quoted(const char *s) {
	for (putchar('"'); *s; s++) {
		if (*s == '"' || *s == '\\') printf("\\%c", *s);
		else if ((unsigned char)*s < ' ') printf("\\u%04x", *s);
		else putchar(*s);
	}
	putchar('"');
}

static void begun(const char *step) { printf("{\"task\":\"%s\",\"step\":\"%s\",", task, step); }

static void ended(void) { puts("}"); fflush(stdout); }

static void result(const char *step, const char *text) {
	begun(step);
	printf("\"result\":");
	quoted(text);
	ended();
}

static void error(const char *step, unsigned code, const char *state, const char *text) {
	begun(step);
	printf("\"code\":%u,\"state\":\"%s\",\"text\":", code, state);
	quoted(text);
	ended();
}

static void failed(const char *step, MYSQL *c) { error(step, mysql_errno(c), mysql_sqlstate(c), mysql_error(c)); }

// login gives a connection, which has failed if mysql_errno says so.
static MYSQL *login(const char *user, const char *password, const char *database, int options) {
	MYSQL *c = mysql_init(NULL);
	my_bool on = 1, off = 0;
	unsigned local = (options & LOCAL) != 0;
	mysql_options(c, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	mysql_options(c, MYSQL_OPT_RECONNECT, &off);
	mysql_options(c, MYSQL_OPT_LOCAL_INFILE, &local);
	if (options & TLS) {
		mysql_ssl_set(c, NULL, NULL, ca, NULL, NULL);
		mysql_options(c, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &on);
	}
	if (options & COMPRESSED) mysql_options(c, MYSQL_OPT_COMPRESS, NULL);
	mysql_real_connect(c, host, user, password, database, port, NULL, 0);
	return c;
}

// asked runs a query whose answer is one value, and gives that, to be freed, or NULL for an error.
static char *asked(MYSQL *c, const char *query, unsigned long length, unsigned long *size) {
	if (mysql_errno(c) || mysql_real_query(c, query, length)) return NULL;
	MYSQL_RES *r = mysql_store_result(c);
	if (!r) return mysql_errno(c) ? NULL : strdup("");
	MYSQL_ROW row = mysql_fetch_row(r);
	unsigned long n = mysql_fetch_lengths(r)[0];
	char *value = malloc(n + 1);
	memcpy(value, row[0], n);
	value[n] = 0;
	if (size) *size = n;
	mysql_free_result(r);
	return value;
}

// ask prints the answer to a query, or the error.
static void ask(const char *step, MYSQL *c, const char *query, unsigned long length) {
	char *value = asked(c, query, length, NULL);
	if (value) result(step, value);
	else failed(step, c);
	free(value);
}

// filled is before, n times text, and after, to be freed.
static char *filled(const char *before, const char *text, size_t n, const char *after, unsigned long *length) {
	size_t b = strlen(before), t = strlen(text), a = strlen(after);
	char *all = malloc(b + n * t + a + 1);
	memcpy(all, before, b);
	for (size_t i = 0; i < n; i++) memcpy(all + b + i * t, text, t);
	memcpy(all + b + n * t, after, a + 1);
	*length = b + n * t + a;
	return all;
}

// hash prints the MD5 sum of a large answer.
static void hash(const char *step, MYSQL *c, const char *query) {
	unsigned long size = 0;
	unsigned char sum[EVP_MAX_MD_SIZE];
	char *value = asked(c, query, strlen(query), &size), said[2 * EVP_MAX_MD_SIZE + 1] = "";
	size_t n = 0;
	if (!value) {
		failed(step, c);
	} else {
		EVP_Q_digest(NULL, "MD5", NULL, value, size, sum, &n);
		for (size_t i = 0; i < n; i++) snprintf(said + 2 * i, 3, "%02x", sum[i]);
		result(step, said);
	}
	free(value);
}

// measure prints the length of an answer.
static void measure(const char *step, MYSQL *c, const char *query) {
	unsigned long size = 0;
	char *value = asked(c, query, strlen(query), &size), said[32];
	snprintf(said, sizeof said, "%lu", size);
	if (value) result(step, said);
	else failed(step, c);
	free(value);
}

static void logins(void) {
	static const struct { const char *step, *user, *password, *database; } ways[] = {
		{"right", "app", "secret", "sales"}, {"no database", "app", "secret", NULL}, {"wrong password", "app", "wrong", "sales"},
		{"no password", "app", "", "sales"}, {"unknown user", "nobody", "secret", "sales"},
		{"unknown database", "app", "secret", "nowhere"}, {"forbidden database", "lonely", "secret", "sales"},
	};
	static const char who[] = "select concat(current_user(), ' ', ifnull(database(), 'none'))";
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		MYSQL *c = login(ways[i].user, ways[i].password, ways[i].database, 0);
		ask(ways[i].step, c, who, strlen(who));
		mysql_close(c);
	}
}

static void tls(void) {
	static const char cipher[] = "select if(variable_value = '', 'off', 'on') from information_schema.session_status where variable_name = 'Ssl_cipher'";
	MYSQL *c = login("app", "secret", "sales", TLS);
	ask("cipher", c, cipher, strlen(cipher));
	hash("row", c, "select repeat('abcdefghijklmnopqrstuvwxyz0', 100000)");
	mysql_close(c);
	c = login("app", "wrong", "sales", TLS);
	ask("wrong password", c, "select 1", 8);
	mysql_close(c);
}

// insert puts a row of every type into table t by a prepared statement, and prints what is there then.
static void insert(const char *step, MYSQL *c, MYSQL_STMT *s) {
	int a = 7;
	long long b = -9000000000LL;
	double d = 1.5;
	char blob[] = {0, (char)255, '\''};
	unsigned long blob_length = sizeof blob;
	MYSQL_TIME date = {.year = 2024, .month = 2, .day = 29};
	MYSQL_BIND in[8] = {
		{.buffer_type = MYSQL_TYPE_LONG, .buffer = &a}, {.buffer_type = MYSQL_TYPE_LONGLONG, .buffer = &b},
		{.buffer_type = MYSQL_TYPE_DOUBLE, .buffer = &d}, {.buffer_type = MYSQL_TYPE_STRING, .buffer = "3.14", .buffer_length = 4},
		{.buffer_type = MYSQL_TYPE_STRING, .buffer = "äß€😀", .buffer_length = strlen("äß€😀")},
		{.buffer_type = MYSQL_TYPE_BLOB, .buffer = blob, .buffer_length = sizeof blob, .length = &blob_length},
		{.buffer_type = MYSQL_TYPE_DATE, .buffer = &date}, {.buffer_type = MYSQL_TYPE_NULL},
	};
	static const char look[] = "select concat_ws('|', a, b, c, d, e, hex(f), g, ifnull(h, 'NULL')) from t";
	if (mysql_stmt_bind_param(s, in) || mysql_stmt_execute(s)) error(step, mysql_stmt_errno(s), mysql_stmt_sqlstate(s), mysql_stmt_error(s));
	else ask(step, c, look, strlen(look));
}

// summed executes a statement with one number from first to last, and adds up all rows' first column.
static void summed(const char *step, MYSQL *c, const char *query, int first, int last) {
	MYSQL_STMT *s = mysql_stmt_init(c);
	int argument;
	long long value, sum = 0;
	MYSQL_BIND in = {.buffer_type = MYSQL_TYPE_LONG, .buffer = &argument}, out = {.buffer_type = MYSQL_TYPE_LONGLONG, .buffer = &value};
	int bad = mysql_stmt_prepare(s, query, strlen(query));
	for (argument = first; !bad && argument <= last; argument++) {
		bad = mysql_stmt_bind_param(s, &in) || mysql_stmt_execute(s) || mysql_stmt_bind_result(s, &out);
		while (!bad && mysql_stmt_fetch(s) == 0) sum += value;
		mysql_stmt_free_result(s);
	}
	char said[32];
	snprintf(said, sizeof said, "%lld", sum);
	if (bad) error(step, mysql_stmt_errno(s), mysql_stmt_sqlstate(s), mysql_stmt_error(s));
	else result(step, said);
	mysql_stmt_close(s);
}

static void prepared(void) {
	MYSQL *c = login("app", "secret", "sales", 0);
	mysql_query(c, "create temporary table t (a int primary key, b bigint, c double, d decimal(10,2), e varchar(20), f blob, g date, h int) charset utf8mb4");
	static const char text[] = "insert into t values (?, ?, ?, ?, ?, ?, ?, ?)";
	MYSQL_STMT *s = mysql_stmt_init(c), *wrong = mysql_stmt_init(c);
	mysql_stmt_prepare(s, text, strlen(text));
	insert("types", c, s);
	summed("again", c, "select cast(? + 0 as signed)", 1, 100);
	summed("rows", c, "select seq from seq_1_to_1000 where seq > ?", 0, 0);
	mysql_stmt_prepare(wrong, "selec 1", 7);
	error("syntax error", mysql_stmt_errno(wrong), mysql_stmt_sqlstate(wrong), mysql_stmt_error(wrong));
	mysql_stmt_prepare(wrong, "select * from nowhere", 21);
	error("missing table", mysql_stmt_errno(wrong), mysql_stmt_sqlstate(wrong), mysql_stmt_error(wrong));
	insert("duplicate", c, s);
	mysql_stmt_close(wrong);
	mysql_stmt_close(s);
	mysql_close(c);
}

// parameter sends a large value in pieces, before the statement is executed.
static void parameter(MYSQL *c) {
	unsigned long length;
	char *value = filled("", block, 630000, "", &length), md5[64] = "";
	MYSQL_STMT *s = mysql_stmt_init(c);
	MYSQL_BIND in = {.buffer_type = MYSQL_TYPE_STRING}, out = {.buffer_type = MYSQL_TYPE_STRING, .buffer = md5, .buffer_length = sizeof md5 - 1};
	if (mysql_stmt_prepare(s, "select md5(?)", 13) || mysql_stmt_bind_param(s, &in) || mysql_stmt_send_long_data(s, 0, value, length / 2) ||
	    mysql_stmt_send_long_data(s, 0, value + length / 2, length - length / 2) || mysql_stmt_execute(s) || mysql_stmt_bind_result(s, &out) ||
	    mysql_stmt_fetch(s))
		error("parameter", mysql_stmt_errno(s), mysql_stmt_sqlstate(s), mysql_stmt_error(s));
	else result("parameter", md5);
	mysql_stmt_close(s);
	free(value);
}

static void query(const char *step, MYSQL *c, const char *function, const char *text, size_t n) {
	char before[32];
	unsigned long length;
	snprintf(before, sizeof before, "select %s('", function);
	char *all = filled(before, text, n, "')", &length);
	ask(step, c, all, length);
	free(all);
}

static void large(void) {
	MYSQL *c = login("app", "secret", "sales", 0);
	query("query", c, "md5", block, 630000);
	query("exact query", c, "length", "x", 16777197);
	parameter(c);
	hash("row", c, "select repeat('abcdefghijklmnopqrstuvwxyz0', 630000)");
	measure("exact row", c, "select repeat('x', 16777211)");
	hash("three packets", c, "select repeat('abcdefghijklmnopqrstuvwxyz0', 1260000)");
	mysql_close(c);
}

static void infile(void) {
	static const char sum[] = "select concat_ws(' ', count(*), sum(a), bit_xor(crc32(b))) from t";
	char load[4096];
	MYSQL *c = login("app", "secret", "sales", LOCAL);
	mysql_query(c, "create temporary table t (a int, b varchar(20))");
	snprintf(load, sizeof load, "load data local infile '%s' into table t", file);
	if (mysql_query(c, load)) failed("load", c);
	else ask("load", c, sum, strlen(sum));
	snprintf(load, sizeof load, "load data local infile '%s.none' into table t", file);
	ask("missing file", c, load, strlen(load));
	mysql_close(c);
}

static void compression(void) {
	static const char status[] = "select variable_value from information_schema.session_status where variable_name = 'Compression'";
	MYSQL *c = login("app", "secret", "sales", COMPRESSED);
	ask("in force", c, status, strlen(status));
	query("query", c, "md5", block, 630000);
	hash("row", c, "select repeat('abcdefghijklmnopqrstuvwxyz0', 630000)");
	mysql_close(c);
}

static void change_user(void) {
	static const char who[] = "select concat_ws(' ', current_user(), database(), ifnull(@a, 'reset'))";
	MYSQL *c = login("app", "secret", "sales", 0);
	mysql_query(c, "set @a = 1");
	if (mysql_change_user(c, "other", "word", "etl")) failed("other user", c);
	else ask("other user", c, who, strlen(who));
	if (mysql_change_user(c, "other", "wrong", "etl")) failed("wrong password", c);
	else ask("wrong password", c, who, strlen(who));
	mysql_close(c);
}

// pool: libmariadb has none; four connections, each opened anew when it fails.
static void pool(void) {
	static const char server[] = "select @@server_id";
	MYSQL *all[4];
	int bad = 0, first = 0, second = 0;
	char line[16];
	for (int i = 0; i < 4; i++) {
		all[i] = login("app", "secret", "sales", 0);
		free(asked(all[i], server, strlen(server), NULL));
	}
	begun("ready");
	printf("\"failed\":0");
	ended();
	if (!fgets(line, sizeof line, stdin)) return;
	for (int i = 0; i < 40; i++) {
		char *id = asked(all[i % 4], server, strlen(server), NULL);
		if (id) {
			first |= !strcmp(id, "1");
			second |= !strcmp(id, "2");
		} else {
			bad++;
			mysql_close(all[i % 4]);
			all[i % 4] = login("app", "secret", "sales", 0);
		}
		free(id);
	}
	for (int i = 0; i < 4; i++) mysql_close(all[i]);
	begun("after");
	printf("\"failed\":%d,\"servers\":[%s%s%s]", bad, first ? "\"1\"" : "", first && second ? "," : "", second ? "\"2\"" : "");
	ended();
}

static void version(void) { result("version", mysql_get_client_info()); }

int main(int n, char **arguments) {
	static const struct { const char *name; void (*run)(void); } tasks[] = {
		{"login", logins}, {"tls", tls}, {"prepared", prepared}, {"large", large}, {"infile", infile}, {"compression", compression},
		{"change_user", change_user}, {"pool", pool}, {"version", version},
	};
	if (n < 3) return 2;
	host = arguments[1];
	port = (unsigned)atoi(arguments[2]);
	ca = getenv("MATRIX_CA");
	file = getenv("MATRIX_FILE");
	for (int i = 3; i < n; i++)
		for (size_t k = 0; k < sizeof tasks / sizeof *tasks; k++)
			if (!strcmp(task = tasks[k].name, arguments[i])) {
				tasks[k].run();
				break;
			}
	return 0;
}
