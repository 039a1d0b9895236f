// Package seal encrypts small secrets, so that files at rest hold none in clear, and
// resolves the references to secrets in configuration files.
//
// # Sealed forms
//
//	sealed:v1:KEYID:DATA
//	sealed:v2:KEYID:DATA
//
// KEYID is 16 hexadecimal digits that name the key, DATA the nonce and the
// ciphertext in unpadded base64url. The cipher is XChaCha20-Poly1305 of
// golang.org/x/crypto: its nonce of 24 octets may be drawn at random for any
// number of values, it needs no state, and we use the module anyway. (age is made for
// files: its envelope around a key per file is larger than most tokens, and rotation would
// need a list of recipients.) The octets before DATA are authenticated together with it,
// and with a context that says where the value belongs, so that a sealed value cannot be
// put in another's place.
//
// In the second form the context is a [Field]: the account and the key of a configuration
// file. The first form takes any context. The token store uses it with the key of its
// record. Files of accounts may have it from versions that sealed with an empty context.
// Such a value opens in every field; the next save of the file seals it in the second form.
//
// # Keys
//
// A [Keyring] has one key that seals and any number of older ones that only
// open. To rotate: generate a key, put it in front of the old one, seal all
// anew, remove the old one; the command rotate-key does so. A key is a line of text:
//
//	sealkey:v1:BASE64
//
// Keys come from a file, an environment variable or a systemd credential; see
// [LoadKeyring].
//
// # References
//
// [Resolve] turns the value of a configuration file into the secret itself:
//
//	env:NAME             an environment variable
//	file:/path           a file, without its final line end
//	credential:NAME      a file in $CREDENTIALS_DIRECTORY (systemd LoadCredential=)
//	sealed:v2:...        a sealed value
//	anything else        the secret itself
//
// No error of this package has a secret or a key in it.
package seal
