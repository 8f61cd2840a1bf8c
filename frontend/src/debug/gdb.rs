//! The GDB server: a thread a processor, on top of the same session as the debugger's own commands, which `monitor`
//! passes through.

use super::breakpoints::{Accesses, Breakpoint, Kind};
use super::gdb_connection::Connection;
use super::gdb_registers::{Bytes, Description, X86};
use super::session::Session;
use super::target::{Came, How};
use super::watcher::{Here, Hit};
use crate::error::InputError;
use crate::machine::RunResult;
use crate::output;
use gdbstub::common::{Signal, Tid};
use gdbstub::conn::ConnectionExt;
use gdbstub::stub::run_blocking::{BlockingEventLoop, Event, WaitForStopReasonError};
use gdbstub::stub::{DisconnectReason, GdbStub, MultiThreadStopReason};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadResume, MultiThreadResumeOps, MultiThreadSchedulerLocking,
    MultiThreadSchedulerLockingOps, MultiThreadSingleStep, MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::reverse_exec::{
    ReplayLogPosition, ReverseCont, ReverseContOps, ReverseStep, ReverseStepOps,
};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, BreakpointsOps, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint,
    SwBreakpointOps, WatchKind,
};
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps};
use gdbstub::target::ext::target_description_xml_override::{
    TargetDescriptionXmlOverride, TargetDescriptionXmlOverrideOps,
};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use std::io::ErrorKind;
use std::marker::PhantomData;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// EFAULT, for memory that is not there.
const FAULT: u8 = 14;
/// Cycles between two looks at the connection, as a part of a guest second.
const LOOKS: u64 = 100;
/// Between two looks for GDB.
const WAIT: Duration = Duration::from_millis(10);

/// What GDB has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Continue,
    Step(usize),
    Back,
    StepBack(usize),
}

struct Server<'s> {
    session: &'s mut Session,
    /// For commands that run the machine: GDB may want them to stop.
    connection: Connection,
    description: Description,
    xml: String,
    action: Action,
    /// Breakpoints that GDB has set; it knows of no others.
    own: Vec<u32>,
    /// What GDB's user is told of one that GDB does not know.
    told: String,
}

type Reason = MultiThreadStopReason<u64>;

/// What comes before GDB.
enum Met {
    Gdb(TcpStream),
    /// The machine's end, or another reason for it to stop.
    End,
    CtrlC,
}

/// The connection of GDB, which the machine waits for or meanwhile runs.
fn meet(session: &mut Session, listener: &TcpListener, wait: bool) -> std::io::Result<Met> {
    listener.set_nonblocking(true)?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(Met::Gdb(stream));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if wait {
            if session.target.interrupted() {
                return Ok(Met::CtrlC);
            }
            std::thread::sleep(WAIT);
            continue;
        }
        let until = session.target.pc().now().saturating_add((session.target.hz() / LOOKS).max(1));
        match session.target.go_on(How::Until(until), &mut session.watcher) {
            Came::There | Came::Hit => {}
            Came::Interrupted => return Ok(Met::CtrlC),
            Came::Ended(_) | Came::Limit(_) | Came::Failed(_) => return Ok(Met::End),
        }
    }
}

/// Serves GDB on this computer's port until it goes; whether it asked to end the session. The machine waits for it, or
/// runs until it comes; so it does again when GDB has sent what cannot be answered.
pub fn serve(session: &mut Session, port: u16, wait: bool) -> Result<bool, InputError> {
    let place = format!("127.0.0.1:{port}");
    let error = |what: &str, e: &dyn std::fmt::Display| InputError::new(place.clone(), format!("{what}: {e}"));
    let bind = |place: &str| TcpListener::bind(place).map_err(|e| error("cannot wait for GDB", &e));
    let mut listener = bind(&place)?;
    let bound = listener.local_addr().map_err(|e| error("cannot wait for GDB", &e))?.to_string();
    let error = |what: &str, e: &dyn std::fmt::Display| InputError::new(bound.clone(), format!("{what}: {e}"));
    let what = if wait { "waiting for GDB" } else { "the guest runs, GDB may come" };
    loop {
        output::tell(&format!("rvmx-emu: {what}: target remote {bound}\n"));
        let stream = match meet(session, &listener, wait).map_err(|e| error("GDB does not come", &e))? {
            Met::Gdb(stream) => stream,
            Met::End => return Ok(false),
            Met::CtrlC => return Ok(true),
        };
        // There is room for one.
        drop(listener);
        let Some(cpu) = session.target.pc().cpus.get(session.cpu) else { return Ok(true) };
        let description = Description::of(cpu);
        let xml = description.xml();
        let connection = Connection::new(stream);
        let mut server = Server {
            session: &mut *session,
            connection: connection.clone(),
            description,
            xml,
            action: Action::Continue,
            own: Vec::new(),
            told: String::new(),
        };
        match GdbStub::new(connection).run_blocking::<Loop>(&mut server) {
            Ok(DisconnectReason::Disconnect) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(problem) if problem.is_connection_error() => return Ok(false),
            // Whatever GDB has sent, the guest is not to blame: the next GDB may do better.
            Err(problem) => output::tell(&format!("rvmx-emu: {bound}: GDB is sent away: {problem}\n")),
        }
        session.watcher.breakpoints.clear();
        session.watcher.begin();
        listener = bind(&bound)?;
    }
}

