//! docs/design.md says which functions a signal handler may call; the header's comments say the same.

use std::collections::BTreeSet;

const HEADER: &str = include_str!("../include/crash_monitor.h");
const DOCUMENT: &str = include_str!("../docs/design.md");

/// The functions of the header whose comments say "Signal handlers: yes".
fn of_header() -> BTreeSet<&'static str> {
    let mut functions = BTreeSet::new();
    for (end, _) in HEADER.match_indices("Signal handlers: yes") {
        let (_, declaration) = HEADER[end..].split_once("*/").expect("a comment has an end");
        let (before, _) = declaration.split_once('(').expect("a function follows its comment");
        functions.insert(before.split(|c: char| !c.is_alphanumeric() && c != '_').next_back().unwrap());
    }
    functions
}

/// The functions in the paragraph of the document that begins so.
fn of_paragraph(begin: &str) -> BTreeSet<&'static str> {
    let (_, rest) = DOCUMENT.split_once(begin).unwrap_or_else(|| panic!("no paragraph begins with {begin:?}"));
    let (_, list) = rest.split_once(": `").expect("a list in the first sentence");
    let list = list.split_once('.').map_or(list, |(sentence, _)| sentence);
    list.split('`').filter(|name| name.starts_with("cm_")).collect()
}

#[test]
fn functions_for_signal_handlers_are_those_of_the_header() {
    let allowed = of_paragraph("**C API.**");
    assert_eq!(allowed, of_header());
    let refused = of_paragraph("No signal handler may call these");
    assert!(allowed.is_disjoint(&refused));
    let declared = HEADER.lines().filter(|line| line.contains("CM_API")).filter_map(|line| {
        let (before, _) = line.split_once('(')?;
        before.split(|c: char| !c.is_alphanumeric() && c != '_').next_back().filter(|name| name.starts_with("cm_"))
    });
    for function in declared {
        let family = ["cm_config_", "cm_report_"].iter().any(|prefix| function.starts_with(prefix));
        let listed = allowed.contains(function) || refused.contains(function);
        assert!(listed != family, "{function} has one place in docs/design.md");
    }
}
