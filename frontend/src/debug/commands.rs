//! The table of commands.

use super::answer::{Answer, Table};
use super::session::{CommandError, Outcome, Session};
use super::{
    cmd_breaks, cmd_exits, cmd_info, cmd_memory, cmd_paging, cmd_registers, cmd_run, cmd_travel, cmd_vmcs, cmd_vmentry,
    cmd_vmexit,
};
use serde_json::json;

/// A command.
pub struct Command {
    /// Its names, the first for lists.
    pub names: &'static [&'static str],
    /// How it is written.
    pub usage: &'static str,
    /// What it does, in a sentence.
    pub help: &'static str,
    /// An empty line repeats it.
    pub repeats: bool,
    /// Carries it out.
    pub run: fn(&mut Session, &str) -> Outcome,
}

impl Command {
    /// Whether it has no arguments.
    pub fn takes_nothing(&self) -> bool {
        self.names.contains(&self.usage)
    }
}

/// Declares the table.
macro_rules! commands {
    ($($names:expr, $usage:literal, $help:literal $(, $repeats:ident)? => $run:path;)*) => {
        /// All commands, in the order of lists.
        pub const ALL: &[Command] = &[$(Command {
            names: &$names,
            usage: $usage,
            help: $help,
            repeats: commands!(@repeats $($repeats)?),
            run: $run,
        }),*];
    };
    (@repeats) => { false };
    (@repeats repeats) => { true };
}

