# Logs in and asks: login.pl driver host port user password database. DBD::mysql or DBD::MariaDB.
use strict;
use warnings;
use DBI;

my ($driver, $host, $port, $user, $password, $database) = @ARGV;
my $c = DBI->connect("dbi:$driver:host=$host;port=$port;database=$database", $user, $password, {RaiseError => 1, PrintError => 0});
my ($who) = $c->selectrow_array("select concat_ws(' ', \@\@server_id, current_user(), database())");
my $s = $c->prepare("select ? + 1", {lc($driver) . "_server_prepare" => 1});
$s->execute(41);
my ($sum) = $s->fetchrow_array;
$s->finish;
my ($long) = $c->selectrow_array("select repeat('x', 100000)");
print "$who " . int($sum) . " " . length($long) . "\n";
$c->disconnect;
