// Package task is the time and the concurrency that the router's core is built on: the
// clock, chance, tasks, timers, and the one way in which a task waits for another one.
//
// Real is made of goroutines and package time. A simulation has a Runtime of its own, in
// which time is a number and one task runs at a time, so that what happens depends on
// nothing but a seed. For that to hold the core keeps these rules:
//
//   - it waits only by means of Runtime, or in calls of its interfaces to the outside
//     that take a context, and never while it holds a mutex;
//   - it waits for one Signal at a time: whoever has several things to wait for has all
//     of them set one Signal, and looks which of them it was;
//   - the order in which a map is ranged over decides nothing that another node, a
//     session or a sender can see.
//
// Whoever starts a task awaits it; the package itself waits for none. It imports nothing of
// beeline.
package task
