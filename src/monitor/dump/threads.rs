//! The thread list: every thread's registers and a bounded piece of its stack.

use minidump_writer::mem_writer::MemoryWriter;
use minidump_writer::minidump_cpu::RawContextCPU;
use minidump_writer::minidump_format::{MDLocationDescriptor, MDMemoryDescriptor, MDRawThread, MDStreamType};
use minidump_writer::thread_info::ThreadInfo;

use super::builder::{Builder, Outcome};
use super::maps::Maps;
use super::target::{Target, Thread};
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
        threads.push(if thread.tid == builder.crashing_thread() {
            crashing(builder, target, maps, thread.registers.as_ref())?
        } else {
            other(builder, target, maps, thread, limit)?
        });
    }
    if target.threads.iter().all(|thread| thread.tid != builder.crashing_thread()) {
        threads.push(crashing(builder, target, maps, None)?);
    }
    builder.set_thread_names(target.threads.iter().map(|thread| (thread.tid, thread.name.clone())));
    builder.list(MDStreamType::ThreadListStream, threads)
}

/// The crashing thread as it was at the crash. Where it is `now`, in the handler, would help nobody.
fn crashing(
    builder: &mut Builder,
    target: &Target,
    maps: &Maps,
    now: Option<&ThreadInfo>,
) -> Result<MDRawThread, String> {
    let context = builder.crash_context();
    let (instruction, stack_pointer) = (context.get_instruction_pointer(), context.get_stack_pointer());
    let mut registers = RawContextCPU::default();
    context.fill_cpu_context(&mut registers);
    let stack =
        Stack { pointer: stack_pointer as u64, limit: CRASHING_STACK_MAX, own_data: now.and_then(thread_pointer) };
    let stack = stack.write(builder, target, maps);
    if let Some((start, end)) = maps.around(instruction as u64, AROUND_INSTRUCTION) {
        let _ = builder.memory(target, start, end);
    }
    let thread_context = put(builder, registers)?;
    builder.set_crashing_registers(thread_context);
    Ok(raw(builder.crashing_thread(), stack, thread_context))
}

fn other(
    builder: &mut Builder,
    target: &Target,
    maps: &Maps,
    thread: &Thread,
    limit: u64,
) -> Result<MDRawThread, String> {
    let Some(info) = &thread.registers else {
        return Ok(raw(thread.tid, MDMemoryDescriptor::default(), MDLocationDescriptor::default()));
    };
    let stack = Stack { pointer: info.stack_pointer as u64, limit, own_data: thread_pointer(info) };
    let stack = stack.write(builder, target, maps);
    let mut registers = RawContextCPU::default();
    info.fill_cpu_context(&mut registers);
    let thread_context = put(builder, registers)?;
    Ok(raw(thread.tid, stack, thread_context))
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

fn put(builder: &mut Builder, registers: RawContextCPU) -> Result<MDLocationDescriptor, String> {
    let written = MemoryWriter::alloc_with_val(builder.buffer(), registers);
    Ok(written.map_err(|error| error.to_string())?.location())
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
        builder.memory(target, start, end).unwrap_or_else(|error| {
            builder.note(format!("stack at {start:#x}: {error}"));
            none
        })
    }
}
