//! Saving and restoring of x87, vector and other extended state: FXSAVE and the XSAVE feature set (SDM Vol. 1
//! chapter 13, 10.5).

use super::sse::status::MXCSR_MASK;
use crate::fault::{Exec, Stop};
use crate::ir::operands::area::{COMPACT, OPTIMIZED, SUPERVISOR, WIDE};
use crate::ir::uop::Uop;
use crate::model::features::Feature;
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::cr::{Cr0, Cr4};
use emu_vmx::arch::msr::{IA32_PL0_SSP, IA32_PL1_SSP, IA32_PL2_SSP, IA32_PL3_SSP, IA32_U_CET};
use emu_vmx::exit::instruction_information;
use emu_vmx::intercept::Decision;

const RAX: usize = 0;
const RCX: usize = 1;
const RDX: usize = 2;

const LEGACY: usize = 512;
const HEADER: usize = 64;
/// MXCSR after reset, and of XSAVE's initial configuration.
const MXCSR_INIT: u32 = 0x1F80;
/// XCOMP_BV: the area is compacted.
const COMPACTED: u64 = 1 << 63;

/// State components (SDM Vol. 1 13.1).
mod component {
    pub const X87: u32 = 0;
    pub const SSE: u32 = 1;
    pub const AVX: u32 = 2;
    pub const OPMASK: u32 = 5;
    pub const ZMM_HI256: u32 = 6;
    pub const HI16_ZMM: u32 = 7;
    pub const PKRU: u32 = 9;
    pub const CET_USER: u32 = 11;
    pub const CET_SUPERVISOR: u32 = 12;
}

/// Reads a little-endian number of `n` bytes.
fn number(area: &[u8], at: usize, n: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes[..n].copy_from_slice(&area[at..at + n]);
    u64::from_le_bytes(bytes)
}

fn put(area: &mut [u8], at: usize, n: usize, value: u64) {
    area[at..at + n].copy_from_slice(&value.to_le_bytes()[..n]);
}

/// The registers of CET that a component holds, in their order (SDM Vol. 1 13.5.9 "CET State").
fn cet_registers(n: u32) -> &'static [u32] {
    match n {
        component::CET_USER => &[IA32_U_CET, IA32_PL3_SSP],
        component::CET_SUPERVISOR => &[IA32_PL0_SSP, IA32_PL1_SSP, IA32_PL2_SSP],
        _ => &[],
    }
}

impl Cpu {
    /// Vector registers that instructions can name in the present mode.
    fn xmm_count(&self) -> usize {
        if self.derived.mode.is_64bit() { 16 } else { 8 }
    }

    /// The x87 part of an FXSAVE image, bytes 0 to 23 and 32 to 159.
    fn save_x87(&self, area: &mut [u8; LEGACY], wide: bool) {
        let fpu = &self.fpu;
        put(area, 0, 2, u64::from(fpu.control));
        put(area, 2, 2, u64::from(fpu.status));
        put(area, 4, 2, u64::from(fpu.tags));
        put(area, 6, 2, u64::from(fpu.opcode & 0x7FF));
        if wide {
            put(area, 8, 8, fpu.instruction_pointer);
            put(area, 16, 8, fpu.data_pointer);
        } else {
            // Processors that deprecate FCS and FDS save 0 (CPUID.(EAX=07H,ECX=0H):EBX[13]).
            let deprecated = self.config.model.leaf(7, 0).ebx >> 13 & 1 != 0;
            let selector = |value: u16| if deprecated { 0 } else { u64::from(value) };
            put(area, 8, 4, fpu.instruction_pointer & 0xFFFF_FFFF);
            put(area, 12, 4, selector(fpu.instruction_selector));
            put(area, 16, 4, fpu.data_pointer & 0xFFFF_FFFF);
            put(area, 20, 4, selector(fpu.data_selector));
        }
        for n in 0..8 {
            let physical = (fpu.top() + n) & 7;
            put(area, 32 + 16 * n, 8, fpu.significand[physical]);
            put(area, 40 + 16 * n, 8, u64::from(fpu.exponent[physical]));
        }
    }

