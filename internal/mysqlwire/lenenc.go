package mysqlwire

import "encoding/binary"

// Null is the byte that stands in a text row where a length-encoded string would begin, for SQL's NULL
// (page_protocol_com_query_response_text_resultset_row).
const Null = 0xfb

// ParseLenenc reads the length-encoded integer at the start of b and returns it with the number of bytes it
// takes: 1 for values below 251; 0xfc and 2 bytes, 0xfd and 3, 0xfe and 8, little-endian
// (page_protocol_basic_dt_integers). It reports false when b is too short, or begins with 0xfb (Null) or 0xff,
// which begin no integer. Values written longer than need be are accepted.
func ParseLenenc(b []byte) (value uint64, size int, ok bool) {
	if len(b) == 0 {
		return 0, 0, false
	}
	switch b[0] {
	case 0xfb, 0xff:
		return 0, 0, false
	case 0xfc:
		if len(b) < 3 {
			return 0, 0, false
		}
		return uint64(binary.LittleEndian.Uint16(b[1:])), 3, true
	case 0xfd:
		if len(b) < 4 {
			return 0, 0, false
		}
		return uint64(b[1]) | uint64(b[2])<<8 | uint64(b[3])<<16, 4, true
	case 0xfe:
		if len(b) < 9 {
			return 0, 0, false
		}
		return binary.LittleEndian.Uint64(b[1:]), 9, true
	}
	return uint64(b[0]), 1, true
}

// AppendLenenc appends v as a length-encoded integer, in the shortest form.
func AppendLenenc(b []byte, v uint64) []byte {
	switch {
	case v < 0xfb:
		return append(b, byte(v))
	case v < 1<<16:
		return append(b, 0xfc, byte(v), byte(v>>8))
	case v < 1<<24:
		return append(b, 0xfd, byte(v), byte(v>>8), byte(v>>16))
	}
	return binary.LittleEndian.AppendUint64(append(b, 0xfe), v)
}

// LenencSize is the number of bytes that AppendLenenc appends for v: 1, 3, 4 or 9.
func LenencSize(v uint64) int {
	switch {
	case v < 0xfb:
		return 1
	case v < 1<<16:
		return 3
	case v < 1<<24:
		return 4
	}
	return 9
}

// ParseLenencString reads the length-encoded string at the start of b: its length as ParseLenenc reads it, then
// its bytes (page_protocol_basic_dt_strings). The result aliases b. size counts length and bytes. It reports
// false when b does not hold all of it, and for Null.
func ParseLenencString(b []byte) (s []byte, size int, ok bool) {
	v, n, ok := ParseLenenc(b)
	if !ok || v > uint64(len(b)-n) {
		return nil, 0, false
	}
	end := n + int(v)
	return b[n:end:end], end, true
}

// AppendLenencString appends the length of s in bytes as a length-encoded integer, and s.
func AppendLenencString[T string | []byte](b []byte, s T) []byte {
	return append(AppendLenenc(b, uint64(len(s))), s...)
}
