//! Packets of a GDB with mistakes, sent to `--gdb`.

use super::change::{self, Random};
use super::{END, LIMIT, Outcome, Told, at_limit, ended};
use crate::child::{end_within, gdb_place};
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::time::Duration;

/// What a GDB says.
const PACKETS: &[&str] = &[
    "qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+;xmlRegisters=i386",
    "?",
    "!",
    "g",
    "Hgp1.1",
    "Hcp1.-1",
    "p8",
    "p31",
    "P0=1122334455667788",
    "P8=007c000000000000",
    "G00112233445566778899aabbccddeeff",
    "m7c00,40",
    "mfffffff0,20",
    "M7e00,4:90909090",
    "X7e00,4:abcd",
    "Z0,7c00,1",
    "z0,7c00,1",
    "Z1,7c10,1",
    "z1,7c10,1",
    "Z2,400,8",
    "Z3,400,4",
    "Z4,46c,4",
    "z2,400,8",
    "vCont?",
    "vCont;c:p1.-1",
    "vCont;s:p1.1",
    "vCont;s:p1.1;c:p1.-1",
    "vCont;C05:p1.1;c",
    "c",
    "s",
    "bs",
    "bc",
    "qfThreadInfo",
    "qsThreadInfo",
    "qThreadExtraInfo,p1.1",
    "qC",
    "qAttached:1",
    "qXfer:features:read:target.xml:0,ffb",
    "qXfer:features:read:target.xml:100,40",
    "qXfer:memory-map:read::0,100",
    "qCRC:0,100",
    "Tp1.1",
    "vMustReplyEmpty",
    "QStartNoAckMode",
    "QThreadEvents:1",
    "R00",
    "vKill;1",
    "D;1",
    "k",
];

/// Commands of the debugger, for `qRcmd`.
const COMMANDS: &[&str] = &[
    "help",
    "r",
    "creg",
    "sreg",
    "ptime",
    "hash",
    "vmx",
    "info cpu",
    "info apic",
    "tab",
    "page 7c00",
    "x /4xw 7c00",
    "xp /4xb 7c00",
    "u /4 7c00",
    "vmcs",
    "vmcs list",
    "b 7c00",
    "b exception 13",
    "d 1",
    "s 5",
    "n 3",
    "c",
    "rs 2",
    "rc",
    "set eax = 5",
    "setpmem 7e00 1 5",
    "trace on",
    "print 1+2*(3",
    "watch w 400 4",
    "key a",
    "sb 1000",
    "sba 5000",
    "goto 5000",
    "history 3",
    "exits",
    "exits csv e.csv",
    "vmentry rules",
    "walk 7c00",
    "ept lint",
    "screen s.png",
    "save d.snap",
    "restore d.snap",
    "bt 5",
    "msr 10",
    "cpu 0",
    "until 7c10",
    "reset",
];

/// The packets that a session is made of.
pub fn seeds() -> Vec<Vec<u8>> {
    let commands = COMMANDS.iter().map(|command| {
        let digits: String = command.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("qRcmd,{digits}")
    });
    PACKETS.iter().map(|packet| (*packet).to_owned()).chain(commands).map(String::into_bytes).collect()
}

/// A session: a greeting, packets of which a part has mistakes, and now and then what is no packet.
pub fn session(_first: &[u8], random: &mut Random) -> Vec<u8> {
    let seeds = seeds();
    let mut stream = framed(&seeds[0]);
    // Those behind `R` end a session.
    let ends = PACKETS.iter().position(|packet| *packet == "R00").unwrap_or(0);
    for _ in 0..4 + random.below(20) {
        let last = random.once_in(40);
        let n = random.below(seeds.len());
        if (ends..PACKETS.len()).contains(&n) && !last {
            continue;
        }
        // A packet that cannot be understood ends the session.
        let packet = if random.once_in(24) { changed(&seeds[n], random) } else { seeds[n].clone() };
        match random.below(200) {
            0 => stream.extend((0..random.below(40)).map(|_| random.number() as u8)),
            1..4 => stream.push(3),
            4 => stream.extend([b"$".as_slice(), &packet, b"#zz"].concat()),
            5 => stream.extend([b"$".as_slice(), &packet].concat()),
            _ => stream.extend(framed(&packet)),
        }
    }
    stream
}

fn changed(packet: &[u8], random: &mut Random) -> Vec<u8> {
    match random.below(4) {
        0 => change::bytes(packet, random),
        1 => [packet, packet].concat(),
        _ => change::text(packet, random),
    }
}

/// A packet with its checksum, behind an acknowledgement of what came before.
fn framed(packet: &[u8]) -> Vec<u8> {
    let sum = packet.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    [b"+$".as_slice(), packet, format!("#{sum:02x}").as_bytes()].concat()
}

/// Sends a session to the emulator of this command. It comes to its limit when GDB is gone, or ends by SIGTERM before.
pub fn outcome(command: &mut Command, stream: &[u8]) -> io::Result<Outcome> {
    let mut child = command.spawn()?;
    let mut errors = BufReader::new(child.stderr.take().ok_or_else(|| io::Error::other("no standard error"))?);
    let place = gdb_place(&mut errors);
    let told = Told::from(Some(errors));
    let place = match place {
        Ok(place) => place,
        Err(error) => {
            let end = end_within(&mut child, LIMIT)?;
            return Ok(told.judge(end.map(|(status, _)| status.code()).ok_or(error.to_string()), false));
        }
    };
    let mut connection = TcpStream::connect(place)?;
    connection.set_write_timeout(Some(END))?;
    let mut answers = connection.try_clone()?;
    // Its end is the connection's.
    let reader = std::thread::spawn(move || while answers.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {});
    // The emulator may be gone already.
    let _ = connection.write_all(stream);
    let by_signal = stream.len().is_multiple_of(4);
    let status = if by_signal {
        std::thread::sleep(Duration::from_millis(100));
        ended(&mut child)?
    } else {
        let _ = connection.shutdown(Shutdown::Write);
        at_limit(&mut child)?
    };
    let _ = connection.shutdown(Shutdown::Both);
    reader.join().map_err(|_| io::Error::other("the reader has panicked"))?;
    Ok(told.judge(status, by_signal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_begins_as_gdb_does_and_has_packets_with_their_checksums() {
        assert_eq!(framed(b"g"), b"+$g#67");
        let mut random = Random::new(1);
        let sessions: Vec<Vec<u8>> = (0..50).map(|_| session(&[], &mut random)).collect();
        assert!(sessions.iter().all(|stream| stream.starts_with(b"+$qSupported:")));
        let packets: usize = sessions.iter().map(|stream| stream.iter().filter(|byte| **byte == b'$').count()).sum();
        assert!(packets > 400, "{packets}");
    }
}
