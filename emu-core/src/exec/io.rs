//! IN, OUT, INS, OUTS (SDM Vol. 1 chapter 19).

use super::string::{ES, RDI, RSI};
use crate::fault::Exec;
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::state::cpu::{Cpu, Env};
use crate::state::observed::{DeviceAccess, Observed, Watch};
use crate::vmx::non_root::{PortAccess, StringIo};
use emu_vmx::arch::cr::{BreakpointKind, Cr4};
use emu_vmx::arch::segment::{SegmentRegister, system_type};

const RAX: u8 = 0;
const RDX: usize = 2;
/// Offset of the I/O map base in a 32- or 64-bit TSS.
const IO_MAP_BASE: u64 = 102;

impl Cpu {
    /// #GP(0) unless IOPL or the I/O permission bitmap allows `size` ports from `port` on (SDM Vol. 1 19.5.2).
    fn check_io_permission(&mut self, env: &mut Env, port: u16, size: u64) -> Exec {
        if !self.derived.mode.protected || (self.sys.cpl <= self.flags.iopl() && !self.derived.mode.v86) {
            return Ok(());
        }
        let tr = *self.sys.seg(SegmentRegister::Tr);
        let rights = tr.access_rights;
        let wide = matches!(rights.type_field(), system_type::TSS_AVAILABLE | system_type::TSS_BUSY);
        let limit = u64::from(tr.limit);
        if rights.unusable() || !rights.present() || !wide || limit < IO_MAP_BASE + 1 {
            return self.gp(0);
        }
        let map = self.read_system::<u16>(env, tr.base.wrapping_add(IO_MAP_BASE))?;
        let place = map + u64::from(port >> 3);
        // Two bytes are read always, so the map has a byte of ones behind its last port.
        if place + 1 > limit {
            return self.gp(0);
        }
        let bits = self.read_system::<u16>(env, tr.base.wrapping_add(place))?;
        if bits >> (port & 7) & ((1 << size) - 1) != 0 {
            return self.gp(0);
        }
        Ok(())
    }

    /// After an access of a port: I/O breakpoints (SDM Vol. 3B 18.2.4), and what the device wants.
    fn after_port(&mut self, env: &mut Env, port: u16, size: u64, write: bool, value: u64) {
        if self.notes.watch.contains(Watch::PORTS) {
            self.note(Observed::Port(DeviceAccess { address: port.into(), size: size as u8, write, value }));
        }
        if self.sys.dr7.bits() & 0xFF != 0 && self.sys.cr4.contains(Cr4::DE) {
            let hits = self.breakpoint_hits(u64::from(port), size, |kind| kind == BreakpointKind::Io);
            self.note_debug_hits(hits);
        }
        self.after_device(env);
        let hz = self.config.hz;
        self.spend(|events| u64::from(events.port_ns).saturating_mul(hz) / 1_000_000_000);
    }

    fn port_read<W: Width>(&mut self, env: &mut Env, port: u16) -> u64 {
        let value = u64::from(env.bus.port_read(env.ram, self.cycles, port, W::BYTES as u8)) & W::MASK;
        self.after_port(env, port, W::BYTES, false, value);
        value
    }

    fn port_write<W: Width>(&mut self, env: &mut Env, port: u16, value: u64) {
        let value = value & W::MASK;
        env.bus.port_write(env.ram, self.cycles, port, W::BYTES as u8, value as u32);
        self.after_port(env, port, W::BYTES, true, value);
    }
}

fn input<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop, port: u16, immediate: bool) -> Exec {
    cpu.check_io_permission(env, port, W::BYTES)?;
    cpu.intercept_io(env, u, PortAccess { port, size: W::BYTES as u8, input: true, immediate, string: None })?;
    let value = cpu.port_read::<W>(env, port);
    W::set(&mut cpu.gpr, RAX, value);
    Ok(())
}

fn output<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop, port: u16, immediate: bool) -> Exec {
    cpu.check_io_permission(env, port, W::BYTES)?;
    cpu.intercept_io(env, u, PortAccess { port, size: W::BYTES as u8, input: false, immediate, string: None })?;
    let value = W::get(&cpu.gpr, RAX);
    cpu.port_write::<W>(env, port, value);
    Ok(())
}

/// IN accumulator, imm8.
pub fn in_imm<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    input::<W>(cpu, env, u, u.port(), true)
}

/// IN accumulator, DX.
pub fn in_dx<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let port = cpu.gpr[RDX] as u16;
    input::<W>(cpu, env, u, port, false)
}

/// OUT imm8, accumulator.
pub fn out_imm<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    output::<W>(cpu, env, u, u.port(), true)
}

/// OUT DX, accumulator.
pub fn out_dx<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let port = cpu.gpr[RDX] as u16;
    output::<W>(cpu, env, u, port, false)
}

/// INS: the destination is known to be writable before the device is read.
pub fn ins<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    ins_once::<W>(cpu, env, u, false)
}

fn ins_once<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop, rep: bool) -> Exec {
    let port = cpu.gpr[RDX] as u16;
    cpu.check_io_permission(env, port, W::BYTES)?;
    let ea = cpu.destination_offset(u);
    let string = StringIo { rep, segment: ES, offset: ea };
    cpu.intercept_io(
        env,
        u,
        PortAccess { port, size: W::BYTES as u8, input: true, immediate: false, string: Some(string) },
    )?;
    cpu.check_operand_alignment(ES, ea, W::BYTES, true)?;
    cpu.probe_write(env, ES, ea, W::BYTES as usize)?;
    let value = cpu.port_read::<W>(env, port);
    cpu.write::<W>(env, ES, ea, value)?;
    let stride = cpu.stride::<W>();
    cpu.advance(RDI, u, stride);
    Ok(())
}

/// REP INS. The permission is checked even if the count is 0.
pub fn rep_ins<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.check_io_permission(env, cpu.gpr[RDX] as u16, W::BYTES)?;
    cpu.repeat(env, u, |cpu, env, _| ins_once::<W>(cpu, env, u, true).map(|()| (1, true)))
}

/// OUTS.
pub fn outs<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    outs_once::<W>(cpu, env, u, false)
}

fn outs_once<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop, rep: bool) -> Exec {
    let port = cpu.gpr[RDX] as u16;
    cpu.check_io_permission(env, port, W::BYTES)?;
    let string = StringIo { rep, segment: u.seg, offset: cpu.source_offset(u) };
    cpu.intercept_io(
        env,
        u,
        PortAccess { port, size: W::BYTES as u8, input: false, immediate: false, string: Some(string) },
    )?;
    let value = cpu.read::<W>(env, u.seg, cpu.source_offset(u))?;
    cpu.port_write::<W>(env, port, value);
    let stride = cpu.stride::<W>();
    cpu.advance(RSI, u, stride);
    Ok(())
}

/// REP OUTS.
pub fn rep_outs<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.check_io_permission(env, cpu.gpr[RDX] as u16, W::BYTES)?;
    cpu.repeat(env, u, |cpu, env, _| outs_once::<W>(cpu, env, u, true).map(|()| (1, true)))
}