struct Loop<'s>(PhantomData<&'s ()>);

impl<'s> BlockingEventLoop for Loop<'s> {
    type Target = Server<'s>;
    type Connection = Connection;
    type StopReason = Reason;

    fn wait_for_stop_reason(
        server: &mut Server<'s>,
        connection: &mut Connection,
    ) -> Result<Event<Reason>, WaitForStopReasonError<String, std::io::Error>> {
        let mut first = true;
        loop {
            if let Some(reason) = server.go(first) {
                connection.tell(&std::mem::take(&mut server.told)).map_err(WaitForStopReasonError::Connection)?;
                return Ok(Event::TargetStopped(reason));
            }
            first = false;
            if connection.peek().map_err(WaitForStopReasonError::Connection)?.is_some() {
                let byte = connection.read().map_err(WaitForStopReasonError::Connection)?;
                return Ok(Event::IncomingData(byte));
            }
        }
    }

    fn on_interrupt(server: &mut Server<'s>) -> Result<Option<Reason>, String> {
        let tid = tid(server.session.target.running());
        Ok(Some(Reason::SignalWithThread { tid, signal: Signal::SIGINT }))
    }
}

/// A step is done; GDB wants to know of which processor.
fn stepped(n: usize) -> Reason {
    Reason::SignalWithThread { tid: tid(n), signal: Signal::SIGTRAP }
}

/// GDB's number of a processor.
fn tid(n: usize) -> Tid {
    Tid::MIN.saturating_add(n)
}

fn processor(tid: Tid) -> usize {
    tid.get() - 1
}

impl Server<'_> {
    /// The processor to step; of one that is not there, the one whose turn it is.
    fn existing(&self, tid: Tid) -> usize {
        let n = processor(tid);
        if n < self.session.target.pc().cpus.len() { n } else { self.session.target.running() }
    }

    /// Runs for a little; why the machine has stopped, if it has.
    fn go(&mut self, first: bool) -> Option<Reason> {
        let session = &mut *self.session;
        let how = match self.action {
            Action::Continue => {
                let pc = session.target.pc();
                How::Until(pc.now().saturating_add((session.target.hz() / LOOKS).max(1)))
            }
            Action::Step(n) => How::Step(n),
            Action::StepBack(n) => {
                let back = session.target.back(n, 1);
                return Some(self.went_back(back.is_ok(), n));
            }
            Action::Back => {
                let hit = session.target.back_to_hit(&mut session.watcher);
                return Some(match hit {
                    Ok(hit) => self.hit_reason(&hit),
                    Err(_) => {
                        // Its beginning is where a run that nothing stops comes to; without snapshots it is here.
                        let _ = session.target.back_to_beginning();
                        self.went_back(false, 0)
                    }
                });
            }
        };
        let came = if first {
            session.target.run(how, &mut session.watcher)
        } else {
            session.target.go_on(how, &mut session.watcher)
        };
        let hit = session.watcher.hit.take();
        match came {
            Came::There => match how {
                How::Step(n) => {
                    session.cpu = n;
                    Some(stepped(n))
                }
                How::Until(_) => None,
            },
            Came::Hit => {
                let hit = hit?;
                Some(self.hit_reason(&hit))
            }
            Came::Ended(RunResult::ExitStatus(status)) => Some(Reason::Exited(status as u8)),
            Came::Ended(RunResult::PoweredOff) => Some(Reason::Exited(0)),
            Came::Ended(_) => Some(Reason::Signal(Signal::SIGSEGV)),
            Came::Interrupted | Came::Limit(_) | Came::Failed(_) => Some(Reason::Signal(Signal::SIGINT)),
        }
    }

    fn went_back(&mut self, well: bool, n: usize) -> Reason {
        self.session.cpu = n;
        if well { stepped(n) } else { Reason::ReplayLog { tid: Some(tid(n)), pos: ReplayLogPosition::Begin } }
    }

    fn hit_reason(&mut self, hit: &Hit) -> Reason {
        let (n, id) = (hit.processor as usize, hit.breakpoint);
        self.session.cpu = n;
        if id.is_some_and(|id| !self.own.contains(&id)) {
            self.told = self.session.hit_words(hit) + "\n";
            return stepped(n);
        }
        let found = self.session.watcher.breakpoints.iter().find(|breakpoint| Some(breakpoint.id) == id);
        match found.map(|breakpoint| &breakpoint.kind) {
            Some(Kind::Linear(_)) => Reason::SwBreak(tid(n)),
            Some(Kind::Memory { range, access, .. }) => {
                let kind = match (access.reads, access.writes) {
                    (true, true) => WatchKind::ReadWrite,
                    (true, false) => WatchKind::Read,
                    _ => WatchKind::Write,
                };
                Reason::Watch { tid: tid(n), kind, addr: *range.start() }
            }
            _ => stepped(n),
        }
    }

    fn add(&mut self, kind: Kind) {
        let id = self.session.add(Breakpoint {
            id: 0,
            kind,
            cpu: None,
            condition: None,
            condition_text: String::new(),
            ignore: 0,
            hits: 0,
            enabled: true,
        });
        self.own.push(id);
    }

    fn remove(&mut self, kind: &Kind) -> bool {
        let list = &mut self.session.watcher.breakpoints;
        let own = &self.own;
        let place = list.iter().rposition(|breakpoint| breakpoint.kind == *kind && own.contains(&breakpoint.id));
        place.map(|place| list.remove(place)).is_some()
    }
}

