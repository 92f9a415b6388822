// Package metrics declares every Prometheus series that a node exports, in one
// place, so that the list can be read, reviewed and documented as a whole.
//
// It knows nothing of the packages that fill the series: a closed set of label
// values (outcomes, reasons) lives in the package that decides it, which looks
// its counters up once at construction and so exports each of them from zero.
// No label ever carries a client's name, an address or a session.
//
// It may import client_golang and nothing of beeline.
package metrics