    /// The caller has ES and B follow from the exceptions and their masks.
    fn restore_x87(&mut self, area: &[u8; LEGACY], wide: bool) {
        let fpu = &mut self.fpu;
        // Bit 6 of the control word always reads as 1.
        fpu.control = number(area, 0, 2) as u16 & 0x1F3F | 0x40;
        fpu.status = number(area, 2, 2) as u16;
        fpu.tags = area[4];
        fpu.opcode = number(area, 6, 2) as u16 & 0x7FF;
        if wide {
            fpu.instruction_pointer = number(area, 8, 8);
            fpu.data_pointer = number(area, 16, 8);
        } else {
            fpu.instruction_pointer = number(area, 8, 4);
            fpu.instruction_selector = number(area, 12, 2) as u16;
            fpu.data_pointer = number(area, 16, 4);
            fpu.data_selector = number(area, 20, 2) as u16;
        }
        for n in 0..8 {
            let physical = (fpu.top() + n) & 7;
            fpu.significand[physical] = number(area, 32 + 16 * n, 8);
            fpu.exponent[physical] = number(area, 40 + 16 * n, 2) as u16;
        }
    }

    fn save_mxcsr(&self, area: &mut [u8; LEGACY]) {
        put(area, 24, 4, u64::from(self.fpu.mxcsr));
        put(area, 28, 4, u64::from(MXCSR_MASK));
    }

    fn save_xmm(&self, area: &mut [u8; LEGACY]) {
        for n in 0..self.xmm_count() {
            area[160 + 16 * n..176 + 16 * n].copy_from_slice(&self.fpu.vectors[n].lane(0).to_le_bytes());
        }
    }

    fn restore_xmm(&mut self, area: &[u8; LEGACY]) {
        for n in 0..self.xmm_count() {
            let mut lane = [0; 16];
            lane.copy_from_slice(&area[160 + 16 * n..176 + 16 * n]);
            self.fpu.vectors[n].set_lane(0, u128::from_le_bytes(lane));
        }
    }

    /// Reads from `seg:ea` in pieces that cross at most one page each.
    fn read_area(&mut self, env: &mut Env, u: &Uop, ea: u64, area: &mut [u8]) -> Exec {
        let mut at = ea;
        for piece in area.chunks_mut(64) {
            self.read_bytes(env, u.seg, at & u.address_mask(), piece)?;
            at = at.wrapping_add(piece.len() as u64);
        }
        Ok(())
    }

    /// Writes at `seg:ea`; all of it is checked first.
    fn write_area(&mut self, env: &mut Env, u: &Uop, ea: u64, area: &[u8]) -> Exec {
        self.probe_write(env, u.seg, ea & u.address_mask(), area.len())?;
        let mut at = ea;
        for piece in area.chunks(64) {
            self.write_bytes(env, u.seg, at & u.address_mask(), piece)?;
            at = at.wrapping_add(piece.len() as u64);
        }
        Ok(())
    }

    /// Whether the state of a component differs from its initial configuration (SDM Vol. 1 13.6).
    fn in_use(&self, n: u32) -> bool {
        let fpu = &self.fpu;
        let any = |range: std::ops::Range<usize>, words: std::ops::Range<usize>| {
            fpu.vectors[range].iter().any(|vector| vector.0[words.clone()].iter().any(|&word| word != 0))
        };
        match n {
            component::X87 => {
                fpu.control != 0x37F
                    || fpu.status != 0
                    || fpu.tags != 0
                    || fpu.opcode != 0
                    || fpu.instruction_pointer != 0
                    || fpu.instruction_selector != 0
                    || fpu.data_pointer != 0
                    || fpu.data_selector != 0
                    || fpu.significand != [0; 8]
                    || fpu.exponent != [0; 8]
            }
            component::SSE => any(0..16, 0..2),
            component::AVX => any(0..16, 2..4),
            component::OPMASK => fpu.masks != [0; 8],
            component::ZMM_HI256 => any(0..16, 4..8),
            component::HI16_ZMM => any(16..32, 0..8),
            component::PKRU => self.sys.pkru != 0,
            component::CET_USER => self.sys.cet.user != 0 || self.sys.cet.ssps[3] != 0,
            component::CET_SUPERVISOR => self.sys.cet.ssps[..3] != [0; 3],
            _ => false,
        }
    }