impl Target for Server<'_> {
    type Arch = X86;
    type Error = String;

    fn base_ops(&mut self) -> BaseOps<'_, X86, String> {
        BaseOps::MultiThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }

    fn support_target_description_xml_override(&mut self) -> Option<TargetDescriptionXmlOverrideOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadBase for Server<'_> {
    fn read_registers(&mut self, registers: &mut Bytes, tid: Tid) -> TargetResult<(), Self> {
        let cpu = self.session.target.pc().cpus.get(processor(tid)).ok_or(TargetError::NonFatal)?;
        registers.0 = self.description.read(cpu);
        Ok(())
    }

    fn write_registers(&mut self, registers: &Bytes, tid: Tid) -> TargetResult<(), Self> {
        let n = processor(tid);
        if registers.0.len() != self.description.size() {
            return Err(TargetError::NonFatal);
        }
        let bytes: Vec<u8> = registers.0.iter().map(|byte| byte.unwrap_or(0)).collect();
        let cpu = self.session.target.pc().cpus.get(n).ok_or(TargetError::NonFatal)?;
        let changes = self.description.changes(cpu, &bytes)?;
        let changed = self
            .session
            .change_whole(|pc| changes.into_iter().try_for_each(|(name, value)| pc.set_register(n, &name, value)));
        changed.map_err(|_| TargetError::NonFatal)
    }

    fn read_addrs(&mut self, start: u64, data: &mut [u8], tid: Tid) -> TargetResult<usize, Self> {
        let pc = self.session.target.pc();
        let cpu = pc.cpus.get(processor(tid)).ok_or(TargetError::NonFatal)?;
        match cpu.peek_linear(&pc.ram, start, data) {
            0 if !data.is_empty() => Err(TargetError::Errno(FAULT)),
            read => Ok(read),
        }
    }

    fn write_addrs(&mut self, start: u64, data: &[u8], tid: Tid) -> TargetResult<(), Self> {
        let written = self.session.change(|pc| pc.write_linear(processor(tid), start, data));
        written.map_err(|_| TargetError::Errno(FAULT))
    }

    fn list_active_threads(&mut self, active: &mut dyn FnMut(Tid)) -> Result<(), String> {
        // "Any thread", which GDB names before it goes back, is the first one: that is to be the one that has stopped.
        let (count, present) = (self.session.target.pc().cpus.len(), self.session.cpu);
        std::iter::once(present).chain((0..count).filter(|n| *n != present)).for_each(|n| active(tid(n)));
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl ThreadExtraInfo for Server<'_> {
    fn thread_extra_info(&self, tid: Tid, buffer: &mut [u8]) -> Result<usize, String> {
        let pc = self.session.target.pc();
        let Some(cpu) = pc.cpus.get(processor(tid)) else { return Ok(0) };
        let report = emu_core::report::CpuReport::new(cpu, &pc.ram);
        let text = format!("CPU#{} [{}, {}]", report.number, report.mode, report.activity);
        let size = text.len().min(buffer.len());
        buffer[..size].copy_from_slice(&text.as_bytes()[..size]);
        Ok(size)
    }
}

