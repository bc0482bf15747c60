package mysqlwire

// Capability is a set of the CLIENT_… flags of greeting and login (group__group__cs__capabilities__flags).
// Both sides use only what both have announced.
type Capability uint32

// The flags, by the names of the MySQL sources.
const (
	// ClientLongPassword is called CLIENT_MYSQL by MariaDB: its servers leave it unset to say that the last
	// four reserved bytes of greeting and login hold further flags.
	ClientLongPassword       Capability = 1 << 0
	ClientFoundRows          Capability = 1 << 1
	ClientLongFlag           Capability = 1 << 2
	ClientConnectWithDB      Capability = 1 << 3
	ClientNoSchema           Capability = 1 << 4
	ClientCompress           Capability = 1 << 5
	ClientODBC               Capability = 1 << 6
	ClientLocalFiles         Capability = 1 << 7
	ClientIgnoreSpace        Capability = 1 << 8
	ClientProtocol41         Capability = 1 << 9
	ClientInteractive        Capability = 1 << 10
	ClientSSL                Capability = 1 << 11
	ClientIgnoreSigpipe      Capability = 1 << 12
	ClientTransactions       Capability = 1 << 13
	ClientReserved           Capability = 1 << 14
	ClientSecureConnection   Capability = 1 << 15
	ClientMultiStatements    Capability = 1 << 16
	ClientMultiResults       Capability = 1 << 17
	ClientPSMultiResults     Capability = 1 << 18
	ClientPluginAuth         Capability = 1 << 19
	ClientConnectAttrs       Capability = 1 << 20
	ClientPluginAuthLenenc   Capability = 1 << 21
	ClientExpiredPasswords   Capability = 1 << 22
	ClientSessionTrack       Capability = 1 << 23
	ClientDeprecateEOF       Capability = 1 << 24
	ClientOptionalResultMeta Capability = 1 << 25
	ClientZstdCompression    Capability = 1 << 26
	ClientQueryAttributes    Capability = 1 << 27
)

const (
	// StarRocksCapabilities is what a StarRocks FE without a keystore announces
	// (MysqlCapability.DEFAULT_CAPABILITY), 0x0018820C.
	StarRocksCapabilities = ClientLongFlag | ClientConnectWithDB | ClientProtocol41 | ClientSecureConnection |
		ClientPluginAuth | ClientConnectAttrs
	// DorisCapabilities is what a Doris FE without TLS announces, 0x0008828C.
	DorisCapabilities = ClientLongFlag | ClientConnectWithDB | ClientLocalFiles | ClientProtocol41 |
		ClientSecureConnection | ClientPluginAuth
)

// Has reports whether all flags of f are set in c.
func (c Capability) Has(f Capability) bool { return c&f == f }

// Names of authentication plugins (page_protocol_connection_phase_authentication_methods).
const (
	NativePassword      = "mysql_native_password"
	ClearPassword       = "mysql_clear_password"
	CachingSHA2Password = "caching_sha2_password"
	oldPassword         = "mysql_old_password"
)

// Status flags of greeting, OK and EOF (SERVER_STATUS_flags_enum). Front ends hardly set any.
const (
	StatusInTransaction       uint16 = 1 << 0
	StatusAutocommit          uint16 = 1 << 1
	StatusMoreResults         uint16 = 1 << 3
	StatusSessionStateChanged uint16 = 1 << 14
)

// First byte of a command's payload (my_command.h, page_protocol_command_phase).
const (
	ComQuit            = 0x01
	ComInitDB          = 0x02
	ComQuery           = 0x03
	ComFieldList       = 0x04
	ComStatistics      = 0x09
	ComProcessKill     = 0x0c
	ComPing            = 0x0e
	ComChangeUser      = 0x11
	ComStmtPrepare     = 0x16
	ComStmtExecute     = 0x17
	ComStmtSendLong    = 0x18
	ComStmtClose       = 0x19
	ComStmtReset       = 0x1a
	ComSetOption       = 0x1b
	ComResetConnection = 0x1f
)
