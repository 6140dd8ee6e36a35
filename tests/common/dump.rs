//! Dumps, read as any user's tool would.

use std::path::{Path, PathBuf};

use minidump::{
    Minidump, MinidumpException, MinidumpMemoryList, MinidumpModule, MinidumpModuleList, MinidumpSystemInfo,
    MinidumpThread, MinidumpThreadList, MinidumpThreadNames, Module,
};

/// Streams that the crate has no parser for, or none that shows what is in them (minidump_writer and Breakpad's
/// minidump_format.h).
pub const LINUX_PROC_STATUS: u32 = 0x4767_0004;
pub const LINUX_ENVIRON: u32 = 0x4767_0007;
pub const LINUX_MAPS: u32 = 0x4767_0009;
pub const MOZ_SOFT_ERRORS: u32 = 0x4d7a_0004;

/// A dump file and what the tests ask of it.
pub struct Dump {
    pub path: PathBuf,
    pub dump: Minidump<'static, Vec<u8>>,
}

impl Dump {
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let dump = Minidump::read(bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path: path.to_owned(), dump }
    }

    fn exception(&self) -> MinidumpException<'_> {
        self.dump.get_stream().expect("an exception stream")
    }

    pub fn signal(&self) -> i32 {
        self.exception().raw.exception_record.exception_code as i32
    }

    pub fn code(&self) -> i32 {
        self.exception().raw.exception_record.exception_flags as i32
    }

    pub fn address(&self) -> u64 {
        self.exception().raw.exception_record.exception_address
    }

    pub fn crashing_thread(&self) -> u32 {
        self.exception().thread_id
    }

    pub fn thread_count(&self) -> usize {
        self.dump.get_stream::<MinidumpThreadList<'_>>().expect("a thread list").threads.len()
    }

    pub fn thread_names(&self) -> Vec<String> {
        let names = self.dump.get_stream::<MinidumpThreadNames>().expect("thread names");
        let threads = self.dump.get_stream::<MinidumpThreadList<'_>>().expect("a thread list");
        let name = |thread: &MinidumpThread<'_>| names.get_name(thread.raw.thread_id).map(|name| name.into_owned());
        threads.threads.iter().filter_map(name).collect()
    }

    /// Instruction and stack pointer at the crash, from the exception's own context.
    pub fn registers(&self) -> (u64, u64) {
        let system: MinidumpSystemInfo = self.dump.get_stream().expect("system info");
        let exception = self.exception();
        let context = exception.context(&system, None).expect("the crash's registers");
        (context.get_instruction_pointer(), context.get_stack_pointer())
    }

    pub fn modules(&self) -> Vec<MinidumpModule> {
        self.dump.get_stream::<MinidumpModuleList>().expect("a module list").iter().cloned().collect()
    }

    /// The module that the crashing instruction lies in.
    pub fn crashing_module(&self) -> String {
        let (instruction, _) = self.registers();
        let modules: MinidumpModuleList = self.dump.get_stream().expect("a module list");
        modules.module_at_address(instruction).expect("a module at the crash").code_file().into_owned()
    }

    /// The bytes of the crashing thread's stack that the dump holds, as (address, bytes).
    pub fn crashing_stack(&self) -> (u64, Vec<u8>) {
        let threads: MinidumpThreadList<'_> = self.dump.get_stream().expect("a thread list");
        let memory: MinidumpMemoryList<'_> = self.dump.get_stream().unwrap_or_default();
        let thread = threads.get_thread(self.crashing_thread()).expect("the crashing thread in the list");
        let memory = minidump::UnifiedMemoryList::Memory(memory);
        let stack = thread.stack_memory(&memory).expect("the crashing thread's stack");
        (stack.base_address(), stack.bytes().to_vec())
    }

    /// Whether the dump holds a stream of this type.
    pub fn has_stream(&self, kind: u32) -> bool {
        self.dump.get_raw_stream(kind).is_ok()
    }

    /// The bytes of a stream, which must be there.
    pub fn stream(&self, kind: u32) -> Vec<u8> {
        self.dump.get_raw_stream(kind).unwrap_or_else(|error| panic!("stream {kind:#x}: {error}")).to_vec()
    }

    /// Checks what every dump must have of a program that has its C library as a shared one.
    pub fn check_basics(&self, executable: &Path, thread: u32) {
        self.check_crash(executable, thread);
        let modules = self.modules();
        assert!(modules.iter().any(|module| module.code_file().contains("libc.so")), "libc among the modules");
    }

    /// Checks what every dump must have: that the executable is the first module, that the crashing thread is in the
    /// list, and that its stack is there from the stack pointer on.
    pub fn check_crash(&self, executable: &Path, thread: u32) {
        assert_eq!(self.crashing_thread(), thread, "crashing thread");
        let modules = self.modules();
        let first = modules.first().expect("modules").code_file().into_owned();
        assert_eq!(Path::new(&first), executable.canonicalize().unwrap(), "first module");
        let (_, stack_pointer) = self.registers();
        let (base, bytes) = self.crashing_stack();
        assert!(bytes.len() >= 64, "{} stack bytes", bytes.len());
        // The stack pointer of an overflow lies just below the stack's memory.
        let covered = base.saturating_sub(4096)..base + bytes.len() as u64;
        assert!(covered.contains(&stack_pointer), "stack pointer {stack_pointer:#x} in {covered:#x?}");
    }
}
