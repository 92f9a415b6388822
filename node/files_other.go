//go:build !unix

package node

// openFilesLimit is how many files this process may have open; 0: no limit is known.
func openFilesLimit() int { return 0 }
