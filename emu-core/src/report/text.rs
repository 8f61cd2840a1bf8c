//! Reports as text of at most 80 columns (a long instruction may pass them).

use super::{ChainReport, CpuReport, InstructionReport, words};

/// Columns.
const WIDTH: usize = 80;
/// DR7 when no breakpoint is set.
const DR7_RESET: u64 = 0x400;

/// How much a text tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// One line.
    Line,
    /// What one wants to know first: general registers, the instruction, the last exceptions, VMX operation.
    Short,
    /// Everything.
    Full,
}

impl CpuReport {
    /// The report as lines of text.
    pub fn text(&self, detail: Detail) -> String {
        let mut text = Text::default();
        let head = format!("processor {}: {}", self.number, self.mode);
        if detail == Detail::Line {
            let at = self.code.first().map_or(String::new(), |first| format!(" at {}", self.place(first)));
            text.line(&format!("{head}, {}{at}", self.activity));
            return text.0;
        }
        let cpl = if self.mode.starts_with("real") { String::new() } else { format!(", CPL {}", self.cpl) };
        text.wrapped(0, &format!("{head}{cpl}, {}, {}", self.paging, self.activity));
        self.general(&mut text);
        let next = self.code.iter().position(|instruction| instruction.offset.0 == self.register("RIP")).unwrap_or(0);
        let shown = if detail == Detail::Full { self.code.len() } else { next + 1 };
        for (n, instruction) in self.code.iter().take(shown).enumerate() {
            self.instruction(&mut text, instruction, n == next);
        }
        if detail == Detail::Full {
            self.system(&mut text);
        }
        self.vmx(&mut text, detail);
        self.exceptions(&mut text, detail);
        if detail == Detail::Full {
            self.apic(&mut text);
        }
        text.0
    }

    /// A register as wide as the mode makes it.
    fn wide(&self, value: u64) -> String {
        if self.long_mode { format!("{value:016x}") } else { format!("{:08x}", value as u32) }
    }

    fn place(&self, instruction: &InstructionReport) -> String {
        let (cs, offset) = (instruction.cs.0, instruction.offset.0);
        if self.mode.starts_with("real") || self.mode.starts_with("virtual") {
            format!("{cs:04x}:{offset:04x}")
        } else {
            format!("{cs:04x}:{}", self.wide(offset))
        }
    }

    fn general(&self, text: &mut Text) {
        let (count, a_line) = if self.long_mode { (16, 3) } else { (8, 4) };
        let registers: Vec<String> = self
            .registers
            .iter()
            .take(count)
            .map(|(name, value)| {
                let name = if self.long_mode { format!("{name:3}") } else { name.replacen('R', "E", 1) };
                format!("{name}={}", self.wide(value))
            })
            .collect();
        for line in registers.chunks(a_line) {
            text.line(&format!("  {}", line.join(" ")));
        }
        let (rip, rflags) = (self.register("RIP"), self.register("RFLAGS"));
        let letter = if self.long_mode { 'R' } else { 'E' };
        text.line(&format!("  {letter}IP={} {letter}FLAGS={rflags:08x} [{}]", self.wide(rip), words::flags(rflags)));
    }

    fn register(&self, name: &str) -> u64 {
        self.registers.get(name).or_else(|| self.control.get(name)).unwrap_or(0)
    }

    fn instruction(&self, text: &mut Text, instruction: &InstructionReport, next: bool) {
        let place = self.place(instruction);
        let mark = if next { '>' } else { ' ' };
        let line = format!("  {mark} {place}  {:16} {}", instruction.bytes, instruction.text);
        if line.chars().count() <= WIDTH {
            return text.line(&line);
        }
        text.line(&format!("  {mark} {place}  {} {}", instruction.bytes, instruction.text));
    }

    fn system(&self, text: &mut Text) {
        for segment in &self.segments {
            let base = self.wide(segment.base.0);
            let (selector, limit) = (segment.selector.0, segment.limit.0);
            text.line(&format!("  {:4} {selector:04x} base={base} limit={limit:08x} {}", segment.name, segment.kind));
        }
        for (name, table) in [("GDTR", &self.gdtr), ("IDTR", &self.idtr)] {
            text.line(&format!("  {name}      base={} limit={:04x}", self.wide(table.base.0), table.limit.0));
        }
        for name in ["CR0", "CR4", "EFER"] {
            let value = self.register(name);
            let bits = words::control(name, value).unwrap_or_default();
            text.wrapped(2, &format!("{name}={value:08x} [{bits}]"));
        }
        let values = |names: &[&str]| {
            names.iter().map(|name| format!("{name}={}", self.wide(self.register(name)))).collect::<Vec<_>>().join(" ")
        };
        text.wrapped(2, &values(&["CR2", "CR3"]));
        text.wrapped(2, &format!("CR8={:x} XCR0={:x}", self.register("CR8"), self.register("XCR0")));
        let breakpoints = ["DR0", "DR1", "DR2", "DR3"];
        if self.register("DR7") != DR7_RESET || breakpoints.iter().any(|name| self.register(name) != 0) {
            text.wrapped(2, &values(&breakpoints));
            text.wrapped(2, &values(&["DR6", "DR7"]));
        }
    }