    /// XINUSE for the components in `mask`.
    fn xinuse(&self, mask: u64) -> u64 {
        (0..63).filter(|&n| mask >> n & 1 != 0 && self.in_use(n)).fold(0, |all, n| all | 1 << n)
    }

    /// The vector words that an extended component holds: registers, words of each.
    fn component_words(&self, n: u32) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
        let low = 0..self.xmm_count();
        match n {
            component::AVX => Some((low, 2..4)),
            component::ZMM_HI256 => Some((low, 4..8)),
            component::HI16_ZMM if self.derived.mode.is_64bit() => Some((16..32, 0..8)),
            component::HI16_ZMM => Some((0..0, 0..8)),
            _ => None,
        }
    }

    /// The bytes of extended component `n`; registers that the mode does not have are left out at the end.
    fn component_bytes(&self, n: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some((registers, words)) = self.component_words(n) {
            for vector in &self.fpu.vectors[registers] {
                for word in &vector.0[words.clone()] {
                    bytes.extend(word.to_le_bytes());
                }
            }
            return bytes;
        }
        match n {
            component::OPMASK => self.fpu.masks.iter().for_each(|mask| bytes.extend(mask.to_le_bytes())),
            component::PKRU => bytes.extend(u64::from(self.sys.pkru).to_le_bytes()),
            // With tracking alone the place of an SSP is there all the same, and 0.
            _ => cet_registers(n).iter().for_each(|&number| {
                bytes.extend(self.read_msr_quiet(number).unwrap_or(0).to_le_bytes());
            }),
        }
        bytes
    }

    /// Loads extended component `n`; `None` is its initial configuration, all zero.
    fn load_component(&mut self, n: u32, bytes: Option<&[u8]>) {
        let word = |k: usize| bytes.map_or(0, |bytes| number(bytes, 8 * k, 8));
        if let Some((registers, words)) = self.component_words(n) {
            let mut k = 0;
            for vector in &mut self.fpu.vectors[registers] {
                for place in &mut vector.0[words.clone()] {
                    *place = word(k);
                    k += 1;
                }
            }
            return;
        }
        match n {
            component::OPMASK => {
                for (k, mask) in self.fpu.masks.iter_mut().enumerate() {
                    *mask = word(k);
                }
            }
            component::PKRU => {
                let value = word(0) as u32;
                self.set_pkru(value);
            }
            _ => {
                for (k, &number) in cet_registers(n).iter().enumerate() {
                    self.set_cet_register(number, word(k));
                }
            }
        }
    }

    /// Writes PKRU.
    pub fn set_pkru(&mut self, value: u32) {
        if self.sys.pkru != value {
            self.sys.pkru = value;
            self.select_address_space();
        }
    }

    /// Offset of extended component `n` in an area (SDM Vol. 1 13.4.2, 13.4.3).
    fn component_offset(&self, n: u32, xcomp: u64) -> usize {
        if xcomp & COMPACTED == 0 {
            return self.config.model.leaf(0xD, n).ebx as usize;
        }
        let before = xcomp & !COMPACTED & ((1 << n) - 1);
        let end = self.xsave_area_size(before, true);
        let aligned = self.config.model.leaf(0xD, n).ecx & 2 != 0;
        (if aligned { end.next_multiple_of(64) } else { end }) as usize
    }

    fn require_fxsr(&mut self) -> Exec {
        if self.sys.cr0.intersects(Cr0::EM | Cr0::TS) { self.nm() } else { Ok(()) }
    }

    /// What XSAVE and its kind raise before they look at their operand: #UD, for XSAVES and with `restore` XRSTORS what
    /// [`Cpu::require_supervisor_state`] says, and last #NM, which as an ordinary fault comes after a VM exit (SDM
    /// Vol. 3C 26.1.1 "Relative Priority of Faults and VM Exits").
    fn require_xsave(&mut self, u: &Uop, restore: bool) -> Exec {
        if !self.sys.cr4.contains(Cr4::OSXSAVE) {
            return self.ud();
        }
        if u.area_has(SUPERVISOR) {
            self.require_supervisor_state(u, restore)?;
        }
        if self.sys.cr0.contains(Cr0::TS) { self.nm() } else { Ok(()) }
    }

    /// XSAVES, or with `restore` XRSTORS: in VMX non-root operation #UD without their control, then CPL 0, then a VM exit
    /// by the XSS-exiting bitmap (SDM Vol. 3C 26.1.3, 26.3).
    fn require_supervisor_state(&mut self, u: &Uop, restore: bool) -> Exec {
        let requested = self.edx_eax();
        let decision = self.vm_controls().map(|controls| controls.xsaves(restore, requested, self.sys.xss));
        if decision == Some(Decision::InvalidOpcode) {
            return self.ud();
        }
        self.require_cpl0()?;
        let Some(decision) = decision else { return Ok(()) };
        self.decide(u, decision, |cpu, u| {
            let (memory, displacement) = cpu.memory_information(u);
            (displacement, Some(instruction_information::memory_only(memory)))
        })
    }

    fn requested(&self, supervisor: bool) -> u64 {
        self.edx_eax() & (self.sys.xcr0 | if supervisor { self.sys.xss } else { 0 })
    }

    /// Checks the header of an area to be restored: XSTATE_BV and XCOMP_BV, or #GP (SDM Vol. 1 13.8, 13.12).
    fn check_header(&mut self, header: &[u8; HEADER], supervisor: bool) -> Result<(u64, u64), Stop> {
        let (xstate, xcomp) = (number(header, 0, 8), number(header, 8, 8));
        let allowed = self.sys.xcr0 | if supervisor { self.sys.xss } else { 0 };
        let zero = |range: std::ops::Range<usize>| header[range].iter().all(|&byte| byte == 0);
        let good = if xcomp & COMPACTED != 0 {
            self.config.model.has(Feature::Xsavec)
                && xcomp & !COMPACTED & !allowed == 0
                && xstate & !xcomp == 0
                && xstate & COMPACTED == 0
                && zero(16..64)
        } else {
            !supervisor && xstate & !allowed == 0 && zero(8..24)
        };
        if good { Ok((xstate, xcomp)) } else { self.gp(0) }
    }
}

