//! A module's memory in the stopped process, as minidump-writer's ELF reader wants it.

use std::borrow::Cow;

use minidump_writer::module_reader::{ModuleMemoryReadError, ReadError, ReadModuleMemory};

use super::process::StoppedProcess;

/// More than any valid program header or note asks for: a damaged one must not cause a read of gigabytes.
const READ_MAX: u64 = 16 * 1024 * 1024;

/// How much of a module's beginning is read at once: nearly always it holds all headers and the build id.
const BEGINNING: usize = 4096;

/// The memory from a module's start on.
pub(super) struct ModuleMemory<'a> {
    process: &'a StoppedProcess,
    start: u64,
    beginning: Vec<u8>,
}

impl<'a> ModuleMemory<'a> {
    /// Fails where there is nothing at `start`.
    pub(super) fn at(process: &'a StoppedProcess, start: u64) -> std::io::Result<Self> {
        Ok(Self { process, start, beginning: process.read_memory(start, BEGINNING)? })
    }

    pub(super) fn is_elf(&self) -> bool {
        self.beginning.starts_with(b"\x7fELF")
    }
}

impl ReadModuleMemory for ModuleMemory<'_> {
    fn read(&self, offset: u64, length: u64) -> Result<Cow<'_, [u8]>, ModuleMemoryReadError> {
        let error = |error| ModuleMemoryReadError { offset, length, start_address: Some(self.start), error };
        let address = self.start.checked_add(offset).ok_or_else(|| error(ReadError::Overflow))?;
        if length > READ_MAX {
            return Err(error(ReadError::OutOfBounds));
        }
        let beginning =
            usize::try_from(offset).ok().and_then(|start| self.beginning.get(start..)?.get(..length as usize));
        if let Some(bytes) = beginning {
            return Ok(Cow::Borrowed(bytes));
        }
        let bytes = self.process.read_memory(address, length as usize);
        bytes.map(Cow::Owned).map_err(|_| error(ReadError::OutOfBounds))
    }

    fn absolute_to_relative(&self, address: u64) -> Option<u64> {
        address.checked_sub(self.start)
    }

    fn relative_to_absolute(&self, address: u64) -> Option<u64> {
        self.start.checked_add(address)
    }

    fn is_process_memory(&self) -> bool {
        true
    }
}
