package mysqlwire

import "testing"

func TestMariaDBFlags(t *testing.T) {
	g, err := ParseGreeting(payload(t, mariadbGreeting))
	if err != nil {
		t.Fatal(err)
	}
	if want := MariaDBProgress | MariaDBBulkOperations | MariaDBExtendedTypes | MariaDBCacheMetadata; g.MariaDB() != want {
		t.Errorf("the flags of MariaDB 10.11 are %#x, want %#x", g.MariaDB(), want)
	}
	g.Capabilities |= ClientLongPassword
	if g.MariaDB() != 0 {
		t.Errorf("a server of MySQL has %#x", g.MariaDB())
	}
	l := Login{Capabilities: StarRocksCapabilities, User: "ann"}
	l.SetMariaDB(MariaDBExtendedTypes)
	l, err = ParseLogin(l.Append(nil))
	if err != nil || l.MariaDB() != MariaDBExtendedTypes {
		t.Errorf("read back: %#x, %v", l.MariaDB(), err)
	}
	l.Capabilities |= ClientLongPassword
	if l.MariaDB() != 0 {
		t.Errorf("a client of MySQL has %#x", l.MariaDB())
	}
}