/// FXSAVE, FXSAVE64.
pub fn fxsave(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_fxsr()?;
    let ea = cpu.ea(u);
    cpu.require_aligned(u.seg, ea, 16, true)?;
    let mut area = [0; LEGACY];
    cpu.save_x87(&mut area, u.area_has(WIDE));
    cpu.save_mxcsr(&mut area);
    if !cpu.sys.cr4.contains(Cr4::OSFXSR) {
        return cpu.write_area(env, u, ea, &area[..160]);
    }
    cpu.save_xmm(&mut area);
    let end = 160 + 16 * cpu.xmm_count();
    cpu.write_area(env, u, ea, &area[..end])
}

/// FXRSTOR, FXRSTOR64.
pub fn fxrstor(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.require_fxsr()?;
    cpu.x87_before_summary()?;
    let ea = cpu.ea(u);
    cpu.require_aligned(u.seg, ea, 16, false)?;
    let mut area = [0; LEGACY];
    cpu.read_area(env, u, ea, &mut area)?;
    let mxcsr = number(&area, 24, 4) as u32;
    if cpu.sys.cr4.contains(Cr4::OSFXSR) {
        if mxcsr & !MXCSR_MASK != 0 {
            return cpu.gp(0);
        }
        cpu.fpu.mxcsr = mxcsr;
        cpu.restore_xmm(&area);
    }
    cpu.restore_x87(&area, u.area_has(WIDE));
    cpu.x87_summary_changed(env);
    Ok(())
}