commands! {
    ["help", "h"], "help [COMMAND]", "the commands, or one of them" => help;
    ["quit", "q", "exit"], "quit", "end the session" => quit;
    ["json"], "json on|off", "answer all commands in JSON, as --json does for one" => json_mode;
    ["source"], "source FILE", "carry out the commands in a file" => cmd_run::source;

    ["c", "cont", "continue"], "c", "run until something stops the machine", repeats => cmd_run::cont;
    ["s", "step", "stepi", "si"], "s [N]", "N instructions of this processor, each iteration of a repeated one counts; the others take their turns", repeats => cmd_run::step;
    ["n", "next", "nexti", "ni"], "n", "one instruction, and over calls, interrupts and repeats", repeats => cmd_run::next;
    ["p"], "p [EXPR]", "Bochs's name of n; with an expression, GDB's name of print", repeats => cmd_run::next_or_print;
    ["finish", "fin"], "finish", "run until the present function has returned" => cmd_run::finish;
    ["until"], "until ADDR", "run until an instruction at a linear address" => cmd_run::until;
    ["sb"], "sb CYCLES", "run for so many cycles" => cmd_run::stop_after;
    ["sba"], "sba CYCLE", "run until the clock is there" => cmd_run::stop_at;
    ["cpu"], "cpu [N]", "choose the processor that commands are about; or list all" => cmd_run::cpu;
    ["ptime"], "ptime", "the clock: cycles, guest seconds, instructions" => cmd_run::ptime;
    ["last"], "last [N]", "the last N instructions of this processor" => cmd_travel::last;
    ["trace"], "trace on|off [cpu N]", "print every instruction that is executed, and what it does" => cmd_run::trace;
    ["modebp"], "modebp", "stop, or no longer, where the mode of operation changes" => cmd_breaks::modebp;
    ["reset"], "reset", "push the reset button" => cmd_run::reset;
    ["key"], "key NAMES", "press and release keys together, as in key LeftAlt+F4" => cmd_run::key;
    ["type"], "type \"TEXT\"", "type a text; \\n is Enter" => cmd_run::type_text;
    ["hash"], "hash", "a hash of everything that the guest can see" => cmd_run::hash;
    ["save"], "save FILE", "write a snapshot" => cmd_run::save;
    ["restore"], "restore FILE", "go to a snapshot of this machine" => cmd_run::restore;

    ["rs", "rstep"], "rs [N]", "N instructions of this processor back", repeats => cmd_travel::step;
    ["rn", "rnext"], "rn", "one instruction back, and over calls", repeats => cmd_travel::next;
    ["rc", "rcont"], "rc", "back to the last instruction that met a breakpoint, or did what one waits for", repeats => cmd_travel::cont;
    ["goto"], "goto CYCLE | goto exit N", "to a cycle, or to the VMM behind a VM exit; back or on" => cmd_travel::goto;
    ["history"], "history [N]", "snapshots that are kept to go back by; let N be kept, or none" => cmd_travel::history;

    ["b", "lb", "break", "lbreak"], "b [ADDR] | io|mmio ADDR[..ADDR] [r|w] | msr|cr|exception|interrupt|vmwrite [WHICH] | mnemonic NAME | vmentry [failed] | vmexit [REASONS] | mode  [cpu N] [ignore N] [if EXPR]", "stop there" => cmd_breaks::add;
    ["pb", "pbreak"], "pb ADDR [cpu N] [ignore N] [if EXPR]", "stop at an instruction at a physical address" => cmd_breaks::physical;
    ["vb", "vbreak"], "vb SELECTOR:OFFSET [cpu N] [ignore N] [if EXPR]", "stop at an instruction at an offset of a code segment" => cmd_breaks::virtual_address;
    ["watch"], "watch [r|w|rw] [phys] ADDR [BYTES] [cpu N] [ignore N] [if EXPR]", "stop after an access to memory (a write, unless told)" => cmd_breaks::watch;
    ["d", "del", "delete", "unwatch"], "d N|all", "delete a breakpoint" => cmd_breaks::delete;
    ["bpe", "enable"], "bpe N", "enable it again" => cmd_breaks::enable;
    ["bpd", "disable"], "bpd N", "disable a breakpoint" => cmd_breaks::disable;
    ["ignore"], "ignore N COUNT", "let a breakpoint be met so often without stopping" => cmd_breaks::ignore;

    ["r", "reg", "regs", "registers"], "r [REGISTER]", "general registers, RIP and flags; or one of any kind" => cmd_registers::general;
    ["sreg"], "sreg", "segment registers, GDTR and IDTR" => cmd_registers::segments;
    ["creg"], "creg", "control registers, EFER and XCR0, bit by bit" => cmd_registers::control;
    ["dreg"], "dreg", "debug registers" => cmd_registers::debug;
    ["fpu"], "fpu", "x87 registers" => cmd_registers::fpu;
    ["sse", "xmm"], "sse", "vector registers as wide as they are used, MXCSR and masks" => cmd_registers::vector;
    ["msr"], "msr [NUMBER|NAME]", "a model-specific register, or all" => cmd_registers::msr;
    ["set"], "set REGISTER = EXPR", "set a general-purpose register, RIP or RFLAGS" => cmd_registers::set;
    ["print", "calc", "?"], "print EXPR", "the value of an expression" => cmd_registers::print;

    ["x"], "x [/COUNT FORMAT UNIT] ADDR", "memory at a linear address: format x d u o t c s i, unit b h w g", repeats => cmd_memory::linear;
    ["xp"], "xp [/COUNT FORMAT UNIT] ADDR", "memory at a physical address", repeats => cmd_memory::physical;
    ["u", "disasm", "disassemble"], "u [/COUNT] [ADDR]", "instructions from a linear address on" => cmd_memory::disassemble;
    ["setpmem"], "setpmem ADDR BYTES VALUE", "write 1, 2, 4 or 8 bytes at a physical address" => cmd_memory::set_physical;
    ["setmem"], "setmem ADDR BYTES VALUE", "write 1, 2, 4 or 8 bytes at a linear address" => cmd_memory::set_linear;
    ["bt", "backtrace"], "bt [N]", "the chain of frame pointers" => cmd_memory::backtrace;
    ["page"], "page ADDR", "the physical address of a linear one" => cmd_memory::page;
    ["walk"], "walk ADDR | walk phys ADDR", "the walk of paging structures and EPT, entry by entry" => cmd_paging::walk;
    ["tab"], "tab", "what the paging structures map, as ranges" => cmd_paging::tab;
    ["ept"], "ept [lint]", "what the current VMCS's EPT maps, as ranges; or what is wrong with it" => cmd_paging::ept;

    ["vmx"], "vmx", "each processor's VMX operation, current VMCS and controls" => cmd_vmcs::vmx;
    ["vmcs"], "vmcs [ADDR|link] [controls|guest|host|exit|FIELD] [all] | vmcs diff [FILE] | vmcs list | vmcs set FIELD = EXPR", "the fields of a VMCS, in words (those that are not 0; all: every one); what changed since the last VM entry" => cmd_vmcs::vmcs;
    ["exits"], "exits [COUNT] [cpu N] [REASON] | exits stat | exits csv FILE | exits svg FILE | exits clear", "the VM exits so far: when, why, how long guest and VMM ran, in cycles" => cmd_exits::exits;
    ["vmentry"], "vmentry [rules|failing|step [N|load]|failures|why [N]|reset]", "the checks of VM entry, rule by rule (reset: step from the first again), and why one failed", repeats => cmd_vmentry::vmentry;
    ["vmexit"], "vmexit [step [N|load]|reset]", "what the last VM exit recorded, saved and loaded, in its order", repeats => cmd_vmexit::vmexit;

    ["blist"], "blist", "the breakpoints, as info b" => cmd_info::breakpoints;
    ["info", "i"], "info b|cpu|mem|screen|exceptions|lbr|apic|symbols", "breakpoints, processors, the screen, the last branches, …" => cmd_info::info;
    ["screen"], "screen [FILE.png]", "the text screen, or the picture in a file" => cmd_info::screen;
    ["ldsym", "symbols"], "ldsym FILE [OFFSET]", "read symbols: ELF, NASM map, nm, System.map" => cmd_info::load_symbols;
    ["slist"], "slist [PREFIX]", "the symbols that begin so" => cmd_info::list_symbols;
    ["where"], "where [ADDR]", "the symbol that an address belongs to" => cmd_info::symbol_at;
}

