// Package keyfile reads JSON files by tables of known keys.
//
// The files have comments and trailing commas. Keys that begin with "_" are notes,
// unknown keys are warned about and never fatal, and keys that once meant something
// are named together with the reason why they have no effect.
//
// # How a file is read
//
// A file is parsed to a syntax tree ([hujson.Value]), which keeps the position of
// every value, and walked with a [Table] of keys. A [Key] is declared once: its path,
// how it is read and in which range ([Reader]), what it means and which field it
// sets, or why it is ignored. Where several keys set one field, the later one in the
// table wins, whatever the order in the file.
//
// All mistakes are found in one go and collected as [Problems], each with its file,
// line and key. Everything else about a file (in force, ignored, clamped, unknown) is
// in the [Report].
//
// # Secrets
//
// A secret may be a reference or sealed (internal/seal). It is resolved while the
// file is read, with File.Keys; see File.Lenient for programs that need none. Neither problems nor report show it.
//
// # Parts
//
// A large file can be read part by part: see NewParts. A part depends on its text
// alone, unless File.Passing says that it depends on something else too.
package keyfile
