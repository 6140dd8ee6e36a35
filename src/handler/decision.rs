//! The handler's decisions as tables: whose business a signal is, what a crashing thread does, and how it ends.
//!
//! Functions of their arguments alone, which any code may call, a signal handler too. What the kernel does with a signal is
//! in signal(7), sigaction(2) and pid_namespaces(7).

/// Whether the library reports crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Armed,
    /// It was uninstalled, and a handler that was set over ours still calls it.
    Disarmed,
}

/// Where a signal comes from (`si_code`, sigaction(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The kernel has raised it for what the thread did: a code above 0. It cannot be ignored.
    Raised,
    /// Somebody has sent it: kill(2), raise(3), abort(3).
    Sent,
}

/// A disposition (signal(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposition {
    Default,
    Ignored,
    Handler,
}

/// Whether the handler that was there before us looks at a signal before us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PreviousFirst {
    /// It does not: there is none, or the signal is no fault of a runtime's.
    No,
    /// It is to be called.
    Yes,
    /// It is looking at it right now, and has passed it on to ours.
    PassedBack,
}

/// Who gets a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Nobody: the host goes on.
    Nobody,
    /// The handler before us, which may deal with it or leave it to us.
    PreviousHandler,
    /// Us: it is a crash.
    Us,
    /// Whoever would have it without us: see [`course`].
    PassedOn,
    /// The handler that the previous one had replaced, where there is one; the previous one goes on after it.
    NextInChain,
}

/// Whose business a signal is. `previous` is the disposition before us; `spared` says that the process is the first of its
/// pid name space, to which the kernel gives no sent signal without a handler, and that the signal is not SIGABRT, after
/// which abort(3) ends it all the same.
pub(super) fn owner(
    state: State,
    origin: Origin,
    previous: Disposition,
    spared: bool,
    previous_first: PreviousFirst,
) -> Owner {
    match (state, origin, previous, spared, previous_first) {
        (State::Disarmed, ..) => Owner::PassedOn,
        (State::Armed, Origin::Sent, Disposition::Ignored, ..) => Owner::Nobody,
        (State::Armed, Origin::Sent, Disposition::Default, true, _) => Owner::Nobody,
        (State::Armed, _, _, _, PreviousFirst::PassedBack) => Owner::NextInChain,
        (State::Armed, _, Disposition::Handler, _, PreviousFirst::Yes) => Owner::PreviousHandler,
        (State::Armed, ..) => Owner::Us,
    }
}

/// Who reports, as a crashing thread finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// This thread does.
    First,
    /// Another thread of this process is reporting or has reported.
    OtherThread,
    /// This thread has reported already, and the signal has come again or is passed on to ours once more.
    Again,
    /// A process that shares our memory, or from whose memory ours was copied amid its report, is reporting.
    OtherProcess,
}

/// What a crashing thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Report,
    /// Waits until the other thread's report is done.
    Wait,
    /// Has the signal take its course.
    PassOn,
    /// Ends by the default action, without a dump: the claim's owner may never come back.
    End,
}

/// The part of a crashing thread.
pub(super) fn part(claim: Claim) -> Part {
    match claim {
        Claim::First => Part::Report,
        Claim::OtherThread => Part::Wait,
        Claim::Again => Part::PassOn,
        Claim::OtherProcess => Part::End,
    }
}

/// What becomes of a signal once it is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// The handler is called.
    CallHandler,
    /// The kernel ends the process.
    End,
    /// Nothing: the host goes on.
    GoOn,
}

/// What the kernel would do with a signal of this disposition: one that it has raised itself cannot be ignored.
pub(super) fn course(disposition: Disposition, origin: Origin) -> Course {
    match (disposition, origin) {
        (Disposition::Handler, _) => Course::CallHandler,
        (Disposition::Default, _) | (Disposition::Ignored, Origin::Raised) => Course::End,
        (Disposition::Ignored, Origin::Sent) => Course::GoOn,
    }
}

