//! VMX instructions whose memory operand is not there: what they find out before they read it (SDM Vol. 3C 33.3, "VMX
//! Instructions": the operations of VMWRITE, INVEPT and INVVPID).

use crate::guest::*;
use emu_core::state::system::Activity;
use emu_vmx::arch::vector;
use emu_vmx::exit::ExitReason;
use emu_vmx::field::Field;
use emu_vmx::vmcs::{NO_VMCS, VmInstructionError};

/// Where the VMM's code is, and an address that no page is at.
const VMM: u64 = 0xB000;
const NOWHERE: u64 = 0x7F_FFFF_F000;

/// What the instruction comes to.
#[derive(Debug, PartialEq)]
enum Comes {
    /// To a page fault.
    PageFault,
    FailInvalid,
    FailValid(u64),
}

/// VMWRITE RCX, [RAX]; INVEPT RCX, [RAX]; INVVPID RCX, [RAX]
const VMWRITE: &[u8] = &[0x0F, 0x79, 0x08];
const INVEPT: &[u8] = &[0x66, 0x0F, 0x38, 0x80, 0x08];
const INVVPID: &[u8] = &[0x66, 0x0F, 0x38, 0x81, 0x08];

#[test]
fn operand_is_read_after_the_vmcs_and_the_type_are_known() {
    use Comes::*;
    let refused = || FailValid(VmInstructionError::InvalidInvalidationOperand.number().into());
    // Of VMWRITE: whether there is a current VMCS, and RCX names a field (guest RIP) or none.
    let rows: [(&[u8], bool, u64, Comes); 10] = [
        (VMWRITE, true, 0x681E, PageFault),
        (VMWRITE, true, 0x7FFE, PageFault),
        (VMWRITE, false, 0x681E, FailInvalid),
        (INVEPT, true, 1, PageFault),
        (INVEPT, true, 2, PageFault),
        (INVEPT, false, 3, FailInvalid),
        (INVEPT, true, 3, refused()),
        (INVVPID, true, 3, PageFault),
        (INVVPID, false, 4, FailInvalid),
        (INVVPID, true, 1 << 32, refused()),
    ];
    for (code, has_vmcs, rcx, comes) in rows {
        let mut guest = Guest::new(&[0xF4]);
        // The VMM has its tables from VM exit on.
        guest.expect(ExitReason::Hlt);
        guest.bench.ram.dma_write(VMM, &[code, &[0xF4]].concat());
        let cpu = &mut guest.bench.cpu;
        (cpu.gpr[0], cpu.gpr[1]) = (NOWHERE, rcx);
        if !has_vmcs {
            cpu.vmx.current = NO_VMCS;
        }
        cpu.set_rip(VMM);
        cpu.sys.activity = Activity::Active;
        cpu.refresh();
        guest.bench.run(100);
        let cpu = &guest.bench.cpu;
        let found = match (cpu.rip() - 1, cpu.flags.get() & 0x41) {
            (at, _) if at == HANDLERS + u64::from(vector::PF) => PageFault,
            (_, 1) => FailInvalid,
            (_, 0x40) => FailValid(guest.get(Field::VmInstructionError)),
            other => panic!("{code:X?} {rcx:X}h: {other:X?}"),
        };
        assert_eq!(found, comes, "{code:X?} with RCX = {rcx:X}h");
    }
}
