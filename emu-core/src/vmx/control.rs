//! Control registers in VMX operation: fixed bits, masks and shadows, VM exits (SDM Vol. 3C 24.8, 26.1.3, 26.3).

use crate::fault::Stop;
use crate::ir::uop::Uop;
use crate::state::cpu::{Cpu, Env};
use crate::state::vmx::{ExitDetails, Length};
use emu_vmx::arch::cr::Cr0;
use emu_vmx::controls::PrimaryProcessorControls;
use emu_vmx::exit::ExitReason;
use emu_vmx::exit::qualification::{CrAccess, cr_access};
use emu_vmx::intercept::{CrWrite, Decision, Instruction};

impl Cpu {
    /// What MOV of `value` to the control register in `imm` loads in VMX operation; `None`: it has been done.
    pub(crate) fn vmx_mov_to_cr(&mut self, env: &mut Env, u: &Uop, value: u64) -> Result<Option<u64>, Stop> {
        let Some(model) = self.config.model.vmx().cloned() else { return Ok(Some(value)) };
        let Some(controls) = self.vm_controls() else { return Ok(Some(value)) };
        let write = match u.system_register() {
            0 => controls.mov_to_cr0(self.sys.cr0.bits(), value, &model.caps),
            3 if controls.mov_to_cr3(value) => CrWrite::Exit,
            4 => controls.mov_to_cr4(self.sys.cr4.bits(), value, &model.caps),
            8 if controls.instruction(Instruction::MovToCr8) != Decision::Execute => CrWrite::Exit,
            8 if controls.primary.contains(PrimaryProcessorControls::USE_TPR_SHADOW) => {
                self.virtual_cr8_write(env, value)?;
                return Ok(None);
            }
            _ => CrWrite::Load(value),
        };
        match write {
            CrWrite::Load(value) => Ok(Some(value)),
            CrWrite::GeneralProtection => self.gp(0),
            CrWrite::Exit => self.exit_at(
                u,
                ExitReason::ControlRegisterAccess,
                cr_access(u.system_register(), CrAccess::MovTo, u.r1),
            ),
        }
    }

    /// What MOV from the control register in `imm` reads in VMX non-root operation; `None`: the register itself.
    pub(crate) fn vmx_mov_from_cr(&mut self, env: &mut Env, u: &Uop) -> Result<Option<u64>, Stop> {
        let Some(controls) = self.vm_controls() else { return Ok(None) };
        let exits = match u.system_register() {
            0 => return Ok(Some(controls.read_cr0(self.sys.cr0.bits()))),
            4 => return Ok(Some(controls.read_cr4(self.sys.cr4.bits()))),
            3 => controls.instruction(Instruction::MovFromCr3) != Decision::Execute,
            8 => controls.instruction(Instruction::MovFromCr8) != Decision::Execute,
            _ => false,
        };
        if exits {
            return self.exit_at(
                u,
                ExitReason::ControlRegisterAccess,
                cr_access(u.system_register(), CrAccess::MovFrom, u.r1),
            );
        }
        let shadow = u.system_register() == 8 && controls.primary.contains(PrimaryProcessorControls::USE_TPR_SHADOW);
        Ok(if shadow { Some(self.virtual_cr8_read(env)) } else { None })
    }

    /// CR0 as SMSW reads it.
    pub(crate) fn visible_cr0(&self) -> u64 {
        let cr0 = self.sys.cr0.bits();
        self.vm_controls().map_or(cr0, |controls| controls.read_cr0(cr0))
    }

    /// CLTS: the new CR0.
    pub(crate) fn vmx_clts(&mut self, u: &Uop) -> Result<u64, Stop> {
        let cr0 = self.sys.cr0.bits();
        match self.vm_controls().map(|controls| controls.clts(cr0)) {
            None => Ok(cr0 & !Cr0::TS.bits()),
            Some(CrWrite::Load(value)) => Ok(value),
            Some(_) => self.exit_at(u, ExitReason::ControlRegisterAccess, cr_access(0, CrAccess::Clts, 0)),
        }
    }

    /// LMSW of `source`: the value for CR0. `memory` is the linear address of an operand in memory.
    pub(crate) fn vmx_lmsw(&mut self, u: &Uop, source: u16, memory: Option<u64>) -> Result<u64, Stop> {
        let cr0 = self.sys.cr0.bits();
        let plain = cr0 & !0xE | u64::from(source) & 0xF;
        let (Some(controls), Some(model)) = (self.vm_controls(), self.config.model.vmx()) else { return Ok(plain) };
        match controls.lmsw(cr0, source, &model.caps) {
            CrWrite::Load(value) => Ok(value),
            CrWrite::GeneralProtection => self.gp(0),
            CrWrite::Exit => {
                let access = CrAccess::Lmsw { source, memory: memory.is_some() };
                let details = ExitDetails::new(ExitReason::ControlRegisterAccess).qualified(cr_access(0, access, 0));
                self.park_exit(ExitDetails { length: Length::Bytes(u.len), linear: memory, ..details })
            }
        }
    }
}
