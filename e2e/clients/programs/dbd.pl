# Perl's DBD::mysql: dbd.pl HOST PORT TASK... (see ../doc.go for what it prints).
use strict;
use warnings;
use utf8;
use DBI;
use Digest::MD5 'md5_hex';
use JSON::PP;

my ($host, $port, @tasks) = @ARGV;
my ($ca, $file) = @ENV{'MATRIX_CA', 'MATRIX_FILE'};
my $block = 'abcdefghijklmnopqrstuvwxyz0';
$| = 1;

sub login_as {
    my %o = (user => 'app', password => 'secret', database => 'sales', options => '', @_);
    my $of = defined $o{database} ? ";database=$o{database}" : '';
    return DBI->connect("dbi:mysql:host=$host;port=$port$of$o{options}", $o{user}, $o{password},
        {RaiseError => 1, PrintError => 0, mysql_enable_utf8mb4 => 1, mysql_server_prepare => $o{prepare} // 0, mysql_auto_reconnect => 0});
}

sub one { my ($c, $query, @arguments) = @_; return ($c->selectrow_array($query, undef, @arguments))[0]; }

sub say_that { my ($task, $step, %said) = @_; print JSON::PP->new->canonical->utf8->encode({task => $task, step => $step, %said}), "\n"; }

sub step {
    my ($task, $step, $work) = @_;
    my $result = eval { $work->() };
    return say_that($task, $step, result => "$result") unless $@;
    my ($text) = $@ =~ /^(.*?)(?: at \S+ line \d+\.)?\n/s;
    say_that($task, $step, code => ($DBI::err // 0) + 0, state => $DBI::state, text => $DBI::errstr // $text);
}

my %tasks = (
    login => sub {
        for (['right'], ['no database', database => undef], ['wrong password', password => 'wrong'], ['no password', password => ''],
            ['unknown user', user => 'nobody'], ['unknown database', database => 'nowhere'], ['forbidden database', user => 'lonely']) {
            my ($step, @with) = @$_;
            step('login', $step, sub { one(login_as(@with), "select concat(current_user(), ' ', ifnull(database(), 'none'))") });
        }
    },
    tls => sub {
        # Built with libmariadb it knows no TLS that is not optional.
        my @tls = (options => ";mysql_ssl=1;mysql_ssl_optional=1;mysql_ssl_ca_file=$ca");
        step('tls', 'cipher', sub { one(login_as(@tls),
            "select if(variable_value = '', 'off', 'on') from information_schema.session_status where variable_name = 'Ssl_cipher'") });
        step('tls', 'wrong password', sub { one(login_as(@tls, password => 'wrong'), 'select 1') });
        step('tls', 'row', sub { md5_hex(one(login_as(@tls), 'select repeat(?, 100000)', $block)) });
    },
    prepared => sub {
        my $c = login_as(prepare => 1);
        $c->do('create temporary table t (a int primary key, b bigint, c double, d decimal(10,2), e varchar(20), f blob, g date, h int) charset utf8mb4');
        my $s = $c->prepare('insert into t values (?, ?, ?, ?, ?, ?, ?, ?)');
        my $insert = sub {
            my @values = (7, -9000000000, 1.5, '3.14', 'äß€😀', "\x00\xff'", '2024-02-29', undef);
            $s->bind_param($_ + 1, $values[$_], $_ == 5 ? DBI::SQL_BLOB : undef) for 0 .. 7;
            $s->execute;
            return one($c, "select concat_ws('|', a, b, c, d, e, hex(f), g, ifnull(h, 'NULL')) from t");
        };
        step('prepared', 'types', $insert);
        step('prepared', 'again', sub {
            my ($again, $sum) = ($c->prepare('select ? + 0'), 0);
            for (1 .. 100) { $again->execute($_); $sum += ($again->fetchrow_array)[0]; $again->finish; }
            return $sum;
        });
        step('prepared', 'rows', sub {
            my $sum = 0;
            $sum += $_ for @{$c->selectcol_arrayref('select seq from seq_1_to_1000 where seq > ?', undef, 0)};
            return $sum;
        });
        step('prepared', 'syntax error', sub { $c->prepare('selec 1')->execute });
        step('prepared', 'missing table', sub { $c->prepare('select * from nowhere')->execute });
        step('prepared', 'duplicate', $insert);
    },
    large => sub {
        my $c = login_as();
        step('large', 'query', sub { one($c, "select md5('" . $block x 630000 . "')") });
        step('large', 'exact query', sub { one($c, "select length('" . 'x' x 16777197 . "')") });
        step('large', 'parameter', sub { one(login_as(prepare => 1), 'select md5(?)', $block x 630000) });
        step('large', 'row', sub { md5_hex(one($c, "select repeat('$block', 630000)")) });
        step('large', 'exact row', sub { length one($c, "select repeat('x', 16777211)") });
        step('large', 'three packets', sub { md5_hex(one($c, "select repeat('$block', 1260000)")) });
    },
    infile => sub {
        my $c = login_as(options => ';mysql_local_infile=1');
        $c->do('create temporary table t (a int, b varchar(20))');
        step('infile', 'load', sub {
            $c->do("load data local infile '$file' into table t");
            return one($c, "select concat_ws(' ', count(*), sum(a), bit_xor(crc32(b))) from t");
        });
        step('infile', 'missing file', sub { $c->do("load data local infile '$file.none' into table t") });
    },
    compression => sub {
        my $c = login_as(options => ';mysql_compression=1');
        step('compression', 'in force', sub { one($c, "select variable_value from information_schema.session_status where variable_name = 'Compression'") });
        step('compression', 'query', sub { one($c, "select md5('" . $block x 630000 . "')") });
        step('compression', 'row', sub { md5_hex(one($c, "select repeat('$block', 630000)")) });
    },
    pool => sub { # four connections, each opened anew when it fails
        my @all = map { login_as() } 1 .. 4;
        one($_, 'select @@server_id') for @all;
        say_that('pool', 'ready');
        <STDIN>;
        my ($failed, %servers) = (0);
        for my $i (0 .. 39) {
            next if eval { $servers{one($all[$i % 4], 'select @@server_id')} = 1 };
            $failed++;
            $all[$i % 4] = login_as();
        }
        say_that('pool', 'after', failed => $failed, servers => [sort keys %servers]);
    },
    version => sub { require DBD::mysql; say_that('version', 'version', result => $DBD::mysql::VERSION) },
);
$tasks{$_}->() for @tasks;
