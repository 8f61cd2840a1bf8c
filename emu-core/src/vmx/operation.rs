//! VMXON, VMXOFF, VMCLEAR, VMPTRLD, VMPTRST, VMREAD, VMWRITE, INVEPT, INVVPID in VMX root operation (SDM Vol. 3C 31.3).

use crate::fault::{Exec, Stop};
use crate::flags::{CF, ZF};
use crate::ir::uop::Uop;
use crate::model::vmx::VmxModel;
use crate::state::cpu::{Cpu, Env};
use crate::state::observed::{Observed, VmcsWrite, Watch};
use crate::state::system::Monitor;
use emu_vmx::arch::Rflags;
use emu_vmx::arch::msr::{FeatureControl, IA32_FEATURE_CONTROL};
use emu_vmx::field::Field;
use emu_vmx::operation::{self, Fault, ProcessorState, VmFail};
use emu_vmx::tags;
use emu_vmx::vmcs::{NO_VMCS, VmInstructionError, Vmcs};

/// Most active VMCSs that a processor keeps.
pub const MAX_ACTIVE: usize = 256;

impl Cpu {
    /// The model's VMX; #UD when it has none.
    pub(crate) fn vmx_model(&mut self) -> Result<std::sync::Arc<VmxModel>, Stop> {
        match self.config.model.vmx() {
            Some(vmx) => Ok(vmx.clone()),
            None => self.ud(),
        }
    }

    fn vmx_processor_state(&self) -> ProcessorState {
        ProcessorState {
            cr0: self.sys.cr0,
            cr4: self.sys.cr4,
            efer: self.sys.efer,
            rflags: Rflags::from_bits_retain(self.flags.get()),
            cs_l: self.sys.segments[1].access_rights.long(),
            cpl: self.sys.cpl,
            smx: false,
            a20m: false,
        }
    }

    fn vmx_fault(&mut self, fault: Result<(), Fault>) -> Exec {
        match fault {
            Ok(()) => Ok(()),
            Err(Fault::InvalidOpcode) => self.ud(),
            Err(Fault::GeneralProtection) => self.gp(0),
        }
    }

    /// #UD of every VMX instruction but VMCALL: real-address, virtual-8086 and compatibility mode.
    pub(crate) fn require_vmx_mode(&mut self) -> Exec {
        let fault = self.vmx_processor_state().mode_fault();
        self.vmx_fault(fault)
    }

    /// The faults that every VMX instruction but VMXON raises first in root operation.
    pub(crate) fn require_vmx_root(&mut self) -> Exec {
        if !self.vmx.on() {
            return self.ud();
        }
        let fault = self.vmx_processor_state().root_fault();
        self.vmx_fault(fault)
    }

    /// How the VMX instruction `u` ends (SDM Vol. 3C 31.2); `what` says it and its operand, for messages.
    pub(crate) fn vmx_result(&mut self, u: &Uop, result: Result<(), VmFail>, what: &dyn Fn() -> String) {
        if let Err(fail) = result {
            let rip = self.rip().wrapping_add(u.off.into());
            self.tell_vmfail(rip, fail.resolve(self.vmx.current), what);
        }
        self.set_vmx_result(result);
    }

    /// VMsucceed, VMfailValid or VMfailInvalid.
    pub(crate) fn set_vmx_result(&mut self, result: Result<(), VmFail>) {
        let status = match result {
            Ok(()) => 0,
            Err(fail) => match fail.resolve(self.vmx.current) {
                Some(error) => {
                    if let Some(vmcs) = self.vmx.current_mut() {
                        vmcs.set(Field::VmInstructionError, u64::from(error.number()));
                    }
                    ZF
                }
                None => CF,
            },
        };
        self.flags.set_status(status);
    }

    fn read_u32_physical(&mut self, env: &mut Env, address: u64) -> u32 {
        let address = env.ram.gate_a20(address);
        self.read_physical(env, address, 4) as u32
    }

    /// VMXON.
    pub(crate) fn vmxon(&mut self, env: &mut Env, u: &Uop, pointer: u64) -> Exec {
        let model = self.vmx_model()?;
        let result = operation::vmxon(pointer, &model.caps, &model.facts, |at| self.read_u32_physical(env, at));
        if result.is_ok() {
            self.vmx.vmxon = pointer;
            self.vmx.current = NO_VMCS;
            // Address-range monitoring is cleared (SDM Vol. 3C 33.3 "VMX Instructions", VMXON, VMXOFF).
            self.sys.monitor = Monitor::Idle;
        }
        self.vmx_result(u, result, &|| format!("VMXON of {pointer:#x}"));
        self.leave_block();
        Ok(())
    }

    /// The faults of VMXON, before its operand is read. False when it is in VMX operation already: VMfail 15.
    pub(crate) fn vmxon_faults(&mut self, env: &Env, u: &Uop) -> Result<bool, Stop> {
        let model = self.vmx_model()?;
        let state = self.vmx_processor_state();
        if self.vmx.on() {
            self.vmx_fault(state.root_fault())?;
            self.vmx_result(u, Err(VmFail::Error(VmInstructionError::VmxonInRoot)), &|| "VMXON".to_owned());
            return Ok(false);
        }
        let state = ProcessorState { a20m: !env.ram.a20(), ..state };
        let feature_control = FeatureControl::from_bits_retain(self.stored_msr(IA32_FEATURE_CONTROL));
        self.vmx_fault(state.vmxon_fault(&model.caps, feature_control))?;
        Ok(true)
    }

