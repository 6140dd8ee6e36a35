//! Files beside a dump: copied with it, and once more when the crashed host has ended.

mod common;

use std::collections::BTreeMap;
use std::fs::{create_dir, read_to_string, write};

use common::{Host, Sandbox};

#[test]
fn what_a_hosts_own_handler_writes_after_the_dump_is_attached_too() {
    let sandbox = Sandbox::new();
    let host = Host::build("last_words.c", "last_words", &[]);
    let files = sandbox.path().join("files");
    create_dir(&files).unwrap();
    create_dir(files.join("other")).unwrap();
    for (name, text) in [("server.log", "before\n"), ("other/server.log", "other\n"), ("dmp", "no dump\n")] {
        write(files.join(name), text).unwrap();
    }
    write(files.join("empty.txt"), "").unwrap();

    let ended = host.run(&sandbox, &[files.to_str().unwrap()]);
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    // The monitor ends once it has done everything for its last host.
    sandbox.wait_for_monitors_end();
    let dump =
        sandbox.files().into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().matches('.').count() == 1);
    let stem = dump.expect("a dump").file_stem().unwrap().to_str().unwrap().to_owned();

    let attached = |path: &std::path::PathBuf| {
        let name = path.file_name()?.to_str()?.strip_prefix(&format!("{stem}."))?.to_owned();
        (!["dmp", "json"].contains(&name.as_str())).then(|| (name, read_to_string(path).unwrap()))
    };
    let attached: BTreeMap<String, String> = sandbox.files().iter().filter_map(attached).collect();
    let expected = [
        // In the order of their paths: the first of one name has it.
        ("2.server.log", "before\nafter\n"),
        ("server.log", "other\n"),
        ("2.dmp", "no dump\n"),
        ("later.txt", "later\n"),
        ("words.txt", "in memory\n"),
    ];
    let expected: BTreeMap<String, String> = expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    assert_eq!(attached, expected);

    let record = sandbox.only_record();
    let names = record["attachments"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert_eq!(names, expected.keys().map(|name| format!("{stem}.{name}")).collect::<Vec<_>>());
    assert_eq!(record["failed"], serde_json::json!([]), "what was not there at first has come");
    assert_eq!(sandbox.temporary_files(), Vec::<std::path::PathBuf>::new());
}
