package balancer

import "fairlead/internal/mysqlwire"

// A client that has read one server's greeting speaks, and expects to hear, what its login and that greeting have in
// common. Its login can be moved to another server if that one can be brought to speak the same: flags that the first
// server lacks must not be asked of it, and those in use it must have.

// nobodysPlugin is an authentication plugin that no server has: it makes every server ask again, with its own scramble.
const nobodysPlugin = "fairlead_ask_again"

// needed are the flags without which a login can't be moved.
const needed = mysqlwire.ClientProtocol41 | mysqlwire.ClientSecureConnection | mysqlwire.ClientPluginAuth

// dispensable are the flags that change no packet after the login: they may get lost on the way to a server that
// lacks them, as they would have if the client had connected there. Every other flag in use, also one that is not known
// here, may change what is on the wire.
const dispensable = mysqlwire.ClientLongPassword | mysqlwire.ClientFoundRows | mysqlwire.ClientLongFlag | mysqlwire.ClientConnectWithDB |
	mysqlwire.ClientNoSchema | mysqlwire.ClientODBC | mysqlwire.ClientLocalFiles | mysqlwire.ClientIgnoreSpace |
	mysqlwire.ClientInteractive | mysqlwire.ClientSSL | mysqlwire.ClientIgnoreSigpipe | mysqlwire.ClientTransactions |
	mysqlwire.ClientReserved | mysqlwire.ClientMultiStatements | mysqlwire.ClientMultiResults | mysqlwire.ClientPSMultiResults |
	mysqlwire.ClientConnectAttrs | mysqlwire.ClientPluginAuthLenenc | mysqlwire.ClientExpiredPasswords |
	1<<29 | 1<<30 | 1<<31 // MariaDB's old progress reports; CLIENT_SSL_VERIFY_SERVER_CERT and CLIENT_REMEMBER_OPTIONS, which concern the client alone

// movable tells whether a login that answers a greeting could be replayed to any other server.
func movable(login *mysqlwire.Login, greeting mysqlwire.Greeting) bool {
	return (login.Capabilities & greeting.Capabilities).Has(needed)
}

// translate makes of a login that answers one server's greeting the one that opens the same conversation with another
// server, which will ask for the password anew. It reports false if that server lacks something that is in use.
func translate(login mysqlwire.Login, first, next mysqlwire.Greeting) (mysqlwire.Login, bool) {
	inUse := login.Capabilities & first.Capabilities
	inUseMariaDB := login.MariaDB() & first.MariaDB()
	want := needed
	if login.Database != "" {
		want |= mysqlwire.ClientConnectWithDB
	}
	shared := inUse & next.Capabilities
	sharedMariaDB := inUseMariaDB & next.MariaDB()
	if !shared.Has(want) || inUse&^shared&^dispensable != 0 || inUseMariaDB&^sharedMariaDB&^mysqlwire.MariaDBProgress != 0 {
		return mysqlwire.Login{}, false
	}
	login.Capabilities = shared &^ mysqlwire.ClientSSL
	if !shared.Has(mysqlwire.ClientLongPassword) {
		login.SetMariaDB(sharedMariaDB)
	}
	switch login.AuthPlugin {
	case mysqlwire.NativePassword, mysqlwire.CachingSHA2Password: // mixed with the first server's scramble, and of no use to the other
	default:
		login.AuthResponse = nil // it may be the password itself, and the other server has not asked for that
	}
	login.AuthPlugin = nobodysPlugin
	return login, true
}