    /// VMXOFF.
    pub(crate) fn vmxoff(&mut self, env: &mut Env) -> Exec {
        self.require_vmx_root()?;
        // Active VMCSs keep their data in the processor: software has to VMCLEAR them, before or after.
        self.vmx.vmxon = NO_VMCS;
        self.vmx.current = NO_VMCS;
        self.sys.monitor = Monitor::Idle;
        self.flags.set_status(0);
        // A20M and INIT are no longer blocked.
        env.ram.block_a20m(false);
        self.flush_tlb();
        self.refresh_attention();
        self.leave_block();
        Ok(())
    }

    /// VMCLEAR.
    pub(crate) fn vmclear(&mut self, env: &mut Env, u: &Uop, pointer: u64) {
        let Some(model) = self.config.model.vmx().cloned() else { return };
        let result = operation::vmclear(pointer, self.vmx.vmxon, &model.caps, &model.facts);
        if result.is_ok() {
            let mut vmcs = match self.vmx.active.remove(&pointer) {
                Some(vmcs) => vmcs,
                None => self.load_vmcs(env, pointer),
            };
            vmcs.launch_state = Default::default();
            self.store_vmcs(env, pointer, &vmcs);
            if self.vmx.current == pointer {
                self.vmx.current = NO_VMCS;
            }
        }
        self.vmx_result(u, result, &|| format!("VMCLEAR of {pointer:#x}"));
    }

    /// VMPTRLD.
    pub(crate) fn vmptrld(&mut self, env: &mut Env, u: &Uop, pointer: u64) {
        let Some(model) = self.config.model.vmx().cloned() else { return };
        let vmxon = self.vmx.vmxon;
        let result =
            operation::vmptrld(pointer, vmxon, &model.caps, &model.facts, |at| self.read_u32_physical(env, at));
        if result.is_ok() {
            if !self.vmx.active.contains_key(&pointer) {
                let vmcs = self.load_vmcs(env, pointer);
                self.vmx.active.insert(pointer, vmcs);
            }
            self.vmx.current = pointer;
            self.limit_active(env, pointer);
        }
        self.vmx_result(u, result, &|| format!("VMPTRLD of {pointer:#x}"));
    }

    /// Writes back and drops a VMCS if there are more than a processor keeps; never the current one or the one at `used`.
    /// Software that does not VMCLEAR has to expect its data in memory at any time (SDM Vol. 3C 24.11.1, "Software Use of
    /// Virtual-Machine Control Structures"). The next address after `used` goes: of those that are used in turn that is
    /// the one that was used longest ago.
    fn limit_active(&mut self, env: &mut Env, used: u64) {
        if self.vmx.active.len() <= MAX_ACTIVE {
            return;
        }
        let current = self.vmx.current;
        let behind = self.vmx.active.range(used..).chain(&self.vmx.active).map(|(at, _)| *at);
        let victim = { behind }.find(|at| *at != used && *at != current);
        if let Some((at, vmcs)) = victim.and_then(|at| self.vmx.active.remove_entry(&at)) {
            self.store_vmcs(env, at, &vmcs);
        }
    }

    /// Decodes the VMCS region at `pointer`.
    pub(crate) fn load_vmcs(&mut self, env: &mut Env, pointer: u64) -> Vmcs {
        let Some(model) = self.config.model.vmx() else { return Vmcs::default() };
        let mut region = vec![0; model.layout.size()];
        env.ram.dma_read(pointer, &mut region);
        model.layout.load(&region).unwrap_or_default()
    }

    /// Writes a VMCS back to its region.
    pub(crate) fn store_vmcs(&mut self, env: &mut Env, pointer: u64, vmcs: &Vmcs) {
        let Some(model) = self.config.model.vmx() else { return };
        let mut region = vec![0; model.layout.size()];
        env.ram.dma_read(pointer, &mut region);
        model.layout.store(vmcs, &mut region);
        env.ram.dma_write(pointer, &region);
        if env.ram.has_stale_pages() {
            self.leave_block();
        }
    }

    /// The VMCS that VMREAD and VMWRITE access, and the rules: the current one, or in VMX non-root operation the shadow VMCS that its
    /// link pointer names (SDM Vol. 3C 25.10, 31.3).
    fn accessed_vmcs(&mut self, env: &mut Env) -> Result<(&mut Vmcs, &VmxModel), VmFail> {
        let mut pointer = self.vmx.current;
        if self.in_non_root() {
            let current = self.vmx.current().ok_or(VmFail::Invalid)?;
            pointer = current.get(Field::VmcsLinkPointer);
            if pointer == NO_VMCS {
                return Err(VmFail::Invalid);
            }
            if !self.vmx.active.contains_key(&pointer) {
                let shadow = self.load_vmcs(env, pointer);
                self.vmx.active.insert(pointer, shadow);
                self.limit_active(env, pointer);
            }
        }
        let (vmcs, model) = (self.vmx.active.get_mut(&pointer), self.config.model.vmx());
        vmcs.zip(model.map(|model| &**model)).ok_or(VmFail::Invalid)
    }

