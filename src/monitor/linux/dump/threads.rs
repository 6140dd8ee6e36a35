//! The thread list: every thread's registers and a bounded piece of its stack.

use minidump_writer::mem_writer::MemoryWriter;
use minidump_writer::minidump_cpu::RawContextCPU;
use minidump_writer::minidump_format::{MDLocationDescriptor, MDMemoryDescriptor, MDRawThread, MDStreamType};
use minidump_writer::thread_info::ThreadInfo;

use super::builder::{Builder, Outcome};
use super::maps::Maps;
use super::target::Target;
use crate::sys::ptrace::thread_pointer;

/// Most stack bytes of the crashing thread.
const CRASHING_STACK_MAX: u64 = 256 * 1024;
/// Most stack bytes of every other thread; less where there are many, so that all together stay below
/// [`STACKS_TOTAL`], but never less than [`STACK_MIN`].
const STACK_MAX: u64 = 64 * 1024;
const STACK_MIN: u64 = 4 * 1024;
const STACKS_TOTAL: u64 = 1024 * 1024;
/// A dump of this many bytes gets no further stacks.
const DUMP_MAX: u64 = 32 * 1024 * 1024;
/// Below its stack pointer a leaf function may use this much (System V ABI for x86-64, 3.2.2, "red zone").
const RED_ZONE: u64 = if cfg!(target_arch = "x86_64") { 128 } else { 0 };
/// Bytes kept before and after the crashing instruction.
const AROUND_INSTRUCTION: u64 = 128;

pub(super) fn write(builder: &mut Builder, target: &Target, maps: &Maps) -> Outcome {
    let others = target.threads.len().saturating_sub(1).max(1) as u64;
    let limit = (STACKS_TOTAL / others).clamp(STACK_MIN, STACK_MAX);
    let mut threads: Vec<MDRawThread> = Vec::with_capacity(target.threads.len());
    for thread in &target.threads {
        let blamed = thread.tid == builder.crashing_thread();
        let state = State::of(builder, blamed, thread.registers.as_ref());
        threads.push(one(builder, target, maps, thread.tid, state, if blamed { CRASHING_STACK_MAX } else { limit })?);
    }
    if target.threads.iter().all(|thread| thread.tid != builder.crashing_thread()) {
        let state = State::of(builder, true, None);
        threads.push(one(builder, target, maps, builder.crashing_thread(), state, CRASHING_STACK_MAX)?);
    }
    builder.list(MDStreamType::ThreadListStream, threads)
}

/// Where a thread is, or was at the crash.
struct State {
    registers: RawContextCPU,
    instruction: usize,
    stack_pointer: usize,
    own_data: Option<u64>,
}

impl State {
    /// The crashing thread's is that of the crash: where it is now, in the handler, would help nobody. None for a thread
    /// that could not be stopped.
    fn of(builder: &Builder, blamed: bool, now: Option<&ThreadInfo>) -> Option<Self> {
        let mut registers = RawContextCPU::default();
        let own_data = now.and_then(thread_pointer);
        if let Some(crash) = builder.crash_context().filter(|_| blamed) {
            crash.fill_cpu_context(&mut registers);
            let (instruction, stack_pointer) = (crash.get_instruction_pointer(), crash.get_stack_pointer());
            return Some(Self { registers, instruction, stack_pointer, own_data });
        }
        let now = now?;
        now.fill_cpu_context(&mut registers);
        let (instruction, stack_pointer) = (now.get_instruction_pointer(), now.stack_pointer);
        Some(Self { registers, instruction, stack_pointer, own_data })
    }
}

fn one(
    builder: &mut Builder,
    target: &Target,
    maps: &Maps,
    tid: i32,
    state: Option<State>,
    limit: u64,
) -> Result<MDRawThread, String> {
    let Some(State { registers, instruction, stack_pointer, own_data }) = state else {
        return Ok(raw(tid, MDMemoryDescriptor::default(), MDLocationDescriptor::default()));
    };
    let stack = Stack { pointer: stack_pointer as u64, limit, own_data }.write(builder, target, maps);
    let registers = MemoryWriter::alloc_with_val(builder.buffer(), registers).map_err(|error| error.to_string())?;
    if tid == builder.crashing_thread() {
        if let Some((start, end)) = maps.around(instruction as u64, AROUND_INSTRUCTION) {
            // Without these bytes a reader takes them from the module's file.
            let _ = builder.memory(target, start, end);
        }
        builder.set_crashing_registers(registers.location(), instruction);
    }
    Ok(raw(tid, stack, registers.location()))
}

fn raw(tid: i32, stack: MDMemoryDescriptor, thread_context: MDLocationDescriptor) -> MDRawThread {
    MDRawThread {
        thread_id: tid as u32,
        suspend_count: 0,
        priority_class: 0,
        priority: 0,
        teb: 0,
        stack,
        thread_context,
    }
}

/// Which piece of a stack goes into the dump.
struct Stack {
    pointer: u64,
    limit: u64,
    /// Where the thread's own data begins, which is in the same mapping and no stack.
    own_data: Option<u64>,
}

impl Stack {
    /// Writes the stack from the stack pointer on; an empty descriptor where there is none to be had.
    fn write(self, builder: &mut Builder, target: &Target, maps: &Maps) -> MDMemoryDescriptor {
        let none = MDMemoryDescriptor { start_of_memory_range: self.pointer, ..Default::default() };
        if builder.buffer().position() > DUMP_MAX {
            builder.note(format!("stack at {:#x}: left out, the dump has {DUMP_MAX} bytes already", self.pointer));
            return none;
        }
        let bottom = self.pointer.saturating_sub(RED_ZONE);
        let Some((start, end)) = maps.stack(bottom, self.limit, [self.own_data, target.arguments]) else { return none };
        builder.stack(target, self.pointer, start, end).unwrap_or_else(|error| {
            builder.note(format!("stack at {start:#x}: {error}"));
            none
        })
    }
}
