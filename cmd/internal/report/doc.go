// Package report turns what a run of the bench measured into what people read: a
// table, files for other programs, pictures, one HTML page, and a model of what
// the arms would cost at other sizes.
//
// A run's points are repeated. What is shown is the median of the repetitions, with
// their least and greatest value. A point with marks or faults was measured under
// conditions that make its figures worthless: it is named as such, and left out of
// medians, pictures, the verdict and the model. A figure that was not measured is
// absent everywhere; it is never taken for zero.
//
// # The model
//
// What a message costs depends on the number of nodes N in a way that follows from
// what each arm does (docs/scale.md explains it):
//
//	targeted:  base + hop·(N-1)/N + ack·A + lookup·L + wake·W   (N-1)/N of the receivers are elsewhere
//	broadcast: base + filter·(N-1) + wake·W                     all others hear it and throw it away
//	subscribe: base + hop·(N-1)/N + wake·W
//
// In the workload Nodes every receiver is elsewhere, so that 1 stands for (N-1)/N in
// the fit. L is the number of lookups a message, A that of the acknowledgements that
// leave alone, W that of the nodes that slept and are woken; bytes have no wake, and of
// CPU an acknowledgement takes as much as a hop. The unit costs come from the medians of
// the workload Nodes (and, for lookups, Clients) by non-negative least squares of the
// relative error, for each resource, with one wake for all arms. The largest N takes no
// part in that: it is predicted, and the difference to what was measured is the model's
// stated error.
//
// The package writes files and draws; it starts no goroutine. It imports gonum for
// plots and least squares, and nothing of beeline.
package report
