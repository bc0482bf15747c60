// Package mysqlwire reads and writes the packets of the MySQL client/server protocol that a balancer
// meets: the greeting, the login, ERR, OK and EOF, the switch of the authentication plugin, and text results.
//
// Readers take one payload, the packet without its 4-byte header, and trust nothing in it: every length
// is checked, nothing is read past the end, and bytes that don't fit are an error that wraps
// [ErrMalformed] and names the field and its offset. What they return shares no memory with the payload.
// Text from a peer is kept as it came, whatever bytes it holds: quote it before it is shown.
//
// Writers append to a slice and return it, as append does; they allocate only when the slice is too short.
// What a reader accepted, its writer writes again so that the reader returns the same value.
//
// Sources: the protocol pages of the MySQL server's documentation
// (https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html, cited here as page_…), MariaDB's
// (https://mariadb.com/kb/en/clientserver-protocol/), and the front ends' sources, in
// StarRocks/starrocks below fe/fe-core/src/main/java/com/starrocks/mysql/.
package mysqlwire
