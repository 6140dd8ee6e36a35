//! One thread's stack, from the crash to the thread's start.

use minidump::{MinidumpContext, MinidumpContextValidity, MinidumpRawContext, MinidumpThread, UnifiedMemory};
use minidump_unwind::{CallStack, FrameTrust, StackFrame, SystemInfo, walk_stack};

use super::dump::Dump;
use super::symbols::Symbols;

/// A stack that was cut was cut to a multiple of this. A whole one begins at the stack pointer, which may be anywhere.
const CUT: usize = 4096;

/// What could be found of a thread's calls.
pub struct Stack {
    /// The innermost call first.
    pub frames: Vec<StackFrame>,
    /// How much of the stack the dump holds, in bytes, where that ends the frames.
    pub cut_at: Option<usize>,
}

/// Follows the calls of `thread`; `crashed` says that the exception happened in it.
pub fn walk(dump: &Dump<'_>, thread: &MinidumpThread<'_>, crashed: bool, symbols: &Symbols) -> Stack {
    let context = if crashed { dump.exception.context(&dump.system, None) } else { None };
    let Some(context) = context.or_else(|| thread.context(&dump.system, None)) else {
        return Stack { frames: Vec::new(), cut_at: None };
    };
    let memory = thread.stack_memory(&dump.memory);
    let mut stack = CallStack::with_context(context.clone().into_owned());
    if crashed && let Some(memory) = memory {
        stack.frames.extend(caller_of_nowhere(dump, &context, memory));
    }
    let system = SystemInfo {
        os: dump.system.os,
        os_version: None,
        os_build: None,
        cpu: dump.system.cpu,
        cpu_info: None,
        cpu_microcode_version: None,
        cpu_count: 1,
    };
    pollster::block_on(walk_stack(0, (), &mut stack, memory, &dump.modules, &system, symbols));
    let cut_at = memory
        .filter(|_| symbols.stuck())
        .map(|memory| memory.bytes().len())
        .filter(|length| length.is_multiple_of(CUT));
    Stack { frames: stack.frames, cut_at }
}

/// The caller, where the thread jumped to where no code is. There are no rules for unwinding that, but nothing of the
/// callee has run yet, so its return address is where the call has put it.
fn caller_of_nowhere(dump: &Dump<'_>, context: &MinidumpContext, memory: UnifiedMemory<'_, '_>) -> Option<StackFrame> {
    let here = context.get_instruction_pointer();
    let record = &dump.exception.raw.exception_record;
    let jumped = record.exception_code == libc::SIGSEGV as u32 && record.exception_address == here;
    if !jumped || dump.modules.module_at_address(here).is_some() {
        return None;
    }
    let mut raw = context.raw.clone();
    let return_address = match &mut raw {
        MinidumpRawContext::Amd64(registers) => {
            registers.rip = memory.get_memory_at_address(registers.rsp)?;
            registers.rsp = registers.rsp.wrapping_add(8);
            registers.rip
        }
        MinidumpRawContext::Arm64(registers) => {
            registers.pc = registers.iregs[30];
            registers.pc
        }
        _ => return None,
    };
    // Not so after a jump or a return through a damaged pointer.
    dump.modules.module_at_address(return_address)?;
    let context = MinidumpContext { raw, valid: MinidumpContextValidity::All };
    let mut frame = StackFrame::from_context(context, FrameTrust::Scan);
    // Inside the call instruction, as minidump-unwind does it.
    frame.instruction = return_address.saturating_sub(1);
    Some(frame)
}
