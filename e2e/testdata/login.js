// Logs in and asks: login.js host port user password database. mysql2.
const mysql = require('mysql2/promise');
const [host, port, user, password, database] = process.argv.slice(2);

(async () => {
  const c = await mysql.createConnection({ host, port: Number(port), user, password, database, rowsAsArray: true });
  const [[[who]]] = await c.query("select concat_ws(' ', @@server_id, current_user(), database())");
  const [[[sum]]] = await c.execute('select ? + 1', [41]);
  const [[[long]]] = await c.query("select repeat('x', 100000)");
  console.log(who, Number(sum), long.length);
  await c.end();
})().catch((e) => {
  console.error(e.message);
  process.exit(1);
});
