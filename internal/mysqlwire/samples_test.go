package mysqlwire

import (
	"encoding/hex"
	"strings"
	"testing"
)

// Packets as they were on the wire, header included, in hex.
const (
	// A StarRocks FE, version 8.0.33, connection id 7 of the FE with number 1.
	starrocksGreeting = "4a000000 0a 382e302e333300 07000001 6162636465666768 00 0c82 21 0000 1800 15 00000000000000000000" +
		"696a6b6c6d6e6f7071727374 00 6d7973716c5f6e61746976655f70617373776f726400"
	// The same with the old version 5.1.0.
	starrocksOldGreeting = "49000000 0a 352e312e3000 07000000 6162636465666768 00 0c82 21 0000 1800 15 00000000000000000000" +
		"696a6b6c6d6e6f7071727374 00 6d7973716c5f6e61746976655f70617373776f726400"
	// A Doris FE with TLS.
	dorisGreeting = "4a000000 0a 352e372e393900 2a000000 6162636465666768 00 8c8a 21 0000 0800 15 00000000000000000000" +
		"696a6b6c6d6e6f7071727374 00 6d7973716c5f6e61746976655f70617373776f726400"
	// MariaDB 10.11.19 from Debian.
	mariadbGreeting = "64000000 0a 352e352e352d31302e31312e31392d4d6172696144422d302b646562313275310004000000 3966784b4b773646 00" +
		"fef7 08 0200 ff81 15 000000000000 1d000000 3d3e5f467e6b7942795b3f64 00 6d7973716c5f6e61746976655f70617373776f726400"
	// A greeting of MySQL 3.21, which ends after the lower flags.
	ancientGreeting = "18000000 0a 332e32312e333100 01000000 6162636465666768 00 0c00"

	// The mariadb command line client 10.11, user root, password secret, database sales, to starrocksGreeting.
	mariadbLogin = "d6000001 8ca2bf00 00001000 21 0000000000000000000000000000000000000000000000 726f6f7400" +
		"148817c50fa779daef010ee7577825b0847df9842e73616c6573006d7973716c5f6e61746976655f70617373776f7264007f035f6f73" +
		"054c696e75780c5f636c69656e745f6e616d650a6c69626d617269616462045f7069640531333333340f5f636c69656e745f76657273" +
		"696f6e06332e332e3230095f706c6174666f726d067838365f36340c70726f6772616d5f6e616d65056d7973716c0c5f736572766572" +
		"5f686f7374093132372e302e302e31"
	// go-sql-driver/mysql 1.10, user app, the same password and database, connectionAttributes=program_name:etl.
	goLogin = "c0000001 0c821800 00000000 2d 0000000000000000000000000000000000000000000000 61707000" +
		"148817c50fa779daef010ee7577825b0847df9842e73616c6573006d7973716c5f6e61746976655f70617373776f7264006a0c5f636c" +
		"69656e745f6e616d650f476f2d4d7953514c2d447269766572035f6f73056c696e7578095f706c6174666f726d05616d643634045f70" +
		"69640531333938330c5f7365727665725f686f7374093132372e302e302e310c70726f6772616d5f6e616d650365746c"
	// The example of MySQL's documentation, from a 5.6 client.
	docLogin = "54000001 8da60f00 00000001 08 0000000000000000000000000000000000000000000000 70616d00" +
		"14ab09eef6bcb1323e61143865c0991d957d75d447 7465737400 6d7973716c5f6e61746976655f70617373776f726400"
	// A client before 4.1: user old, eight bytes of response, database test.
	oldLogin = "17000001 0d24 000000 6f6c6400 474453435151525f 00 7465737400"
	// The request to go on with TLS, of a client whose flags are 0x0f8da6 and CLIENT_SSL.
	sslRequest = "20000001 8dae0f00 00000001 08 0000000000000000000000000000000000000000000000"

	// Doris refusing a connection instead of greeting.
	tooManyError = "17000000 ff 1004 546f6f206d616e7920636f6e6e656374696f6e73"
	// A wrong password.
	deniedError = "47000002 ff 1504 23 3238303030" +
		"4163636573732064656e69656420666f7220757365722027726f6f7427402731302e302e302e312720287573696e672070617373776f72643a2059455329"

	// A front end asking for mysql_native_password.
	nativeSwitch = "2c000002 fe 6d7973716c5f6e61746976655f70617373776f726400 6162636465666768696a6b6c6d6e6f7071727374 00"
)

// payload returns the sample without its header.
func payload(t testing.TB, sample string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(sample, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	h, _ := ParseHeader(b)
	if h.Length != len(b)-HeaderLen {
		t.Fatalf("the sample %.40s… says it has %d bytes, and has %d", sample, h.Length, len(b)-HeaderLen)
	}
	return b[HeaderLen:]
}

// exact copies b into memory that ends with it: reading past it panics.
func exact(b []byte) []byte {
	p := make([]byte, len(b))
	copy(p, b)
	return p[:len(p):len(p)]
}

// scribble overwrites b, to show what still refers to it.
func scribble(b []byte) {
	for i := range b {
		b[i] ^= 0x5a
	}
}
