//! Names, source lines and unwind rules, from the files that the process had loaded.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use addr2line::Loader;
use minidump::{CodeView, MinidumpModule, MinidumpModuleList, Module};
use minidump_unwind::debuginfo::DebugInfoSymbolProvider;
use minidump_unwind::{FileError, FileKind, FillSymbolError, FrameSymbolizer, FrameWalker, SymbolProvider};
use object::{Object, ObjectSegment};

use super::dump::Dump;

/// The page size that x86-64 and, at least, aarch64 segments are aligned to.
const PAGE: u64 = 4096;

/// The files of a dump's modules. A module's base address is its key.
pub struct Symbols {
    files: HashMap<u64, Binary>,
    /// Why a module has no file here.
    missing: HashMap<u64, String>,
    /// Where the process could run code; empty where the dump does not say.
    code: Vec<Range<u64>>,
    unwinder: DebugInfoSymbolProvider,
    stuck: AtomicBool,
}

/// An executable or shared library.
struct Binary {
    /// What the loader added to the addresses in the file.
    bias: u64,
    debug: Mutex<Loader>,
}

impl Symbols {
    /// Opens the files that are on this machine, and the same as in the process that crashed.
    pub fn load(dump: &Dump<'_>) -> Self {
        let (mut files, mut missing, mut biased) = (HashMap::new(), HashMap::new(), Vec::new());
        for module in dump.modules.iter() {
            match Binary::open(module) {
                Ok(file) => {
                    // The unwinder takes a module's base for its bias, which it is not where the file's own addresses
                    // do not begin at 0: in an executable with a fixed address.
                    let mut from_bias = module.clone();
                    from_bias.raw.base_of_image = file.bias;
                    let size = module.size() + (module.base_address() - file.bias);
                    from_bias.raw.size_of_image = size.try_into().unwrap_or(u32::MAX);
                    biased.push(from_bias);
                    files.insert(module.base_address(), file);
                }
                Err(why) => {
                    missing.insert(module.base_address(), why);
                }
            }
        }
        let biased = MinidumpModuleList::from_modules(biased);
        let unwinder = pollster::block_on(DebugInfoSymbolProvider::new(&dump.system, &biased));
        let code = dump.maps.iter().filter(|mapping| mapping.is_executable());
        let code = code.map(|mapping| mapping.map.address.0..mapping.map.address.1).collect();
        Self { files, missing, code, unwinder, stuck: AtomicBool::new(false) }
    }

    /// Why there are no names for `module`, if there are none.
    pub fn missing(&self, module: &MinidumpModule) -> Option<&str> {
        self.missing.get(&module.base_address()).map(String::as_str)
    }

    /// Whether the frame asked about last has unwind rules that could not be followed. At a thread's start they can:
    /// they say that there is no caller.
    pub fn stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }
}

impl Binary {
    fn open(module: &MinidumpModule) -> Result<Self, String> {
        let path = Path::new(&module.name);
        let file = File::open(path).map_err(|error| error.to_string())?;
        let content = object::ReadCache::new(file);
        let object = object::File::parse(&content).map_err(|error| error.to_string())?;
        let id = object.build_id().ok().flatten();
        // A file without a build id is taken on trust.
        if let (Some(id), Some(CodeView::Elf(recorded))) = (id, &module.codeview_info)
            && id != recorded.build_id
        {
            return Err("it has changed since the crash: its build id is another one".to_owned());
        }
        let start = object.segments().map(|segment| segment.address()).min().unwrap_or(0) & !(PAGE - 1);
        let bias = module.base_address().checked_sub(start).ok_or("it cannot have been loaded where the dump says")?;
        let debug = id.and_then(debug_file).and_then(|path| Loader::new(path).ok());
        let debug = debug.map_or_else(|| Loader::new(path), Ok).map_err(|error| error.to_string())?;
        Ok(Self { bias, debug: Mutex::new(debug) })
    }

