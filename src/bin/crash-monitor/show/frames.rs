//! A stack as lines: a call each, in columns, with the thousands of a runaway recursion folded into one.

use std::fmt::Write;
use std::path::{Component, Path, PathBuf};

use minidump::Module;
use minidump_unwind::{FrameTrust, StackFrame};

use super::one_line;

/// So many calls are looked at to see which functions call each other, and are printed before a fold.
const WINDOW: usize = 8;
/// Fewer calls than this are not folded.
const FOLDED_MIN: usize = 8;
/// The function column is not wider than this; a longer name moves the rest of its line.
const FUNCTION_MAX: usize = 48;
/// So many parts are shown of the path of a source file that is not there.
const PARTS_MAX: usize = 3;

/// A function's call, as it is printed.
struct Call {
    function: String,
    place: String,
    note: &'static str,
}

enum Line<'a> {
    Call(usize, &'a Call),
    Folded(&'a [Call]),
}

/// The lines of a stack whose innermost frame comes first.
pub fn lines(frames: &[StackFrame]) -> String {
    let directory = std::env::current_dir().unwrap_or_default();
    let calls: Vec<Call> = frames.iter().flat_map(|frame| calls_of(frame, &directory)).collect();
    let lines = fold(&calls);
    let number = calls.len().saturating_sub(1).to_string().len();
    let widths = lines.iter().map(|line| match line {
        Line::Call(_, call) => call.function.chars().count(),
        Line::Folded(_) => 0,
    });
    let width = widths.filter(|width| *width <= FUNCTION_MAX).max().unwrap_or(0);
    let mut text = String::new();
    for line in lines {
        let _ = match line {
            Line::Call(index, Call { function, place, note }) => {
                writeln!(text, "  #{index:<number$}  {function:<width$}  {place}{note}")
            }
            Line::Folded(calls) => writeln!(text, "  ... {} more frames of {}", calls.len(), functions(calls)),
        };
    }
    text
}

/// The call of a frame, and before it those that the compiler put into its function instead of calling them.
fn calls_of(frame: &StackFrame, directory: &Path) -> Vec<Call> {
    let source =
        |file: Option<&String>, line: Option<u32>| Some(format!("{}:{}", one_line(&short(file?, directory)), line?));
    let address = frame.instruction;
    let place = match &frame.module {
        Some(module) => format!("{}+{:#x}", one_line(base_name(&module.name)), address - module.base_address()),
        None => format!("{address:#018x}"),
    };
    let mut calls: Vec<_> = frame
        .inlines
        .iter()
        .map(|inlined| Call {
            function: one_line(&inlined.function_name),
            place: source(inlined.source_file_name.as_ref(), inlined.source_line).unwrap_or_else(|| place.clone()),
            note: "  (inlined)",
        })
        .collect();
    calls.push(Call {
        function: frame.function_name.as_deref().map_or_else(|| "??".to_owned(), one_line),
        place: source(frame.source_file_name.as_ref(), frame.source_line).unwrap_or(place),
        note: match frame.trust {
            FrameTrust::Scan | FrameTrust::CfiScan => "  (a guess, by scanning the stack)",
            FrameTrust::FramePointer => "  (a guess, by the frame pointer)",
            _ if frame.module.is_none() => "  (not in any file)",
            _ => "",
        },
    });
    calls
}

/// Takes together the calls that go on and on among the same few functions.
fn fold(calls: &[Call]) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut index = 0;
    while index < calls.len() {
        let rest = &calls[index..];
        let known = &rest[..WINDOW.min(rest.len())];
        let run = rest.iter().take_while(|call| known.iter().any(|other| other.is_of(call))).count();
        let shown = if run >= WINDOW + FOLDED_MIN { WINDOW } else { 1 };
        lines.extend((index..).zip(&rest[..shown]).map(|(index, call)| Line::Call(index, call)));
        index += shown;
        if shown == WINDOW {
            lines.push(Line::Folded(&rest[WINDOW..run]));
            index += run - WINDOW;
        }
    }
    lines
}

impl Call {
    /// Whether both are calls of one function; of an unknown one only the place tells.
    fn is_of(&self, other: &Self) -> bool {
        self.function == other.function && (self.function != "??" || self.place == other.place)
    }
}

fn functions(calls: &[Call]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for call in calls {
        if !names.contains(&call.function.as_str()) {
            names.push(&call.function);
        }
    }
    names.join(", ")
}

/// A source file as seen from the working directory, without detours through `.` and `..`. Of one that is not on this
/// machine only the end is of use.
fn short(file: &str, directory: &Path) -> String {
    let mut path = PathBuf::new();
    for component in Path::new(file).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if path.file_name().is_some() => {
                path.pop();
            }
            _ => path.push(component),
        }
    }
    let path = path.strip_prefix(directory).unwrap_or(&path);
    let surplus = path.components().count().saturating_sub(PARTS_MAX);
    if surplus == 0 || path.exists() {
        return path.display().to_string();
    }
    format!(".../{}", path.components().skip(surplus).collect::<PathBuf>().display())
}

/// The last part of a path.
fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
