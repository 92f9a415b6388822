// Package hostport reads addresses of the form host:port as people and manifests write
// them: an IPv6 address may go without its brackets, and what follows the last colon is
// the port. (In "http://$(POD_IP):8080" nobody can tell beforehand which kind of address
// a pod gets.)
//
// It has no goroutines, and imports nothing of beeline.
package hostport