    fn describe(&self, frame: &mut (dyn FrameSymbolizer + Send)) -> Result<(), FillSymbolError> {
        let address = frame.get_instruction().wrapping_sub(self.bias);
        let debug = self.debug.lock().map_err(|_| FillSymbolError {})?;
        // From the innermost inlined function to the one that all are inlined into.
        let mut functions = Vec::new();
        if let Ok(mut found) = debug.find_frames(address) {
            while let Ok(Some(function)) = found.next() {
                functions.push(function);
            }
        }
        let name_of = |function: &addr2line::Frame<'_, _>| {
            let name = function.function.as_ref()?;
            name.raw_name().ok().map(|name| demangle(&name).unwrap_or_else(|| name.into_owned()))
        };
        let symbol = debug.find_symbol_info(address);
        let symbol_name = symbol.as_ref().map(|symbol| symbol.name());
        let outermost = functions.pop();
        // Only the linker's name says in which class or namespace a function of local or anonymous type is.
        let name = symbol_name.and_then(demangle).or_else(|| outermost.as_ref().and_then(name_of));
        let name = name.or_else(|| symbol_name.map(str::to_owned)).ok_or(FillSymbolError {})?;
        let start = symbol.map_or(address, |symbol| symbol.address()).wrapping_add(self.bias);
        frame.set_function(&name, start, 0);
        let location = outermost.and_then(|function| function.location);
        if let Some((file, line)) = location.and_then(|location| location.file.zip(location.line)) {
            frame.set_source_file(file, line, start);
        }
        for inlined in functions.iter().rev() {
            let location = inlined.location.as_ref();
            let name = name_of(inlined).unwrap_or_default();
            frame.add_inline_frame(&name, location.and_then(|at| at.file), location.and_then(|at| at.line));
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl SymbolProvider for Symbols {
    async fn fill_symbol(
        &self,
        module: &(dyn Module + Sync),
        frame: &mut (dyn FrameSymbolizer + Send),
    ) -> Result<(), FillSymbolError> {
        // Success without a name tells the stack scan that this is no return address; failure, that it may be one.
        let address = frame.get_instruction();
        if !self.code.is_empty() && !self.code.iter().any(|range| range.contains(&address)) {
            return Ok(());
        }
        self.files.get(&module.base_address()).ok_or(FillSymbolError {})?.describe(frame)
    }

    async fn walk_frame(&self, module: &(dyn Module + Sync), walker: &mut (dyn FrameWalker + Send)) -> Option<()> {
        self.stuck.store(false, Ordering::Relaxed);
        // For a module without a file the unwinder would follow frame pointers and call that a rule.
        self.files.get(&module.base_address())?;
        let walked = self.unwinder.walk_frame(module, walker).await;
        self.stuck.store(walked.is_none(), Ordering::Relaxed);
        walked
    }

    async fn get_file_path(&self, module: &(dyn Module + Sync), kind: FileKind) -> Result<PathBuf, FileError> {
        self.unwinder.get_file_path(module, kind).await
    }
}

/// The separate debug file of a stripped one, where a package has installed it.
fn debug_file(build_id: &[u8]) -> Option<PathBuf> {
    let hex: String = build_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let (directory, name) = hex.split_at_checked(2)?;
    let path = PathBuf::from(format!("/usr/lib/debug/.build-id/{directory}/{name}.debug"));
    path.exists().then_some(path)
}

/// A C++ or Rust name as in the source, without its parameters and hash; None for the name of another language.
fn demangle(name: &str) -> Option<String> {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return Some(format!("{rust:#}"));
    }
    // Without this beginning it would be taken for a type: the C function `i` for `int`.
    let name = Some(name).filter(|name| name.starts_with("_Z"))?;
    let options = cpp_demangle::DemangleOptions::new().no_params().no_return_type();
    // What the compiler has split off from a function is part of it still: `.cold`, `.constprop.0`.
    let (name, _) = name.split_once('.').unwrap_or((name, ""));
    cpp_demangle::Symbol::new(name).ok()?.demangle_with_options(&options).ok()
}
