// Package config reads fairlead's TOML file.
//
//	file, err := config.Load("config.toml")
//
// Load and Parse are strict: a key that nobody knows, a value of the wrong type or out of range, a name that
// leads nowhere or that nothing refers to is an error with file, line and a suggestion. All errors of a file
// are reported together, as Errors. What is merely suspicious is in File.Warnings.
//
// The text takes this way: locate finds the line of each key; the TOML library turns the text into a tree of
// values; sections read the tree key by key and know each key's type and default; checks compare what
// was read. Defaults are in defaults.go alone.
package config
