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

    fn median(&self) -> Option<f64> {
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
        0.0 => "0".to_owned(),
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
    Ours(f64),
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

    pub fn print(&self) {
        let [ours, theirs, nobodys] = &self.samples;
        let (our_median, their_median) = (ours.median(), theirs.median());
        let ratio = our_median.zip(their_median).map(|(ours, theirs)| ours / theirs);
        let ratio_text = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let (goal, reached) = match self.goal {
            Goal::None => (String::new(), ""),
            Goal::Ratio(most) => (format!("ratio <= {most:.2}"), verdict(ratio, most)),
            Goal::Ours(most) => (format!("<= {}", number(most)), verdict(our_median, most)),
        };
        let line =
            format!("  {:<31}{ours:>22}{theirs:>22}{ratio_text:>8}{nobodys:>22}   {goal:<14}{reached}", self.name);
        println!("{}", line.trim_end());
    }
}

fn verdict(value: Option<f64>, most: f64) -> &'static str {
    if value.is_some_and(|value| value <= most) { "reached" } else { "MISSED" }
}

pub fn heading(rounds: usize) {
    println!("\nMedians of {rounds} rounds (smallest-largest); ratio is crash-monitor / minidumper.\n");
    println!("  {:<31}{:>22}{:>22}{:>8}{:>22}   goal", "", "crash-monitor", "minidumper", "ratio", "no library");
}

pub fn section(title: &str) {
    println!("\n{title}");
}
