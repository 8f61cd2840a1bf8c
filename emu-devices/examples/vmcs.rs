//! Boots an image that uses VMX, stops at its first VM exit, and prints the fields of its VMCS that are not 0.

use emu_core::observe::{Observer, View, VmExit, Watch};
use emu_devices::disk::DiskImage;
use emu_devices::pc::Pc;
use emu_vmx::field::Field;
use std::error::Error;
use std::io::{self, Write};

/// Stops the run at a VM exit.
struct FirstExit(bool);

impl Observer for FirstExit {
    fn watches(&self) -> Watch {
        Watch::VM_EXITS
    }
    fn vm_exit(&mut self, _view: View, _exit: &VmExit) {
        self.0 = true;
    }
    fn stops(&mut self) -> bool {
        self.0
    }
}

/// Writes what has happened to `out`.
pub fn run(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let image = test_images::TestImage::find("vmxexits").ok_or("no such image")?;
    let disk = DiskImage::from_bytes(image.name, image.bytes.to_vec())?;
    let mut pc = Pc::builder().memory(16 << 20).hard_disk(disk).build()?;
    pc.run_observed(100_000_000, &mut FirstExit(false));
    let vmcs = pc.vmcs(0).ok_or("there is no current VMCS")?;
    writeln!(out, "{:#x}: revision {:#x}, {:?}", pc.cpus[0].vmx.current, vmcs.revision_id, vmcs.launch_state)?;
    for &field in Field::ALL.iter().filter(|&&field| vmcs.get(field) != 0) {
        writeln!(out, "{:<50} {:#x}", field.name(), vmcs.get(field))?;
    }
    let handler = pc.cpus[0].code_linear(pc.register(0, "RIP")?);
    let code = pc.disassemble(0, handler, 3)?;
    code.iter().try_for_each(|line| Ok(writeln!(out, "{:#x}: {}", line.ip, line.text)?))
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&mut io::stdout())
}