/// Whether nothing but the kernel's default action comes after a report: no handler will run any more. `next` is the
/// disposition that the signal comes again to; `kernel_calls_us` says that no other handler stands in front of ours.
pub(super) fn ends_by_default(next: Disposition, origin: Origin, kernel_calls_us: bool) -> bool {
    kernel_calls_us && course(next, origin) == Course::End
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 2] = [State::Armed, State::Disarmed];
    const ORIGINS: [Origin; 2] = [Origin::Raised, Origin::Sent];
    const DISPOSITIONS: [Disposition; 3] = [Disposition::Default, Disposition::Ignored, Disposition::Handler];
    const PREVIOUS_FIRST: [PreviousFirst; 3] = [PreviousFirst::No, PreviousFirst::Yes, PreviousFirst::PassedBack];

    /// All arguments of [`owner`].
    fn arrivals() -> Vec<(State, Origin, Disposition, bool, PreviousFirst)> {
        let mut all = Vec::new();
        for state in STATES {
            for origin in ORIGINS {
                for previous in DISPOSITIONS {
                    for spared in [false, true] {
                        all.extend(PREVIOUS_FIRST.map(|first| (state, origin, previous, spared, first)));
                    }
                }
            }
        }
        all
    }

    /// Each arrival belongs to exactly one line of this list, in words that do not follow the table's order.
    #[test]
    fn every_signal_has_the_owner_that_the_manuals_give_it() {
        let mut seen = [0; 5];
        for (state, origin, previous, spared, first) in arrivals() {
            let armed = state == State::Armed;
            let kernel_would_drop_it = origin == Origin::Sent
                && (previous == Disposition::Ignored || (previous == Disposition::Default && spared));
            let asked = first == PreviousFirst::Yes && previous == Disposition::Handler;
            let passed_back = first == PreviousFirst::PassedBack;
            let lines = [
                (Owner::PassedOn, state == State::Disarmed),
                (Owner::NextInChain, armed && !kernel_would_drop_it && passed_back),
                (Owner::Nobody, armed && kernel_would_drop_it),
                (Owner::PreviousHandler, armed && !kernel_would_drop_it && asked),
                (Owner::Us, armed && !kernel_would_drop_it && !asked && !passed_back),
            ];
            let holding: Vec<_> = (0..lines.len()).filter(|line| lines[*line].1).collect();
            let [line] = holding[..] else { panic!("{:?}: {holding:?}", (state, origin, previous, spared, first)) };
            seen[line] += 1;
            let found = owner(state, origin, previous, spared, first);
            assert_eq!(found, lines[line].0, "{:?}", (state, origin, previous, spared, first));
        }
        // 2 states, 2 origins, 3 dispositions, 2 kinds of process, 3 kinds of previous handlers.
        assert_eq!(seen.iter().sum::<i32>(), 72);
        assert!(!seen.contains(&0), "{seen:?}");
    }

    #[test]
    fn what_is_raised_is_never_lost_and_what_was_ignored_stays_so() {
        for (state, origin, previous, spared, first) in arrivals() {
            let owner = owner(state, origin, previous, spared, first);
            assert!(owner != Owner::Nobody || origin == Origin::Sent);
            if state == State::Armed && origin == Origin::Sent && previous == Disposition::Ignored {
                assert_eq!(owner, Owner::Nobody);
            }
        }
    }

    #[test]
    fn one_thread_reports_and_every_other_has_another_part() {
        let parts = [Claim::First, Claim::OtherThread, Claim::Again, Claim::OtherProcess].map(part);
        assert_eq!(parts, [Part::Report, Part::Wait, Part::PassOn, Part::End]);
    }

    #[test]
    fn a_course_is_the_kernels() {
        for origin in ORIGINS {
            assert_eq!(course(Disposition::Handler, origin), Course::CallHandler);
            assert_eq!(course(Disposition::Default, origin), Course::End);
        }
        assert_eq!(course(Disposition::Ignored, Origin::Raised), Course::End);
        assert_eq!(course(Disposition::Ignored, Origin::Sent), Course::GoOn);
    }

    #[test]
    fn only_the_kernel_comes_after_us_where_no_handler_is_left() {
        for origin in ORIGINS {
            for next in DISPOSITIONS {
                assert!(!ends_by_default(next, origin, false), "a handler in front of ours runs on");
                let ends = next == Disposition::Default || (next == Disposition::Ignored && origin == Origin::Raised);
                assert_eq!(ends_by_default(next, origin, true), ends);
            }
        }
    }
}