/// XSAVE, XSAVEOPT, XSAVEC, XSAVES (SDM Vol. 1 13.7, 13.9 to 13.11).
pub fn xsave(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let (compact, supervisor) = (u.area_has(COMPACT), u.area_has(SUPERVISOR));
    cpu.require_xsave(u, false)?;
    let ea = cpu.ea(u);
    cpu.require_aligned(u.seg, ea, 64, true)?;
    let rfbm = cpu.requested(supervisor);
    let mut inuse = cpu.xinuse(rfbm);
    let sse = 1 << component::SSE;
    if compact && rfbm & sse != 0 && cpu.fpu.mxcsr != MXCSR_INIT {
        inuse |= sse;
    }
    let saved = if compact || u.area_has(OPTIMIZED) { rfbm & inuse } else { rfbm };
    let at = |offset: usize| ea.wrapping_add(offset as u64);
    let old = if compact {
        0
    } else {
        let mut bytes = [0; 8];
        cpu.read_area(env, u, at(LEGACY), &mut bytes)?;
        u64::from_le_bytes(bytes)
    };

    let mut area = [0; LEGACY];
    cpu.save_x87(&mut area, u.area_has(WIDE));
    cpu.save_mxcsr(&mut area);
    cpu.save_xmm(&mut area);
    if saved & 1 != 0 {
        cpu.write_area(env, u, at(0), &area[..24])?;
        cpu.write_area(env, u, at(32), &area[32..160])?;
    }
    let mxcsr = if compact { saved & sse } else { rfbm & (sse | 1 << component::AVX) };
    if mxcsr != 0 {
        cpu.write_area(env, u, at(24), &area[24..32])?;
    }
    if saved & sse != 0 {
        let end = 160 + 16 * cpu.xmm_count();
        cpu.write_area(env, u, at(160), &area[160..end])?;
    }
    let xcomp = if compact { rfbm | COMPACTED } else { 0 };
    for n in (2..63).filter(|n| saved >> n & 1 != 0) {
        let bytes = cpu.component_bytes(n);
        let offset = cpu.component_offset(n, xcomp);
        cpu.write_area(env, u, at(offset), &bytes)?;
    }
    let xstate = if compact { rfbm & inuse } else { old & !rfbm | rfbm & inuse };
    let mut header = [0; 16];
    put(&mut header, 0, 8, xstate);
    put(&mut header, 8, 8, xcomp);
    cpu.write_area(env, u, at(LEGACY), &header[..if compact { 16 } else { 8 }])
}

