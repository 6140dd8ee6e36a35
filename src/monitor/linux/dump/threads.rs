//! The thread list: every thread's registers and a bounded piece of its stack.

use minidump_writer::CrashContextExt;
use minidump_writer::minidump_cpu::RawContextCPU;
use minidump_writer::minidump_format::{
    MDLocationDescriptor, MDMemoryDescriptor, MDRawThread, MDRawThreadName, MDStreamType,
};
use minidump_writer::thread_info::ThreadInfo;

use super::maps::Maps;
use super::process::StoppedProcess;
use super::sanitize::sanitize;
use super::tracer::StoppedThread;
use super::writer::DumpWriter;
use crate::sys::ptrace::{Piece, thread_pointer};

/// Most stack bytes of the crashing thread; and where they end inside a frame, without which there would be no callers.
const CRASHING_STACK_MAX: u64 = 256 * 1024;
const LARGE_FRAME_STACK_MAX: u64 = 1024 * 1024;
/// Most stack bytes of every other thread; less where there are many, so that all together stay below
/// [`STACKS_TOTAL`], but never less than [`STACK_MIN`], of which all limits are multiples: by that readers know a stack that was
/// cut.
const STACK_MAX: u64 = 64 * 1024;
const STACK_MIN: u64 = 4 * 1024;
const STACKS_TOTAL: u64 = 1024 * 1024;
/// A dump of this many bytes gets no further stacks.
const DUMP_MAX: u64 = 32 * 1024 * 1024;
/// Below its stack pointer a leaf function may use this much (System V ABI for x86-64, 3.2.2, "red zone").
const RED_ZONE: u64 = if cfg!(target_arch = "x86_64") { 128 } else { 0 };
/// Bytes kept before and after the crashing instruction.
const AROUND_INSTRUCTION: u64 = 128;
/// What a thread takes besides its stack, and what the other streams usually take: reserved at once.
const BYTES_PER_THREAD: usize = size_of::<RawContextCPU>() + 128;
const BYTES_OF_OTHER_STREAMS: usize = 128 * 1024;

/// Where the crashing thread was: what the exception stream points to.
#[derive(Default)]
pub(super) struct CrashSite {
    pub registers: MDLocationDescriptor,
    pub instruction: u64,
}

/// The threads to be written, and what decides about their stacks.
pub(super) struct Threads<'a> {
    pub process: &'a StoppedProcess,
    pub stopped: &'a [StoppedThread],
    pub crash: Option<&'a CrashContextExt>,
    pub maps: &'a Maps,
    pub sanitize: bool,
}