impl MultiThreadResume for Server<'_> {
    fn resume(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), String> {
        self.action = Action::Continue;
        Ok(())
    }

    fn set_resume_action_continue(&mut self, _tid: Tid, _signal: Option<Signal>) -> Result<(), String> {
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }

    fn support_reverse_step(&mut self) -> Option<ReverseStepOps<'_, Tid, Self>> {
        Some(self)
    }

    fn support_reverse_cont(&mut self) -> Option<ReverseContOps<'_, Tid, Self>> {
        Some(self)
    }
}

/// A step of one processor lets the others take their turns: time goes on for all.
impl MultiThreadSchedulerLocking for Server<'_> {
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), String> {
        Ok(())
    }
}

impl MultiThreadSingleStep for Server<'_> {
    fn set_resume_action_step(&mut self, tid: Tid, _signal: Option<Signal>) -> Result<(), String> {
        self.action = Action::Step(self.existing(tid));
        Ok(())
    }
}

impl ReverseStep<Tid> for Server<'_> {
    fn reverse_step(&mut self, tid: Tid) -> Result<(), String> {
        self.action = Action::StepBack(self.existing(tid));
        Ok(())
    }
}

impl ReverseCont<Tid> for Server<'_> {
    fn reverse_cont(&mut self) -> Result<(), String> {
        self.action = Action::Back;
        Ok(())
    }
}

impl Breakpoints for Server<'_> {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl SwBreakpoint for Server<'_> {
    fn add_sw_breakpoint(&mut self, address: u64, _kind: usize) -> TargetResult<bool, Self> {
        self.add(Kind::Linear(address));
        Ok(true)
    }

    fn remove_sw_breakpoint(&mut self, address: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.remove(&Kind::Linear(address)))
    }
}

impl HwBreakpoint for Server<'_> {
    fn add_hw_breakpoint(&mut self, address: u64, kind: usize) -> TargetResult<bool, Self> {
        self.add_sw_breakpoint(address, kind)
    }

    fn remove_hw_breakpoint(&mut self, address: u64, kind: usize) -> TargetResult<bool, Self> {
        self.remove_sw_breakpoint(address, kind)
    }
}

/// What GDB's watchpoint waits for.
fn watched(address: u64, size: u64, kind: WatchKind) -> Kind {
    let access = match kind {
        WatchKind::Read => Accesses { reads: true, writes: false },
        WatchKind::Write => Accesses { reads: false, writes: true },
        WatchKind::ReadWrite => Accesses::ALL,
    };
    Kind::Memory { range: address..=address.saturating_add(size.max(1) - 1), physical: false, access }
}

impl HwWatchpoint for Server<'_> {
    fn add_hw_watchpoint(&mut self, address: u64, size: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        self.add(watched(address, size, kind));
        Ok(true)
    }

    fn remove_hw_watchpoint(&mut self, address: u64, size: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        Ok(self.remove(&watched(address, size, kind)))
    }
}

impl MonitorCmd for Server<'_> {
    fn handle_monitor_cmd(&mut self, command: &[u8], mut out: ConsoleOutput<'_>) -> Result<(), String> {
        let connection = self.connection.clone();
        self.session.target.begin_commands();
        self.session.target.set_poll(Some(Box::new(move || connection.wants_a_stop())));
        let places = |session: &Session| session.target.pc().cpus.iter().map(Here::of).collect::<Vec<_>>();
        let before = (places(self.session), self.session.changes);
        let (text, _) = self.session.line(&String::from_utf8_lossy(command));
        self.session.target.set_poll(None);
        out.write_raw(text.as_bytes());
        if before != (places(self.session), self.session.changes) {
            // Nothing in the protocol tells GDB of it.
            out.write_raw(b"GDB still shows the registers of before: maint flush register-cache, then frame\n");
        }
        Ok(())
    }
}

impl TargetDescriptionXmlOverride for Server<'_> {
    fn target_description_xml(
        &self,
        annex: &[u8],
        offset: u64,
        length: usize,
        buffer: &mut [u8],
    ) -> TargetResult<usize, Self> {
        if annex != b"target.xml" {
            return Err(TargetError::NonFatal);
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.xml.len());
        let size = (self.xml.len() - start).min(length).min(buffer.len());
        buffer[..size].copy_from_slice(&self.xml.as_bytes()[start..start + size]);
        Ok(size)
    }
}
