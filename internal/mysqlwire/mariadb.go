package mysqlwire

import "encoding/binary"

// MariaDBCapability is a set of the flags that MariaDB has added, in the last four reserved bytes of greeting and login
// (https://mariadb.com/kb/en/connection/, "Extended capabilities").
type MariaDBCapability uint32

// The flags, by the names of the MariaDB sources.
const (
	MariaDBProgress        MariaDBCapability = 1 << 0 // the server may report progress
	MariaDBComMulti        MariaDBCapability = 1 << 1
	MariaDBBulkOperations  MariaDBCapability = 1 << 2
	MariaDBExtendedTypes   MariaDBCapability = 1 << 3 // column definitions have one field more
	MariaDBCacheMetadata   MariaDBCapability = 1 << 4 // column definitions may be left out
	MariaDBBulkUnitResults MariaDBCapability = 1 << 5
)

// MariaDB is what a greeting has of MariaDB's flags. Servers that set LONG_PASSWORD have none.
func (g Greeting) MariaDB() MariaDBCapability {
	if g.Capabilities.Has(ClientLongPassword) {
		return 0
	}
	return MariaDBCapability(binary.LittleEndian.Uint32(g.Reserved[6:]))
}

// MariaDB is what a login has of them.
func (l Login) MariaDB() MariaDBCapability {
	if l.Capabilities.Has(ClientLongPassword) || !l.Capabilities.Has(ClientProtocol41) {
		return 0
	}
	return MariaDBCapability(binary.LittleEndian.Uint32(l.Reserved[19:]))
}

// SetMariaDB sets the flags of a login, which must not have LONG_PASSWORD if they are to be read.
func (l *Login) SetMariaDB(flags MariaDBCapability) {
	binary.LittleEndian.PutUint32(l.Reserved[19:], uint32(flags))
}
