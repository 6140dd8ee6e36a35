//! Medians in aligned columns.

/// Measurements of the same thing, sorted.
#[derive(Default)]
pub struct Samples(Vec<f64>);

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(samples: I) -> Self {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self(sorted)
    }
}

impl Samples {
    pub fn of<T>(outcomes: &[T], measure: impl Fn(&T) -> Option<f64>) -> Self {
        outcomes.iter().filter_map(measure).collect()
    }

    pub fn median(&self) -> Option<f64> {
        let middle = self.0.len() / 2;
        let upper = self.0.get(middle)?;
        Some(if self.0.len() % 2 == 1 { *upper } else { (self.0[middle - 1] + upper) / 2.0 })
    }
}

impl std::fmt::Display for Samples {
    /// The median; where it is one of many, smallest and largest too.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match (self.median(), self.0.as_slice()) {
            (Some(median), [_]) => number(median),
            (Some(median), [min, .., max]) => format!("{} ({}-{})", number(median), number(*min), number(*max)),
            _ => "-".to_owned(),
        };
        f.pad(&text)
    }
}

/// With three significant digits.
fn number(value: f64) -> String {
    match value {
        _ if value.fract() == 0.0 => format!("{value}"),
        _ if value < 1.0 => format!("{value:.3}"),
        _ if value < 10.0 => format!("{value:.2}"),
        _ if value < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// What we want to reach.
#[derive(Clone, Copy)]
pub enum Goal {
    None,
    /// Our median is at most that many times minidumper's.
    Ratio(f64),
    /// Our median is at most that.
    AtMost(f64),
    /// Our median is at most so much more than what it is without a library.
    OverNone(f64),
    /// Our median is at least that.
    AtLeast(f64),
}

/// One line: ours, minidumper's, and what happens without either.
pub struct Row<'a> {
    name: &'a str,
    samples: [Samples; 3],
    goal: Goal,
}

impl<'a> Row<'a> {
    pub fn new(name: &'a str, samples: [Samples; 3], goal: Goal) -> Self {
        Self { name, samples, goal }
    }

    /// What there is nothing to compare with where there is no library.
    pub fn of_two(name: &'a str, [ours, theirs]: [Samples; 2], goal: Goal) -> Self {
        Self::new(name, [ours, theirs, Samples::default()], goal)
    }

    pub fn print(&self) {
        let [ours, theirs, nobodys] = &self.samples;
        let our_median = ours.median();
        let ratio = our_median.zip(theirs.median()).map(|(ours, theirs)| ours / theirs);
        let ratio_text = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let (goal, reached) = match self.goal {
            Goal::None => (String::new(), ""),
            Goal::Ratio(most) => (format!("ratio <= {most:.2}"), verdict(ratio.is_some_and(|ratio| ratio <= most))),
            Goal::OverNone(more) => {
                let over = our_median.zip(nobodys.median()).map(|(ours, none)| ours - none);
                (format!("none + {}", number(more)), verdict(over.is_some_and(|over| over <= more)))
            }
            Goal::AtMost(most) => (format!("<= {}", number(most)), verdict(our_median.is_some_and(|our| our <= most))),
            Goal::AtLeast(least) => {
                (format!(">= {}", number(least)), verdict(our_median.is_some_and(|our| our >= least)))
            }
        };
        let line =
            format!("  {:<31}{ours:>22}{theirs:>22}{ratio_text:>8}{nobodys:>22}   {goal:<14}{reached}", self.name);
        println!("{}", line.trim_end());
    }
}

fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "MISSED" }
}

pub fn heading(rounds: usize) {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    println!("\nLinux {} {}, {processors} processors.", kernel.trim(), std::env::consts::ARCH);
    println!("Medians of {rounds} rounds (smallest-largest); ratio is crash-monitor / minidumper.\n");
    println!("  {:<31}{:>22}{:>22}{:>8}{:>22}   goal", "", "crash-monitor", "minidumper", "ratio", "no library");
}

pub fn section(title: &str) {
    println!("\n{title}");
}
