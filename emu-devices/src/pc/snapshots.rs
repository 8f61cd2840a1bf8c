//! Snapshots of the machine.

use super::Pc;
use crate::snapshot::{Configuration, PcState, Snapshot};
use crate::state::{LAST_CYCLE, StateError, check};
use emu_core::hash::StableHash;
use emu_core::snapshot::CoreState;

impl Pc {
    /// What a machine must have in common with this one to take its snapshots.
    pub fn configuration(&self) -> Configuration {
        let cpu = &self.cpus[0];
        Configuration {
            processors: self.cpus.len() as u32,
            model: cpu.config.model.name().to_owned(),
            model_hash: cpu.config.model.fingerprint(),
            memory: self.ram.size(),
            quantum: self.quantum,
            clock: cpu.clock_name(),
            rom_hash: StableHash::of(self.ram.rom()),
            ignores_bad_msrs: cpu.config.ignore_bad_msrs,
        }
    }

    /// The whole machine at this moment, in the middle of a turn too. The run goes on as it would have. Snapshots of one
    /// run share the pages of memory that were not written between them. An error says which disk image cannot be read.
    pub fn snapshot(&mut self) -> Result<Snapshot, StateError> {
        let configuration = self.configuration();
        let Self {
            cpus,
            ram,
            board,
            // Decoded blocks; nothing depends on them.
            cache: _,
            outbox,
            now,
            reached,
            turn,
            intr,
            // Configuration.
            quantum: _,
            // Of the present run.
            work: _,
            ends_at_reset: _,
            rom_pages: _,
        } = self;
        let board = board.save()?;
        let (core, memory) = CoreState::save(cpus, ram);
        let state =
            PcState { core, board, outbox: outbox.clone(), now: *now, reached: *reached, turn: *turn, intr: *intr };
        Ok(Snapshot { configuration, state, memory })
    }

    /// Puts the machine back to a snapshot of one of the same configuration, with the same media at hand. After an error
    /// it is as it was.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), StateError> {
        let Snapshot { configuration, state, memory } = snapshot;
        self.configuration().check(configuration)?;
        let PcState { core, board, outbox, now, reached, turn, intr } = state;
        check((*now).max(*reached) <= LAST_CYCLE, "machine", "its time is out of range")?;
        core.check(memory, &self.cpus, &self.ram)?;
        let before = self.board.save()?;
        if let Err(error) = self.board.restore(board.clone()) {
            // What it was a moment ago it can be again.
            self.board.restore(before)?;
            return Err(error);
        }
        core.restore(memory, &mut self.cpus, &mut self.ram, &mut self.cache)?;
        self.outbox.clone_from(outbox);
        (self.now, self.reached, self.turn, self.intr) = (*now, *reached, *turn, *intr);
        Ok(())
    }
}
