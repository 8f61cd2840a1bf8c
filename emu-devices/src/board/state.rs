//! The board's whole state.

use super::{Board, DevicesState, Wires};
use crate::device::Requests;
use crate::disk::{DiskImage, DiskState, DrivePlace, MediumId};
use crate::input::Inputs;
use crate::line::Lines;
use crate::sched::Deadlines;
use crate::state::{LAST_CYCLE, StateError, check};
use serde::{Deserialize, Serialize};

/// Everything that the board and its devices put away, with what the guest has written to media that are kept apart from
/// their files. Media that are written through are only named, by size and fingerprint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BoardState {
    hz: u64,
    time: u64,
    lines: Lines,
    held: [u64; 24],
    deadlines: Deadlines,
    requests: Requests,
    signal: bool,
    intr: bool,
    inputs: Inputs,
    devices: DevicesState,
    drives: Vec<DriveState>,
}

/// One place for a drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct DriveState {
    /// What drive is there.
    kind: Option<String>,
    medium: Option<DiskState>,
}

impl Board {
    /// The whole state. An error says which image cannot be read through.
    pub fn save(&self) -> Result<BoardState, StateError> {
        let Wires { hz, time, lines, held, deadlines, requests, signal, intr, inputs, .. } = &self.wires;
        // The decoders follow from the claims; the shelf and the record are the host's.
        let Wires { ports: _, mmio: _, shelf: _, recorded: _, .. } = &self.wires;
        let drive = |place: DrivePlace| {
            let medium = self.medium(place).map(|image| image.save()).transpose()?;
            Ok(DriveState { kind: self.drive_kind(place), medium })
        };
        Ok(BoardState {
            hz: *hz,
            time: *time,
            lines: lines.clone(),
            held: *held,
            deadlines: deadlines.clone(),
            requests: requests.clone(),
            signal: *signal,
            intr: *intr,
            inputs: inputs.clone(),
            devices: self.save_devices(),
            drives: DrivePlace::ALL.into_iter().map(drive).collect::<Result<_, StateError>>()?,
        })
    }

    /// Takes a state back, of a board of the same configuration. Media are looked for in the drives and among those at
    /// hand. After an error in the state of a device the board is in no state to run; other errors leave it as it was.
    pub fn restore(&mut self, state: BoardState) -> Result<(), StateError> {
        let BoardState { hz, time, lines, held, mut deadlines, requests, signal, intr, inputs, devices, drives } =
            state;
        let clock = |hz: u64| format!("{hz} cycles a second");
        if hz != self.wires.hz {
            return Err(StateError::OtherMachine { saved: clock(hz), here: clock(self.wires.hz) });
        }
        check(time <= LAST_CYCLE, "board", "its time is out of range")?;
        check(lines.is_sound() && inputs.is_sound() && deadlines.is_sound(), "board", "its lists are out of range")?;
        self.check_drives(&drives)?;
        self.restore_media(drives)?;
        self.restore_devices(devices)?;
        deadlines.sort();
        let Wires { ports, mmio, shelf, recorded, .. } = std::mem::replace(&mut self.wires, Wires::new(hz));
        self.wires =
            Wires { hz, time, lines, held, deadlines, requests, signal, intr, inputs, ports, mmio, shelf, recorded };
        self.decode();
        Ok(())
    }

    fn check_drives(&self, drives: &[DriveState]) -> Result<(), StateError> {
        check(drives.len() == DrivePlace::ALL.len(), "board", "it has another number of drives")?;
        for (place, saved) in DrivePlace::ALL.into_iter().zip(drives) {
            let here = self.drive_kind(place);
            if here != saved.kind {
                let text = |kind: &Option<String>| format!("{} as {place}", kind.as_deref().unwrap_or("no drive"));
                return Err(StateError::OtherMachine { saved: text(&saved.kind), here: text(&here) });
            }
        }
        Ok(())
    }

    /// Puts each medium where it was, with what was written to it.
    fn restore_media(&mut self, drives: Vec<DriveState>) -> Result<(), StateError> {
        let mut moves = Vec::new();
        for (place, saved) in DrivePlace::ALL.into_iter().zip(&drives) {
            let here = self.medium(place).map(DiskImage::id).transpose()?;
            let wanted = saved.medium.as_ref().map(|medium| medium.id);
            if here != wanted {
                moves.push((place, here, wanted, &saved.medium));
            }
        }
        // Nothing moves until every medium is found.
        let removable = moves.iter().filter(|(place, ..)| self.takes_media(*place));
        let mut at_hand: Vec<_> = removable.filter_map(|(_, here, ..)| *here).collect();
        for image in &self.wires.shelf {
            at_hand.push(image.id()?);
        }
        for (place, here, wanted, saved) in &moves {
            let found = match wanted {
                Some(id) if self.takes_media(*place) => at_hand.iter().position(|other| other == id),
                Some(_) => None,
                None => continue,
            };
            let Some(found) = found else {
                let text = |id: Option<MediumId>| id.map_or("no medium".to_owned(), |id| id.to_string());
                let name = saved.as_ref().map_or("", |medium| medium.name.as_str());
                let saved = format!("{name:?} ({})", text(*wanted));
                let (drive, here, removable) = (place.to_string(), text(*here), self.takes_media(*place));
                return Err(StateError::OtherMedium { drive, saved, here, removable });
            };
            at_hand.swap_remove(found);
        }
        let moves: Vec<_> = moves.into_iter().map(|(place, _, wanted, _)| (place, wanted)).collect();
        for (place, _) in &moves {
            self.swap_medium(*place, None);
        }
        for (place, wanted) in moves {
            let matches = |image: &DiskImage| image.id().ok() == wanted;
            if let Some(at) = self.wires.shelf.iter().position(matches) {
                let image = self.wires.shelf.remove(at);
                self.swap_medium(place, Some(image));
            }
        }
        for (place, saved) in DrivePlace::ALL.into_iter().zip(drives) {
            if let (Some(image), Some(state)) = (self.medium_mut(place), saved.medium) {
                image.restore(state)?;
            }
        }
        Ok(())
    }

    /// What a guest can notice of the board, encoded: equal states give equal bytes.
    pub fn encode_state(&self) -> Result<Vec<u8>, StateError> {
        let wires = &self.wires;
        let own = (&wires.held, &wires.lines, &wires.deadlines, &wires.requests, wires.intr);
        let written: Vec<_> = DrivePlace::ALL.iter().map(|place| self.medium(*place).map(DiskImage::written)).collect();
        self.encode_devices(postcard::to_allocvec(&(own, written))?)
    }
}