impl Threads<'_> {
    pub(super) fn write(&self, writer: &mut DumpWriter) -> CrashSite {
        let blamed = self.process.tid;
        let mut states: Vec<_> =
            self.stopped.iter().map(|thread| (thread.tid, self.state(thread.tid, thread.registers.as_ref()))).collect();
        if states.iter().all(|(tid, _)| *tid != blamed) {
            states.push((blamed, self.state(blamed, None)));
        }
        let stacks = self.write_stacks(writer, &states);
        let mut site = CrashSite::default();
        let mut threads = Vec::with_capacity(states.len());
        for ((tid, state), stack) in states.iter().zip(stacks) {
            let registers = state.as_ref().map(|state| writer.record(state.context())).unwrap_or_default();
            if let Some(state) = state.as_ref().filter(|_| *tid == blamed) {
                site = CrashSite { registers, instruction: state.instruction };
            }
            threads.push(MDRawThread {
                thread_id: *tid as u32,
                suspend_count: 0,
                priority_class: 0,
                priority: 0,
                teb: 0,
                stack,
                thread_context: registers,
            });
        }
        let location = writer.list(threads);
        writer.add_stream(MDStreamType::ThreadListStream, location);
        if let Some((start, end)) = self.maps.around(site.instruction, AROUND_INSTRUCTION) {
            // Without these bytes a reader takes them from the module's file.
            let _ = write_memory(writer, self.process, start, end);
        }
        site
    }

    /// The state to write. For the crashing thread it is that of the crash, because now it is in the handler. None for a thread
    /// that could not be stopped.
    fn state<'a>(&'a self, tid: i32, now: Option<&'a ThreadInfo>) -> Option<ThreadState<'a>> {
        let thread_pointer = now.and_then(thread_pointer);
        match self.crash.filter(|_| tid == self.process.tid) {
            Some(crash) => Some(ThreadState {
                registers: Registers::OfCrash(crash),
                instruction: crash.get_instruction_pointer() as u64,
                stack_pointer: crash.get_stack_pointer() as u64,
                thread_pointer,
            }),
            None => now.map(|now| ThreadState {
                // Those of the others were not read.
                registers: Registers::Now { info: now, floating: tid == self.process.tid },
                instruction: now.get_instruction_pointer() as u64,
                stack_pointer: now.stack_pointer as u64,
                thread_pointer,
            }),
        }
    }

    /// Most bytes of the crashing thread's stack above `bottom`. More than usual where the usual piece ends inside a large frame:
    /// its upper half then has no address of code. Only of what is a stack by what lies above it: a stack pointer may point into
    /// a heap.
    fn crashing_stack_max(&self, bottom: u64, ceilings: [Option<u64>; 2]) -> u64 {
        const HALF: u64 = CRASHING_STACK_MAX / 2;
        let whole = self.maps.stack(bottom, u64::MAX, ceilings);
        let large = whole.filter(|(start, end)| end - start > CRASHING_STACK_MAX && ceilings.contains(&Some(*end)));
        let upper_half = large.and_then(|(start, _)| self.process.read_memory(start + HALF, HALF as usize).ok());
        let is_code = |word: &[u8]| self.maps.code_at(word.try_into().map_or(0, u64::from_le_bytes)).is_some();
        match upper_half {
            Some(bytes) if !bytes.chunks_exact(size_of::<u64>()).any(is_code) => LARGE_FRAME_STACK_MAX,
            _ => CRASHING_STACK_MAX,
        }
    }

    /// Copies all stacks into the dump with few system calls. Gives an empty descriptor for a stack that cannot be read.
    fn write_stacks(
        &self,
        writer: &mut DumpWriter,
        states: &[(i32, Option<ThreadState<'_>>)],
    ) -> Vec<MDMemoryDescriptor> {
        let arguments = self.process.arguments;
        let others = self.stopped.len().saturating_sub(1).max(1) as u64;
        let share = STACKS_TOTAL / others / STACK_MIN * STACK_MIN;
        let limit = share.clamp(STACK_MIN, STACK_MAX);
        let mut room = DUMP_MAX;
        let mut pieces: Vec<Option<Piece>> = Vec::with_capacity(states.len());
        for (tid, state) in states {
            let Some(ThreadState { stack_pointer, thread_pointer, .. }) = state else {
                pieces.push(None);
                continue;
            };
            let (bottom, ceilings) = (stack_pointer.saturating_sub(RED_ZONE), [*thread_pointer, arguments]);
            let is_crashing = *tid == self.process.tid;
            let limit = if is_crashing { self.crashing_stack_max(bottom, ceilings) } else { limit };
            let range = self.maps.stack(bottom, limit, ceilings);
            let range = range.filter(|(start, end)| {
                let fits = end - start <= room;
                if !fits {
                    writer
                        .note(format!("stack at {stack_pointer:#x}: left out, the dump has {DUMP_MAX} bytes already"));
                }
                fits
            });
            room -= range.map_or(0, |(start, end)| end - start);
            pieces.push(range.map(|(start, end)| (start, (end - start) as usize)));
        }
        let wanted: Vec<Piece> = pieces.iter().flatten().copied().collect();
        let stacks: usize = wanted.iter().map(|(_, length)| length).sum();
        writer.bytes.reserve_exact(stacks + states.len() * BYTES_PER_THREAD + BYTES_OF_OTHER_STREAMS);
        let mut position = writer.bytes.len();
        let mut found = self.process.append_memory(&wanted, &mut writer.bytes).into_iter();
        let mut descriptors = Vec::with_capacity(states.len());
        for ((_, state), piece) in states.iter().zip(pieces) {
            let stack_pointer = state.as_ref().map_or(0, |state| state.stack_pointer);
            let mut descriptor = MDMemoryDescriptor { start_of_memory_range: stack_pointer, ..Default::default() };
            if let Some((start, length)) = piece {
                match found.next().expect("one answer a piece") {
                    Ok(read) => {
                        if self.sanitize {
                            sanitize(&mut writer.bytes[position..position + read], start, stack_pointer, self.maps);
                        }
                        let location = MDLocationDescriptor { data_size: read as u32, rva: position as u32 };
                        descriptor = writer.add_memory(start, location);
                    }
                    Err(error) => writer.note(format!("stack at {start:#x}: {error}")),
                }
                position += length;
            }
            descriptors.push(descriptor);
        }
        descriptors
    }
}

/// Where a thread is, or was at the crash.
struct ThreadState<'a> {
    registers: Registers<'a>,
    instruction: u64,
    stack_pointer: u64,
    /// Above this, in the stack's mapping, lie thread-local variables and no stack.
    thread_pointer: Option<u64>,
}

enum Registers<'a> {
    OfCrash(&'a CrashContextExt),
    Now { info: &'a ThreadInfo, floating: bool },
}

impl ThreadState<'_> {
    fn context(&self) -> RawContextCPU {
        let mut context = RawContextCPU::default();
        match &self.registers {
            Registers::OfCrash(crash) => crash.fill_cpu_context(&mut context),
            Registers::Now { info, floating } => {
                info.fill_cpu_context(&mut context);
                if !floating {
                    context.context_flags &= !FLOATING_POINT;
                }
            }
        }
        context
    }
}

/// The flag of a context that has floating-point registers.
#[cfg(target_arch = "x86_64")]
const FLOATING_POINT: u32 = 0x8;
#[cfg(target_arch = "aarch64")]
const FLOATING_POINT: u64 = 0x4;

/// Copies memory into the dump.
pub(super) fn write_memory(
    writer: &mut DumpWriter,
    process: &StoppedProcess,
    start: u64,
    end: u64,
) -> std::io::Result<()> {
    let bytes = process.read_memory(start, (end - start) as usize)?;
    let location = writer.raw(&bytes);
    writer.add_memory(start, location);
    Ok(())
}

/// The names of those threads that have one.
pub(super) fn write_names(writer: &mut DumpWriter, threads: &[StoppedThread], names: &[Option<String>]) {
    let mut entries = Vec::with_capacity(threads.len());
    for (thread, name) in threads.iter().zip(names) {
        if let Some(name) = name {
            let thread_name_rva = writer.string(name).into();
            entries.push(MDRawThreadName { thread_id: thread.tid as u32, thread_name_rva });
        }
    }
    let location = writer.list(entries);
    writer.add_stream(MDStreamType::ThreadNamesStream, location);
}
