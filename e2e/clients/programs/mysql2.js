// Node's mysql2: mysql2.js HOST PORT TASK... (see ../doc.go for what it prints).
const { createHash } = require('crypto');
const fs = require('fs');
const mysql = require('mysql2/promise');

const [host, port, ...wanted] = process.argv.slice(2);
const { MATRIX_CA: ca, MATRIX_FILE: file } = process.env;
const block = 'abcdefghijklmnopqrstuvwxyz0';
const defaults = { host, port: Number(port), user: 'app', password: 'secret', database: 'sales', charset: 'utf8mb4', rowsAsArray: true };

const open = [];
async function connect(more = {}) {
  const c = await mysql.createConnection({ ...defaults, ...more });
  open.push(c);
  return c;
}

async function one(c, query, values) {
  const [[[value]]] = await c.query(query, values);
  return value;
}

async function executed(c, query, values) {
  const [[[value]]] = await c.execute(query, values);
  return value;
}

const md5 = (text) => createHash('md5').update(text).digest('hex');
const say = (task, step, said) => console.log(JSON.stringify({ task, step, ...said }));

async function step(task, name, work) {
  try {
    say(task, name, { result: String(await work()) });
  } catch (e) {
    say(task, name, { code: e.errno || 0, state: e.sqlState || '', text: e.sqlMessage || e.message });
  }
}

const tasks = {
  async login() {
    const ways = {
      right: {}, 'no database': { database: undefined }, 'wrong password': { password: 'wrong' }, 'no password': { password: '' },
      'unknown user': { user: 'nobody' }, 'unknown database': { database: 'nowhere' }, 'forbidden database': { user: 'lonely' },
    };
    for (const [name, options] of Object.entries(ways)) {
      await step('login', name, async () => one(await connect(options), "select concat(current_user(), ' ', ifnull(database(), 'none'))"));
    }
  },
  async tls() {
    const options = { ssl: { ca: fs.readFileSync(ca) } };
    await step('tls', 'cipher', async () => one(await connect(options),
      "select if(variable_value = '', 'off', 'on') from information_schema.session_status where variable_name = 'Ssl_cipher'"));
    await step('tls', 'wrong password', async () => one(await connect({ password: 'wrong', ...options }), 'select 1'));
    await step('tls', 'row', async () => md5(await one(await connect(options), 'select repeat(?, 100000)', [block])));
  },
  async prepared() {
    const c = await connect();
    await c.query('create temporary table t (a int primary key, b bigint, c double, d decimal(10,2), e varchar(20), f blob, g date, h int) charset utf8mb4');
    const insert = async () => {
      await c.execute('insert into t values (?, ?, ?, ?, ?, ?, ?, ?)', [7, -9000000000, 1.5, '3.14', 'äß€😀', Buffer.from([0, 255, 39]), '2024-02-29', null]);
      return one(c, "select concat_ws('|', a, b, c, d, e, hex(f), g, ifnull(h, 'NULL')) from t");
    };
    await step('prepared', 'types', insert);
    await step('prepared', 'again', async () => {
      let sum = 0;
      for (let i = 1; i <= 100; i++) sum += Number(await executed(c, 'select ? + 0', [i]));
      return sum;
    });
    await step('prepared', 'rows', async () => {
      const [rows] = await c.execute('select seq from seq_1_to_1000 where seq > ?', [0]);
      return rows.reduce((sum, [n]) => sum + n, 0);
    });
    await step('prepared', 'syntax error', () => c.prepare('selec 1'));
    await step('prepared', 'missing table', () => c.prepare('select * from nowhere'));
    await step('prepared', 'duplicate', insert);
  },
  async large() {
    const c = await connect();
    await step('large', 'query', () => one(c, `select md5('${block.repeat(630000)}')`));
    await step('large', 'exact query', () => one(c, `select length('${'x'.repeat(16777197)}')`));
    await step('large', 'parameter', () => executed(c, 'select md5(?)', [block.repeat(630000)]));
    await step('large', 'row', async () => md5(await one(c, `select repeat('${block}', 630000)`)));
    await step('large', 'exact row', async () => (await one(c, "select repeat('x', 16777211)")).length);
    await step('large', 'three packets', async () => md5(await one(c, `select repeat('${block}', 1260000)`)));
  },
  async infile() {
    const c = await connect({ infileStreamFactory: (path) => fs.createReadStream(path) });
    await c.query('create temporary table t (a int, b varchar(20))');
    await step('infile', 'load', async () => {
      await c.query(`load data local infile '${file}' into table t`);
      return one(c, "select concat_ws(' ', count(*), sum(a), bit_xor(crc32(b))) from t");
    });
    await step('infile', 'missing file', () => c.query(`load data local infile '${file}.none' into table t`));
  },
  async compression() {
    const c = await connect({ compress: true });
    await step('compression', 'in force', () => one(c, "select variable_value from information_schema.session_status where variable_name = 'Compression'"));
    await step('compression', 'query', () => one(c, `select md5('${block.repeat(630000)}')`));
    await step('compression', 'row', async () => md5(await one(c, `select repeat('${block}', 630000)`)));
  },
  async change_user() {
    const c = await connect();
    await c.query('set @a = 1');
    for (const [name, password] of [['other user', 'word'], ['wrong password', 'wrong']]) {
      await step('change_user', name, async () => {
        await c.changeUser({ user: 'other', password, database: 'etl' });
        return one(c, "select concat_ws(' ', current_user(), database(), ifnull(@a, 'reset'))");
      });
    }
  },
  async pool() {
    const p = mysql.createPool({ ...defaults, connectionLimit: 4 });
    const ask = async () => {
      const [[[server]]] = await p.query('select @@server_id');
      return String(server);
    };
    await Promise.all(Array.from({ length: 4 }, ask));
    say('pool', 'ready', {});
    await new Promise((resolve) => process.stdin.once('data', resolve));
    process.stdin.unref();
    let failed = 0;
    const servers = new Set();
    for (let i = 0; i < 40; i++) await ask().then((s) => servers.add(s), () => failed++);
    await p.end();
    say('pool', 'after', { failed, servers: [...servers] });
  },
  async version() {
    say('version', 'version', { result: require('mysql2/package.json').version });
  },
};

(async () => {
  for (const task of wanted) await tasks[task]();
  for (const c of open) c.destroy();
  process.exitCode = 0;
})();
