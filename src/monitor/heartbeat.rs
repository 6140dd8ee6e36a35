//! The watch over heartbeats: a host that gives none within its timeout is dumped as hung, once, and continues.
//!
//! The monitor reads the host's stamp four times within the timeout, and adds up the time in which it did not change. Time in
//! which the monitor did not run or the host was stopped does not count.

use std::time::{Duration, Instant};

use crate::page::layout::HEARTBEAT_MIN;

/// How often the stamp is read within the timeout.
const LOOKS: u32 = 4;

/// The heartbeat of one host.
pub(super) struct Heartbeat {
    pub within: Duration,
    /// The host's last stamp, which is only compared.
    stamp: Duration,
    pub next_look: Instant,
    /// How long the stamp has been the same, as far as it counts.
    silent: Duration,
    was_stopped: bool,
    /// The host has been dumped for this silence.
    dumped: bool,
}

impl Heartbeat {
    /// For a timeout and the stamp now; None where the timeout is too short.
    pub(super) fn new((within, stamp): (Duration, Duration), now: Instant) -> Option<Self> {
        let next_look = now + within / LOOKS;
        let heartbeat = Self { within, stamp, next_look, silent: Duration::ZERO, was_stopped: false, dumped: false };
        (within >= HEARTBEAT_MIN).then_some(heartbeat)
    }

    /// Takes a look that is due; says whether the host is to be dumped.
    pub(super) fn look(&mut self, stamp: Duration, is_stopped: bool, now: Instant) -> bool {
        let step = self.within / LOOKS;
        let is_late = now.saturating_duration_since(self.next_look) > step;
        let counts = !(is_late || is_stopped || self.was_stopped);
        self.was_stopped = is_stopped;
        self.next_look = now + step;
        if stamp != self.stamp {
            (self.stamp, self.silent, self.dumped) = (stamp, Duration::ZERO, false);
        } else if counts {
            self.silent += step;
        }
        self.silent >= self.within && !std::mem::replace(&mut self.dumped, self.silent >= self.within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_secs(1);

    struct Watched {
        heartbeat: Heartbeat,
        now: Instant,
    }

    impl Watched {
        fn new() -> Self {
            let now = Instant::now();
            Self { heartbeat: Heartbeat::new((WITHIN, Duration::ZERO), now).unwrap(), now }
        }

        /// Whether the host is dumped at one of as many looks, each so long after the one before.
        fn looks(&mut self, count: u32, stamp: u64, is_stopped: bool, apart: Duration) -> u32 {
            let mut dumped = 0;
            for _ in 0..count {
                self.now += apart;
                dumped += u32::from(self.heartbeat.look(Duration::from_secs(stamp), is_stopped, self.now));
            }
            dumped
        }
    }

    const STEP: Duration = Duration::from_millis(250);

    #[test]
    fn a_silent_host_is_dumped_once_for_each_silence() {
        let mut watched = Watched::new();
        assert_eq!(watched.looks(3, 0, false, STEP), 0);
        assert_eq!(watched.looks(40, 0, false, STEP), 1);
        assert_eq!(watched.looks(4, 1, false, STEP), 0);
        assert_eq!(watched.looks(40, 1, false, STEP), 1);
    }

    #[test]
    fn a_host_that_was_stopped_is_not_silent() {
        let mut watched = Watched::new();
        assert_eq!(watched.looks(100, 0, true, STEP), 0);
        assert_eq!(watched.looks(4, 0, false, STEP), 0, "it has had less than the promised time since");
        assert_eq!(watched.looks(1, 0, false, STEP), 1);
    }

    #[test]
    fn time_in_which_the_monitor_did_not_run_does_not_count() {
        let mut watched = Watched::new();
        assert_eq!(watched.looks(100, 0, false, 3 * STEP), 0);
        assert_eq!(watched.looks(4, 0, false, STEP), 1);
    }
}
