//! How many dumps a directory keeps: the newest, up to a number of files and of bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::report_files;

/// What a host asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub files: u32,
    pub bytes: u64,
}

/// The files of one crash or death: the dump, its record and its attachments share a name up to the dot.
#[derive(Default)]
struct FileSet {
    files: Vec<PathBuf>,
    bytes: u64,
    newest: Option<SystemTime>,
}

impl FileSet {
    fn has_dump(&self) -> bool {
        self.files.iter().any(|path| path.extension().is_some_and(|extension| extension == "dmp"))
    }
}

/// Removes the oldest reports beyond the limits, but never `newest`, which has just been written, nor what another writer has
/// written since. Gives the removed files.
pub(super) fn prune(directory: &Path, limits: Limits, newest: &str) -> Vec<PathBuf> {
    let mut reports: Vec<(String, FileSet)> = file_sets(directory).into_iter().collect();
    reports.sort_by_key(|(stem, report)| (stem != newest, std::cmp::Reverse(report.newest)));
    let written = reports.first().filter(|(stem, _)| stem == newest).and_then(|(_, report)| report.newest);
    let (mut dumps, mut deaths, mut bytes, mut removed) = (0, 0, 0, Vec::new());
    for (stem, report) in reports {
        // Records without a dump have a limit of their own, so that many deaths do not displace a dump.
        let files = if report.has_dump() { &mut dumps } else { &mut deaths };
        *files += 1;
        bytes += report.bytes;
        let fits = *files <= limits.files && bytes <= limits.bytes;
        // A date in the future comes from a clock that was wrong.
        let since = written.is_some() && (written..=Some(SystemTime::now())).contains(&report.newest);
        if fits || stem == newest || since {
            continue;
        }
        // Another writer may be pruning too.
        removed.extend(report.files.into_iter().filter(|path| std::fs::remove_file(path).is_ok()));
    }
    removed
}

fn file_sets(directory: &Path) -> BTreeMap<String, FileSet> {
    let mut reports: BTreeMap<String, FileSet> = BTreeMap::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let (Some(stem), Ok(file)) = (report_name(&name), entry.metadata()) else { continue };
        let report = reports.entry(stem.to_owned()).or_default();
        report.files.push(entry.path());
        report.bytes += file.len();
        report.newest = report.newest.max(file.modified().ok());
    }
    reports
}

/// What the names of one report's files have in common, the `<app>-<unix time>-<pid>[-<counter>]` before the dot; None for any
/// other file, which is left alone.
fn report_name(name: &str) -> Option<&str> {
    // The application's name may hold dots, and so may that of an attachment.
    name.match_indices('.').map(|(dot, _)| &name[..dot]).find(|stem| report_files::is_stem(stem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn directory_of(files: &[(&str, usize)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (age, (name, size)) in files.iter().enumerate() {
            let path = directory.path().join(name);
            std::fs::write(&path, vec![0; *size]).unwrap();
            let time = SystemTime::now() - Duration::from_secs(1000 * age as u64);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        }
        directory
    }

    fn left(directory: &tempfile::TempDir) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_oldest_go_first_with_all_that_belongs_to_them() {
        let files = [
            ("a-1000000003-1.dmp", 10),
            ("a-1000000003-1.json", 1),
            ("a-1000000002-1.dmp", 10),
            ("a-1000000001-1.dmp", 10),
            ("a-1000000001-1.json", 1),
        ];
        let directory = directory_of(&files);
        prune(directory.path(), Limits { files: 2, bytes: 1000 }, "a-1000000003-1");
        assert_eq!(left(&directory), ["a-1000000002-1.dmp", "a-1000000003-1.dmp", "a-1000000003-1.json"]);
    }

    #[test]
    fn records_without_a_dump_cost_no_dump() {
        let files = [
            ("a-1000000005-1.json", 1),
            ("a-1000000004-1.json", 1),
            ("a-1000000003-1.json", 1),
            ("a-1000000002-1.dmp", 10),
            ("a-1000000001-1.dmp", 10),
        ];
        let directory = directory_of(&files);
        prune(directory.path(), Limits { files: 2, bytes: 1000 }, "a-1000000005-1");
        assert_eq!(
            left(&directory),
            ["a-1000000001-1.dmp", "a-1000000002-1.dmp", "a-1000000004-1.json", "a-1000000005-1.json"]
        );
    }

    #[test]
    fn attachments_belong_to_their_report() {
        assert_eq!(report_name("my.app-1000000017-42.dmp"), Some("my.app-1000000017-42"));
        assert_eq!(report_name("my.app-1000000017-42-2.server.log"), Some("my.app-1000000017-42-2"));
        // Numbers in an application's name are no time.
        assert_eq!(report_name("app-10-2.1-1000000017-42.json"), Some("app-10-2.1-1000000017-42"));
    }

    #[test]
    fn bytes_count_too_but_never_cost_the_newest() {
        let directory =
            directory_of(&[("a-1000000003-1.dmp", 5000), ("a-1000000002-1.dmp", 500), ("a-1000000001-1.dmp", 500)]);
        prune(directory.path(), Limits { files: 10, bytes: 1000 }, "a-1000000003-1");
        assert_eq!(left(&directory), ["a-1000000003-1.dmp"]);
    }

    #[test]
    fn files_of_others_are_left_alone() {
        let others = [
            "core-1.dmp",
            "notes.json",
            "a-1000000001-x.dmp",
            "monitor.sock",
            ".a-1000000001-1.7.tmp",
            "a-1000000001-1",
        ];
        let files: Vec<_> = others.iter().map(|name| (*name, 100)).chain([("a-1000000001-1.dmp", 1)]).collect();
        let directory = directory_of(&files);
        prune(directory.path(), Limits { files: 0, bytes: 0 }, "none");
        let mut expected = others.to_vec();
        expected.sort();
        assert_eq!(left(&directory), expected);
    }

    #[test]
    fn of_dumpers_that_prune_at_once_each_leaves_the_newest() {
        let directory =
            directory_of(&[("a-1000000003-2.dmp", 1), ("a-1000000003-1.dmp", 1), ("a-1000000002-1.dmp", 1)]);
        let limits = Limits { files: 1, bytes: 1000 };
        for own in ["a-1000000003-1", "a-1000000003-2"] {
            prune(directory.path(), limits, own);
        }
        assert_eq!(left(&directory), ["a-1000000003-2.dmp"]);
    }
}
