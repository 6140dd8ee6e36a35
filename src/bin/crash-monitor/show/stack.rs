//! One thread's stack, from the crash to the thread's start.

use minidump::{MinidumpContext, MinidumpContextValidity, MinidumpRawContext, MinidumpThread, UnifiedMemory};
use minidump_unwind::{CallStack, FrameTrust, StackFrame, SystemInfo, walk_stack};

use super::dump::Dump;
use super::symbols::Symbols;

/// Frames that end this close to the end of the dump's copy of the stack, in bytes, end because of that.
const NEAR: u64 = 16 * 1024;

/// What could be found of a thread's calls.
pub struct Stack {
    /// The innermost call first.
    pub frames: Vec<StackFrame>,
    /// How much of the stack the dump holds, in bytes, where that ends the frames.
    pub cut_at: Option<u64>,
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
    let cut_at = memory.filter(|_| symbols.stuck()).and_then(|memory| cut_at(dump, memory, stack.frames.last()?));
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

/// The size of the dump's copy of a stack, where the last frame found lies at its end, or may reach beyond it: the process had
/// more memory there.
fn cut_at(dump: &Dump<'_>, memory: UnifiedMemory<'_, '_>, last: &StackFrame) -> Option<u64> {
    let end = memory.memory_range()?.end;
    let goes_on = dump.maps.memory_info_at_address(end).is_some_and(|info| info.map.address.0 < end);
    let is_near = end.saturating_sub(last.context.get_stack_pointer()) < NEAR;
    (goes_on || is_near).then_some(memory.bytes().len() as u64)
}
