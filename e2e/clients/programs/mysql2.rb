# Ruby's mysql2: mysql2.rb HOST PORT TASK... (see ../doc.go for what it prints).
require 'digest'
require 'json'
require 'mysql2'

HOST, PORT, *TASKS = ARGV
CA, FILE = ENV.values_at('MATRIX_CA', 'MATRIX_FILE')
BLOCK = 'abcdefghijklmnopqrstuvwxyz0'
$stdout.sync = true

def connect(**more)
  Mysql2::Client.new(**{ host: HOST, port: PORT.to_i, username: 'app', password: 'secret', database: 'sales', encoding: 'utf8mb4', as: :array }.merge(more))
end

def one(client, query)
  client.query(query).first.first
end

def md5(text)
  Digest::MD5.hexdigest(text)
end

def say(task, step, **said)
  puts JSON.generate({ task: task, step: step }.merge(said))
end

def step(task, name)
  say(task, name, result: yield.to_s)
rescue Mysql2::Error => e
  say(task, name, code: e.error_number || 0, state: e.sql_state, text: e.message)
end

def login
  { 'right' => {}, 'no database' => { database: nil }, 'wrong password' => { password: 'wrong' }, 'no password' => { password: '' },
    'unknown user' => { username: 'nobody' }, 'unknown database' => { database: 'nowhere' },
    'forbidden database' => { username: 'lonely' } }.each do |name, options|
    step('login', name) { one(connect(**options), "select concat(current_user(), ' ', ifnull(database(), 'none'))") }
  end
end

def tls
  options = { sslca: CA }
  step('tls', 'cipher') do
    one(connect(**options), "select if(variable_value = '', 'off', 'on') from information_schema.session_status where variable_name = 'Ssl_cipher'")
  end
  step('tls', 'wrong password') { one(connect(password: 'wrong', **options), 'select 1') }
  step('tls', 'row') { md5(one(connect(**options), "select repeat('#{BLOCK}', 100000)")) }
end

def prepared
  c = connect
  c.query('create temporary table t (a int primary key, b bigint, c double, d decimal(10,2), e varchar(20), f blob, g date, h int) charset utf8mb4')
  s = c.prepare('insert into t values (?, ?, ?, ?, ?, ?, ?, ?)')
  insert = lambda do
    s.execute(7, -9_000_000_000, 1.5, '3.14', 'äß€😀', "\x00\xff'".b, '2024-02-29', nil)
    one(c, "select concat_ws('|', a, b, c, d, e, hex(f), g, ifnull(h, 'NULL')) from t")
  end
  step('prepared', 'types', &insert)
  step('prepared', 'again') do
    again = c.prepare('select ? + 0')
    (1..100).sum { |i| again.execute(i, as: :array).first.first.to_i }
  end
  step('prepared', 'rows') { c.prepare('select seq from seq_1_to_1000 where seq > ?').execute(0, as: :array).sum(&:first) }
  step('prepared', 'syntax error') { c.prepare('selec 1') }
  step('prepared', 'missing table') { c.prepare('select * from nowhere') }
  step('prepared', 'duplicate', &insert)
end

def large
  c = connect
  step('large', 'query') { one(c, "select md5('#{BLOCK * 630_000}')") }
  step('large', 'exact query') { one(c, "select length('#{'x' * 16_777_197}')") }
  step('large', 'parameter') { c.prepare('select md5(?)').execute(BLOCK * 630_000, as: :array).first.first }
  step('large', 'row') { md5(one(c, "select repeat('#{BLOCK}', 630000)")) }
  step('large', 'exact row') { one(c, "select repeat('x', 16777211)").length }
  step('large', 'three packets') { md5(one(c, "select repeat('#{BLOCK}', 1260000)")) }
end

def infile
  c = connect(local_infile: true)
  c.query('create temporary table t (a int, b varchar(20))')
  step('infile', 'load') do
    c.query("load data local infile '#{FILE}' into table t")
    one(c, "select concat_ws(' ', count(*), sum(a), bit_xor(crc32(b))) from t")
  end
  step('infile', 'missing file') { c.query("load data local infile '#{FILE}.none' into table t") }
end

def compression
  c = connect(flags: Mysql2::Client::COMPRESS)
  step('compression', 'in force') { one(c, "select variable_value from information_schema.session_status where variable_name = 'Compression'") }
  step('compression', 'query') { one(c, "select md5('#{BLOCK * 630_000}')") }
  step('compression', 'row') { md5(one(c, "select repeat('#{BLOCK}', 630000)")) }
end

# Four connections, each opened anew when it fails.
def pool
  all = Array.new(4) { connect }
  all.each { |c| one(c, 'select @@server_id') }
  say('pool', 'ready')
  $stdin.gets
  failed = 0
  servers = []
  40.times do |i|
    servers << one(all[i % 4], 'select @@server_id').to_s
  rescue Mysql2::Error
    failed += 1
    all[i % 4] = connect
  end
  say('pool', 'after', failed: failed, servers: servers.uniq)
end

def version
  say('version', 'version', result: Mysql2::VERSION)
end

TASKS.each { |task| send(task) }