/// A command by any of its names.
pub fn find(name: &str) -> Option<&'static Command> {
    ALL.iter().find(|command| command.names.contains(&name))
}

/// A command's name and the rest; `?` and `x/4` need no blank.
pub fn split_name(command: &str) -> (&str, &str) {
    if let Some(rest) = command.strip_prefix('?') {
        return ("?", rest.trim());
    }
    let end = command.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(command.len());
    let (name, rest) = command.split_at(end);
    (name, rest.trim())
}

/// What `help` knows besides commands.
const TOPICS: [(&[&str], &str); 3] = [
    (
        &["expressions", "expression", "expr"],
        "numbers       31 0x1f 1fh 0b11\n\
         registers     rax ax cr3 IA32_EFER cs.base cs.limit gdtr.base, flags as zf; $rax is the same\n\
         places        pc (linear address of the instruction) cpl cpu cycle instructions\n\
         memory        byte|word|dword|qword [rsp+8], phys [0x1000], ds:si, 0x7c0:4\n\
         VMCS          vmcs.GuestRip\n\
         symbols       main, 'rax' if a register has that name\n\
         operators     those of C\n",
    ),
    (
        &["conditions", "condition", "events"],
        "b … if EXPR stops only where EXPR is not 0; besides what help expressions lists it may name\n\
         watch         value address physical size write\n\
         io, mmio      value address size write; port\n\
         msr, cr       number value\n\
         exception, interrupt   vector error from injected\n\
         vmentry failed         vmcs\n\
         vmexit        reason qualification guestrip vmcs\n\
         vmwrite       value encoding vmcs\n",
    ),
    (
        &["exits columns", "columns"],
        "guest ran     cycles in VMX non-root operation before the VM exit\n\
         VMM ran       cycles from the VM exit before to the VM entry; - for the first\n",
    ),
];

fn help(_session: &mut Session, arguments: &str) -> Outcome {
    if let Some((_, text)) = TOPICS.iter().find(|topic| topic.0.contains(&arguments)) {
        return Ok(Answer::new(*text, json!({ "topic": arguments, "help": text })));
    }
    if !arguments.is_empty() {
        let Some(command) = find(arguments) else { return Err(CommandError::Unknown(arguments.to_owned())) };
        let names = command.names.join(", ");
        let text = format!("{}\n  {}\n  names: {names}\n", command.usage, command.help);
        return Ok(Answer::new(text, json!({ "names": command.names, "usage": command.usage, "help": command.help })));
    }
    let mut table = Table::new(&["command", "what it does"]);
    for command in ALL {
        table.row([command.names.join(", "), command.help.to_owned()]);
    }
    let list: Vec<_> = ALL.iter().map(|c| json!({ "names": c.names, "usage": c.usage, "help": c.help })).collect();
    let more = "help COMMAND tells how one is written; help expressions and help conditions tell what may stand in one; \
                all take --json; ; separates commands\n";
    Ok(Answer::new(table.text() + more, json!({ "commands": list })))
}

fn quit(session: &mut Session, _arguments: &str) -> Outcome {
    session.over = true;
    Ok(Answer::silent())
}

fn json_mode(session: &mut Session, arguments: &str) -> Outcome {
    session.json = match arguments {
        "on" => true,
        "off" => false,
        _ => return Err(CommandError::Usage("on or off?".to_owned(), "json on|off")),
    };
    Ok(Answer::silent())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_name_is_there_once_and_has_help() {
        let mut names: Vec<&str> = ALL.iter().flat_map(|command| command.names).copied().collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(ALL.iter().all(|command| !command.help.is_empty() && command.usage.contains(command.names[0])));
    }

    #[test]
    fn command_name_ends_at_a_blank_or_a_slash() {
        assert_eq!(split_name("x/4bx 0x7c00"), ("x", "/4bx 0x7c00"));
        assert_eq!(split_name("?1+2"), ("?", "1+2"));
        assert_eq!(split_name("r"), ("r", ""));
    }
}
