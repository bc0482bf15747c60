package mysqlwire

import "encoding/binary"

// Types of a column (enum_field_types in field_types.h), as far as writers need them.
const (
	TypeLongLong  byte = 0x08
	TypeVarString byte = 0xfd
)

// charsetBinary and charsetUTF8 are the collations binary and utf8_general_ci.
const (
	charsetBinary = 63
	charsetUTF8   = 33
)

// Column describes one column of a result (ColumnDefinition41,
// page_protocol_com_query_response_text_resultset_column_definition): the length-encoded strings catalog ("def"),
// schema, table, original table, name, original name; then 0x0c, and 12 bytes: charset (2), length (4), type (1),
// flags (2), decimals (1), reserved (2).
type Column struct {
	Schema, Table, Name string
	// Type is TypeVarString when 0.
	Type byte
	// Length is the longest value in bytes; 0 means that it is not known.
	Length uint32
	Flags  uint16
}

// Append appends the payload. Numbers carry the charset binary, text utf8.
func (c Column) Append(b []byte) []byte {
	kind, charset := c.Type, uint16(charsetBinary)
	if kind == 0 {
		kind = TypeVarString
	}
	if kind == TypeVarString {
		charset = charsetUTF8
	}
	for _, s := range [...]string{"def", c.Schema, c.Table, c.Table, c.Name, c.Name} {
		b = AppendLenencString(b, s)
	}
	b = append(b, 0x0c)
	b = binary.LittleEndian.AppendUint16(b, charset)
	b = binary.LittleEndian.AppendUint32(b, c.Length)
	b = append(b, kind)
	b = binary.LittleEndian.AppendUint16(b, c.Flags)
	return append(b, 0, 0, 0)
}

// AppendTextRow appends the payload of a row of text: each value a length-encoded string, nil the byte Null
// (page_protocol_com_query_response_text_resultset_row).
func AppendTextRow(b []byte, values [][]byte) []byte {
	for _, v := range values {
		if v == nil {
			b = append(b, Null)
			continue
		}
		b = AppendLenencString(b, v)
	}
	return b
}
