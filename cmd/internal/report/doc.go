// Package report turns what a run of the bench measured into what people read: a
// table, files for other programs, pictures, one HTML page, and a model of what
// the arms would cost at other sizes.
package report