/// XRSTOR, XRSTORS (SDM Vol. 1 13.8, 13.12). Everything is read and checked before anything is loaded.
pub fn xrstor(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let supervisor = u.area_has(SUPERVISOR);
    cpu.require_xsave(u, true)?;
    cpu.x87_before_summary()?;
    let ea = cpu.ea(u);
    cpu.require_aligned(u.seg, ea, 64, false)?;
    let rfbm = cpu.requested(supervisor);
    let at = |offset: usize| ea.wrapping_add(offset as u64);
    let mut header = [0; HEADER];
    cpu.read_area(env, u, at(LEGACY), &mut header)?;
    let (xstate, xcomp) = cpu.check_header(&header, supervisor)?;
    let compact = xcomp & COMPACTED != 0;
    let loaded = rfbm & xstate;
    let (x87, sse, avx) = (1 << component::X87, 1 << component::SSE, 1 << component::AVX);

    let mut area = [0; LEGACY];
    let mxcsr_loaded = if compact { loaded & sse != 0 } else { rfbm & (sse | avx) != 0 };
    if loaded & (x87 | sse) != 0 || mxcsr_loaded {
        cpu.read_area(env, u, at(0), &mut area)?;
    }
    let mxcsr = number(&area, 24, 4) as u32;
    if mxcsr_loaded && mxcsr & !MXCSR_MASK != 0 {
        return cpu.gp(0);
    }
    let mut extended = Vec::new();
    for n in (2..63).filter(|n| rfbm >> n & 1 != 0) {
        let bytes = if loaded >> n & 1 != 0 {
            let mut bytes = vec![0; cpu.component_bytes(n).len()];
            let offset = cpu.component_offset(n, xcomp);
            cpu.read_area(env, u, at(offset), &mut bytes)?;
            Some(bytes)
        } else {
            None
        };
        extended.push((n, bytes));
    }
    // What WRMSR would refuse, XRSTORS does (SDM Vol. 1 13.12 "Operation of XRSTORS").
    for (n, bytes) in &extended {
        let values = bytes.as_deref().into_iter().flat_map(|bytes| bytes.chunks_exact(8));
        for (&number, value) in cet_registers(*n).iter().zip(values) {
            let value = self::number(value, 0, 8);
            let absent = value == 0 && cpu.read_msr_quiet(number).is_none();
            if !absent && !cpu.allows_msr(number, value) {
                return cpu.gp(0);
            }
        }
    }
    // PKRU has 32 bits in an area of 8 bytes; the rest is not looked at.
    if rfbm & x87 != 0 {
        if loaded & x87 != 0 {
            cpu.restore_x87(&area, u.area_has(WIDE))
        } else {
            cpu.fpu.initialize_x87()
        }
        cpu.x87_summary_changed(env);
    }
    if mxcsr_loaded {
        cpu.fpu.mxcsr = mxcsr;
    } else if compact && rfbm & sse != 0 {
        cpu.fpu.mxcsr = MXCSR_INIT;
    }
    if rfbm & sse != 0 {
        if loaded & sse == 0 {
            area[160..416].fill(0);
        }
        cpu.restore_xmm(&area);
    }
    for (n, bytes) in extended {
        cpu.load_component(n, bytes.as_deref());
    }
    Ok(())
}

/// XGETBV.
pub fn xgetbv(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    if !cpu.sys.cr4.contains(Cr4::OSXSAVE) {
        return cpu.ud();
    }
    let xcr0 = cpu.sys.xcr0;
    let value = match cpu.gpr[RCX] as u32 {
        0 => xcr0,
        // CPUID.(EAX=0DH,ECX=1):EAX[2]: XCR0 and XINUSE (SDM Vol. 1 13.2).
        1 if cpu.config.model.leaf(0xD, 1).eax & 4 != 0 => {
            let mxcsr = if cpu.fpu.mxcsr != MXCSR_INIT { xcr0 & 1 << component::SSE } else { 0 };
            cpu.xinuse(xcr0) | mxcsr
        }
        _ => return cpu.gp(0),
    };
    cpu.gpr[RAX] = value & 0xFFFF_FFFF;
    cpu.gpr[RDX] = value >> 32;
    Ok(())
}

/// Whether `value` may be loaded into XCR0 of a processor with the components `supported` (SDM Vol. 1 13.3).
pub fn xcr0_is_valid(value: u64, supported: u64) -> bool {
    use super::sse::operands::xcr0::{AVX, AVX512, SSE};
    let vectors = value & AVX == 0 || value & SSE != 0;
    let avx512 = value & AVX512 == 0 || value & (AVX512 | AVX | SSE) == AVX512 | AVX | SSE;
    // The two MPX components and the two AMX components come together.
    let pairs = (value >> 3 & 1 == value >> 4 & 1) && (value >> 17 & 1 == value >> 18 & 1);
    value & 1 != 0 && value & !supported == 0 && vectors && avx512 && pairs
}

/// XSETBV.
pub fn xsetbv(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    if !cpu.sys.cr4.contains(Cr4::OSXSAVE) {
        return cpu.ud();
    }
    cpu.require_cpl0()?;
    cpu.intercept(u, emu_vmx::intercept::Instruction::Xsetbv)?;
    let value = cpu.edx_eax();
    let leaf = cpu.config.model.leaf(0xD, 0);
    let supported = u64::from(leaf.eax) | u64::from(leaf.edx) << 32;
    if cpu.gpr[RCX] as u32 != 0 || !xcr0_is_valid(value, supported) {
        return cpu.gp(0);
    }
    cpu.sys.xcr0 = value;
    Ok(())
}