    fn vmx(&self, text: &mut Text, detail: Detail) {
        let vmx = &self.vmx;
        if vmx.operation == "off" {
            if detail == Detail::Full {
                text.line("  VMX operation: off");
            }
            return;
        }
        let mut parts = vec![format!("VMX {} operation", vmx.operation)];
        match (vmx.current_vmcs, &vmx.guest) {
            (Some(pointer), Some(guest)) => parts.push(format!("current VMCS {pointer} ({})", guest.launch_state)),
            (Some(pointer), None) => parts.push(format!("current VMCS {pointer}")),
            (None, _) => parts.push("no current VMCS".to_owned()),
        }
        parts.extend(vmx.ept_pointer.map(|pointer| format!("EPTP {pointer}")));
        if vmx.vpid != 0 {
            parts.push(format!("VPID {}", vmx.vpid));
        }
        if detail == Detail::Full {
            parts.extend(vmx.vmxon_pointer.map(|pointer| format!("VMXON region {pointer}")));
        }
        text.wrapped(2, &parts.join(", "));
        let Some(guest) = &vmx.guest else { return };
        if vmx.operation == "root" {
            let mut parts = vec![format!("its guest: {:04x}:{:#x}", guest.cs.0, guest.rip.0)];
            if detail == Detail::Full {
                parts.push(format!("RSP {}, RFLAGS {}", guest.rsp, guest.rflags));
                parts.push(format!("CR0 {}, CR3 {}, CR4 {}", guest.cr0, guest.cr3, guest.cr4));
            }
            text.wrapped(4, &parts.join(", "));
        }
        if vmx.exits != 0 || guest.exit_reason.0 >> 31 != 0 {
            let number = guest.exit_reason.0 & 0xFFFF;
            text.wrapped(
                4,
                &format!("last VM exit: {number} ({}), qualification {}", guest.exit, guest.exit_qualification),
            );
        }
        if guest.instruction_error != 0 {
            text.line(&format!("    VM-instruction error: {}", guest.instruction_error));
        }
        if detail == Detail::Full {
            text.line(&format!("    VM entries: {}, VM exits: {}", vmx.entries, vmx.exits));
        }
    }

    fn exceptions(&self, text: &mut Text, detail: Detail) {
        let Some(last) = self.exceptions.last() else {
            if detail == Detail::Full {
                text.line("  exceptions: none");
            }
            return;
        };
        text.wrapped(2, &format!("last exception: {}", last.text));
        self.chain_place(text, last);
        for event in &last.events {
            if let Some(meaning) = &event.meaning {
                text.wrapped(4, &format!("{}: {meaning}", event.name));
            }
        }
        if detail == Detail::Full {
            for (n, chain) in self.exceptions.iter().rev().skip(1).enumerate() {
                text.wrapped(2, &format!("{}: {}", if n == 0 { "before that" } else { "before" }, chain.text));
                self.chain_place(text, chain);
            }
        }
    }

    fn chain_place(&self, text: &mut Text, chain: &ChainReport) {
        let guest = if chain.non_root { ", in VMX non-root operation" } else { "" };
        let (cs, rip) = (chain.cs.0, chain.rip.0);
        text.wrapped(4, &format!("at {cs:04x}:{rip:#x}, CPL {}, cycle {}{guest}", chain.cpl, chain.cycle));
    }

    fn apic(&self, text: &mut Text) {
        let apic = &self.local_apic;
        let mut parts = vec![format!("local APIC {}: {}", apic.id, apic.mode)];
        if apic.mode == "xAPIC" {
            parts.push(format!("at {}", apic.base));
        }
        if apic.mode != "disabled" {
            parts.push((if apic.software_enabled { "enabled" } else { "not enabled by software" }).to_owned());
            parts.push(format!("TPR {}", apic.tpr));
        }
        if apic.errors.0 != 0 {
            parts.push(format!("errors {}", apic.errors));
        }
        text.wrapped(2, &parts.join(", "));
        let due = apic.timer_cycle.map_or(String::new(), |cycle| format!(", fires at cycle {cycle}"));
        text.wrapped(4, &format!("timer: {}{due}", apic.timer));
        for (name, vectors) in [("requested", &apic.requested), ("in service", &apic.in_service)] {
            if !vectors.is_empty() {
                let list: Vec<String> = vectors.iter().map(|vector| format!("{vector:#04x}")).collect();
                text.wrapped(4, &format!("{name}: {}", list.join(" ")));
            }
        }
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }

    /// A paragraph, broken at blanks; what follows its first line stands two columns further in.
    fn wrapped(&mut self, indent: usize, paragraph: &str) {
        let mut line = " ".repeat(indent);
        let mut empty = true;
        for word in paragraph.split(' ') {
            if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(&line);
                line = " ".repeat(indent + 2);
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        self.line(&line);
    }
}
