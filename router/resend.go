package router

import "time"

// What a link does when its peer does not acknowledge in time.

// watch is the sweeper's look at a link: resend what was not acknowledged in
// time, and acknowledge what found nothing to ride on.
func (l *peer) watch(r *Router, now time.Time) {
	if l.judged {
		return
	}
	switch {
	case l.in.due.IsZero():
	case now.Before(l.in.due):
		r.schedule(l.in.due)
	default:
		r.dirty(l)
	}
	switch {
	case l.progress.IsZero() || len(l.window) == 0:
	case now.Sub(l.progress) < l.patience(r):
		r.schedule(l.progress.Add(l.patience(r)))
	default:
		if l.resend > firstResend { // Redis finds a listener, but nobody answers
			r.judge(l)
		}
		l.setResend(r, min(2*l.resend, lastResend))
		l.lost()
		l.goBack(r)
	}
}

// setResend sets how long the link waits, and counts the links that wait longer than at
// first: their peers do not answer.
func (l *peer) setResend(r *Router, d time.Duration) {
	switch before := l.stalls(); {
	case !before && d > firstResend:
		r.stalled++
	case before && d <= firstResend:
		r.stalled--
	}
	l.resend = d
}

// stalls tells whether something was sent again and not acknowledged.
func (l *peer) stalls() bool { return l.resend > firstResend }

// patience is how long the link waits for an acknowledgement.
func (l *peer) patience(r *Router) time.Duration {
	if l.urgent > 0 {
		return l.resend
	}
	return l.resend + r.lazyAck
}

// goBack has everything sent again that is not acknowledged.
func (l *peer) goBack(r *Router) {
	l.rewind()
	l.progress = time.Time{}
	if l.next < l.end() {
		r.dirty(l)
	}
}
