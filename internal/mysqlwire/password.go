package mysqlwire

import (
	"crypto/sha1"
	"crypto/subtle"
)

// NativeResponse is what a client answers under mysql_native_password: SHA1(password) XOR
// SHA1(scramble + SHA1(SHA1(password))), 20 bytes (page_protocol_connection_phase_authentication_methods_native_password_authentication).
// It is nil for an empty password.
func NativeResponse(scramble []byte, password string) []byte {
	if password == "" {
		return nil
	}
	stage1 := sha1.Sum([]byte(password))
	stage2 := sha1.Sum(stage1[:])
	h := sha1.New()
	h.Write(scramble)
	h.Write(stage2[:])
	response := h.Sum(nil)
	subtle.XORBytes(response, response, stage1[:])
	return response
}

// CheckNative reports whether response is right for the password.
func CheckNative(response, scramble []byte, password string) bool {
	return subtle.ConstantTimeCompare(response, NativeResponse(scramble, password)) == 1
}