    /// Whether VMREAD and VMWRITE have a VMCS to access.
    pub(crate) fn find_accessed_vmcs(&mut self, env: &mut Env) -> Result<(), VmFail> {
        self.accessed_vmcs(env).map(|_| ())
    }

    /// VMREAD: the value, or VMfail.
    pub(crate) fn vmread(&mut self, env: &mut Env, encoding: u64) -> Result<u64, VmFail> {
        let (vmcs, model) = self.accessed_vmcs(env)?;
        vmcs.vmread(encoding, &model.fields).map_err(VmFail::Error)
    }

    /// VMWRITE.
    pub(crate) fn vmwrite(&mut self, env: &mut Env, encoding: u64, source: u64) -> Result<(), VmFail> {
        let (vmcs, model) = self.accessed_vmcs(env)?;
        let any = model.caps.misc.vmwrite_any_field();
        vmcs.vmwrite(encoding, source, &model.fields, any).map_err(VmFail::Error)?;
        if self.notes.watch.contains(Watch::VMCS_WRITES) {
            let current = self.vmx.current;
            let shadow = self.vmx.current().filter(|_| self.in_non_root()).map(|vmcs| vmcs.get(Field::VmcsLinkPointer));
            let field = Field::from_encoding(encoding).map(|(field, _)| field);
            let write = VmcsWrite { vmcs: shadow.unwrap_or(current), field, encoding, value: source };
            self.note(Observed::VmcsWrite(write));
        }
        Ok(())
    }

    /// INVEPT; without a descriptor the processor does not have the type.
    pub(crate) fn invept(&mut self, u: &Uop, kind: u64, descriptor: Option<[u64; 2]>) -> Exec {
        let model = self.vmx_model()?;
        let result = descriptor
            .ok_or(VmInstructionError::InvalidInvalidationOperand)
            .and_then(|[eptp, _]| tags::invept(kind, eptp, model.caps.ept_vpid_cap, &model.facts));
        if let Ok(scope) = &result {
            self.invalidate(scope);
        }
        self.vmx_result(u, result.map(|_| ()).map_err(VmFail::Error), &|| operand("INVEPT", kind, descriptor));
        Ok(())
    }

    /// INVVPID, likewise.
    pub(crate) fn invvpid(&mut self, u: &Uop, kind: u64, descriptor: Option<[u64; 2]>) -> Exec {
        let model = self.vmx_model()?;
        let result = descriptor
            .ok_or(VmInstructionError::InvalidInvalidationOperand)
            .and_then(|descriptor| tags::invvpid(kind, descriptor, model.caps.ept_vpid_cap, &model.facts));
        if let Ok(scope) = &result {
            self.invalidate(scope);
        }
        self.vmx_result(u, result.map(|_| ()).map_err(VmFail::Error), &|| operand("INVVPID", kind, descriptor));
        Ok(())
    }
}

/// `INVEPT of type 1, descriptor 1000h, 0h`.
fn operand(name: &str, kind: u64, descriptor: Option<[u64; 2]>) -> String {
    let rest = descriptor.map_or(String::new(), |[first, second]| format!(", descriptor {first:X}h, {second:X}h"));
    format!("{name} of type {kind}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    /// A guest that loads VMCSs without clearing any.
    #[test]
    fn active_vmcss_beyond_a_number_are_in_memory_as_they_were() {
        let mut bench = Bench::long_mode(&[]);
        bench.with_env(|cpu, env| {
            let first = 0x20_0000;
            cpu.vmx.current = first;
            for n in 0..2 * MAX_ACTIVE as u64 {
                let at = first + n * 0x1000;
                let mut vmcs = Vmcs::default();
                vmcs.set(Field::GuestRip, n);
                cpu.vmx.active.insert(at, vmcs);
                cpu.limit_active(env, at);
                assert!(cpu.vmx.active.contains_key(&at) && cpu.vmx.current().is_some());
            }
            assert_eq!(cpu.vmx.active.len(), MAX_ACTIVE);
            for n in 0..2 * MAX_ACTIVE as u64 {
                let at = first + n * 0x1000;
                let kept = cpu.vmx.active.get(&at).cloned();
                assert_eq!(kept.is_some(), n == 0 || n > MAX_ACTIVE as u64, "{n}");
                let vmcs = kept.unwrap_or_else(|| cpu.load_vmcs(env, at));
                assert_eq!(vmcs.get(Field::GuestRip), n);
            }
        });
    }

    #[test]
    fn log_lines_that_a_guest_causes_are_bounded() {
        let mut bench = Bench::long_mode(&[]);
        let given = (0..10_000).filter(|&number| bench.cpu.log_once("RDMSR", number)).count();
        assert_eq!(given, crate::state::cpu::MAX_LOGGED);
    }
}
