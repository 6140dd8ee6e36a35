//! The handler's decisions as tables: who gets a signal, what a crashing thread does, and how the signal ends.
//! docs/design.md has the same tables.
//!
//! Pure functions, which a signal handler may call. signal(7), sigaction(2) and pid_namespaces(7) say what the kernel does
//! with a signal.

use crate::wire::AfterReport;

/// Whether the library reports crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Armed,
    /// It was uninstalled, and a handler that was installed after ours still calls ours.
    Disarmed,
}

/// Where a signal comes from (`si_code`, sigaction(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The kernel has raised it for something that the thread did: the code is above 0. It cannot be ignored.
    Raised,
    /// A process has sent it, by kill(2), raise(3) or abort(3): the code is 0 or below.
    Sent,
}

/// A disposition (signal(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposition {
    Default,
    Ignored,
    Handler,
}

/// Whether the previous handler gets a signal before ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PreviousFirst {
    /// It does not: there is none, or the signal is not a fault that a runtime may handle.
    No,
    /// It is to be called.
    Yes,
    /// Ours has called it for this signal, and it has passed the signal back to ours.
    PassedBack,
}

/// Who gets a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Nobody: the kernel would have dropped the signal, and the host continues.
    Nobody,
    /// The previous handler, which may handle it or leave it to ours.
    PreviousHandler,
    /// Ours: it is a crash.
    Us,
    /// The disposition that it would meet without ours: see [`course`].
    PassedOn,
    /// The handler that the previous one had replaced, where there is one. Then the previous one continues.
    NextInChain,
}

/// Who gets a signal. `previous` is the disposition before ours. `spared` says that the process is the first of its pid name
/// space, to which the kernel delivers sent signals only where there is a handler (pid_namespaces(7)), and that the signal
/// is not SIGABRT, after which abort(3) ends the process in another way.
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

/// What a crashing thread finds when it claims the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// This thread does.
    First,
    /// Another thread of this process is reporting or has reported.
    OtherThread,
    /// This thread has reported already: the signal was redelivered, or another handler has passed it to ours again.
    Again,
    /// Another process is reporting: one that shares our memory (vfork(2)), or one that was forked during its report.
    OtherProcess,
}

/// What a crashing thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Report,
    /// Waits until the other thread's report is done.
    Wait,
    /// Passes the signal on: see [`course`].
    PassOn,
    /// Ends by the default action and without a dump, because the claim's owner may never finish.
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

/// What happens to a signal that is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// The handler is called.
    CallHandler,
    /// The kernel ends the process.
    End,
    /// Nothing: the host continues.
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

/// What comes after a report. `next` is the disposition that the signal is redelivered to; `kernel_calls_us` says that the
/// kernel calls ours directly, with no other handler between; `has_runtime` that a handler may be a language runtime's.
pub(super) fn after_report(next: Disposition, origin: Origin, kernel_calls_us: bool, has_runtime: bool) -> AfterReport {
    match course(next, origin) {
        Course::End if kernel_calls_us => AfterReport::DefaultAction,
        Course::CallHandler if kernel_calls_us && !has_runtime => AfterReport::Handler,
        _ => AfterReport::Anything,
    }
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
    fn all_threads_go_on_unless_what_comes_next_needs_none_of_them() {
        for origin in ORIGINS {
            for next in DISPOSITIONS {
                for has_runtime in [false, true] {
                    let after = |kernel_calls_us| after_report(next, origin, kernel_calls_us, has_runtime);
                    assert_eq!(after(false), AfterReport::Anything, "a handler in front of ours runs on");
                    let raised = origin == Origin::Raised;
                    let expected = match next {
                        Disposition::Default => AfterReport::DefaultAction,
                        Disposition::Ignored if raised => AfterReport::DefaultAction,
                        Disposition::Handler if !has_runtime => AfterReport::Handler,
                        Disposition::Ignored | Disposition::Handler => AfterReport::Anything,
                    };
                    assert_eq!(after(true), expected, "{next:?}, {origin:?}, {has_runtime}");
                }
            }
        }
    }
}
