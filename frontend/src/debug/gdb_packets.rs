//! What stands between GDB's bytes and the server: packets are put together, checked, and given on only if the server can
//! read them. One that it cannot read gets an error instead of ending the session.

use std::collections::VecDeque;

/// Bytes of a packet at most, with `$` and the checksum: as many as the server has room for.
const MAX_PACKET: usize = 4096;
/// The byte that stops the guest.
pub const INTERRUPT: u8 = 3;
/// EINVAL: the packet is of no form that the protocol has, or of one that this server has not.
const INVALID: &[u8] = b"E16";
/// E2BIG.
const TOO_LONG: &[u8] = b"E07";

/// What is to be done with a packet.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    /// Another one, that means the same to the server.
    Instead(Vec<u8>),
    Refuse,
}

/// The packet that is being received.
#[derive(Debug, Default)]
enum State {
    #[default]
    Between,
    Body,
    /// Behind the `#`, with the first digit or without.
    Sum(Option<u8>),
}

/// What comes out of a filter.
#[derive(Debug, PartialEq, Eq)]
pub enum Out {
    /// For the server: a whole packet, or an interrupt.
    Server(Vec<u8>),
    /// For GDB: an acknowledgement, or an answer with one.
    Gdb(Vec<u8>),
    /// GDB has not understood the last answer.
    Again,
}

/// Puts packets together.
#[derive(Debug, Default)]
pub struct Filter {
    state: State,
    body: Vec<u8>,
    sum: u8,
    too_long: bool,
    /// Packets are acknowledged no longer.
    silent: bool,
}

impl Filter {
    /// Takes bytes from GDB.
    pub fn take(&mut self, bytes: &[u8], out: &mut VecDeque<Out>) {
        bytes.iter().for_each(|&byte| out.extend(self.byte(byte)));
    }

    fn byte(&mut self, byte: u8) -> Option<Out> {
        match (std::mem::take(&mut self.state), byte) {
            // A packet that was cut begins anew; within one, the byte is always written as two.
            (_, b'$') => {
                self.state = State::Body;
                self.body.clear();
                (self.sum, self.too_long) = (0, false);
            }
            (State::Between, INTERRUPT) => return Some(Out::Server(vec![INTERRUPT])),
            (State::Between, b'-') if !self.silent => return Some(Out::Again),
            // Acknowledgements, and what is none.
            (State::Between, _) => {}
            (State::Body, b'#') => self.state = State::Sum(None),
            (State::Body, _) => {
                self.state = State::Body;
                self.sum = self.sum.wrapping_add(byte);
                if self.body.len() + 4 < MAX_PACKET {
                    self.body.push(byte);
                } else {
                    self.too_long = true;
                }
            }
            (State::Sum(None), _) => self.state = State::Sum(Some(byte)),
            (State::Sum(Some(first)), _) => return Some(self.packet([first, byte])),
        }
        None
    }

    /// A packet is there, with these digits of a checksum.
    fn packet(&mut self, digits: [u8; 2]) -> Out {
        let sum = std::str::from_utf8(&digits).ok().and_then(|text| u8::from_str_radix(text, 16).ok());
        let body = std::mem::take(&mut self.body);
        if sum != Some(self.sum) && !self.silent {
            return Out::Gdb(b"-".to_vec());
        }
        if self.too_long {
            return self.answer(TOO_LONG);
        }
        match judge(&body) {
            Verdict::Pass => {
                self.silent |= body == b"QStartNoAckMode";
                Out::Server(packet(&body))
            }
            Verdict::Instead(other) => Out::Server(packet(&other)),
            Verdict::Refuse => self.answer(INVALID),
        }
    }

    fn answer(&self, text: &[u8]) -> Out {
        let mut out = if self.silent { Vec::new() } else { b"+".to_vec() };
        out.extend(packet(text));
        Out::Gdb(out)
    }
}

/// A packet with its checksum.
fn packet(body: &[u8]) -> Vec<u8> {
    let sum = body.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    [b"$", body, format!("#{sum:02x}").as_bytes()].concat()
}

/// Whether the server can read a packet. Those that begin as no packet of its own, it answers with an empty one.
fn judge(body: &[u8]) -> Verdict {
    let pass = |well: bool| if well { Verdict::Pass } else { Verdict::Refuse };
    let begins = |name: &str| body.strip_prefix(name.as_bytes());
    if let Some(rest) = begins("vCont") {
        return resume(rest);
    }
    if let Some(rest) = begins("qSupported") {
        return supported(rest);
    }
    if let Some(rest) = begins("qAttached").or(begins("D")) {
        let process =
            rest.split_first().is_some_and(|(&sign, id)| matches!(sign, b':' | b';') && id_of(id) == Some(Id::One));
        return pass(rest.is_empty() || process);
    }
    if let Some(rest) = begins("vKill") {
        return pass(rest.strip_prefix(b";").and_then(id_of) == Some(Id::One));
    }
    if let Some(rest) = begins("qXfer:features:read") {
        let parts: Vec<&[u8]> = rest.split(|&byte| byte == b':').collect();
        return pass(matches!(parts[..], [[], _, range] if numbers(range, 2)));
    }
    if let Some(rest) = begins("qRcmd") {
        return pass(rest.is_empty() || rest.strip_prefix(b",").is_some_and(|text| pairs(text, false)));
    }
    if let Some(rest) = begins("qThreadExtraInfo") {
        return pass(
            rest.strip_prefix(b",")
                .and_then(thread)
                .is_some_and(|(process, id)| id == Id::One && process.is_none_or(|process| process == Id::One)),
        );
    }
    for name in ["qfThreadInfo", "qsThreadInfo", "QStartNoAckMode", "bc", "bs", "?", "g", "k"] {
        if let Some(rest) = begins(name) {
            return pass(rest.is_empty());
        }
    }
    let Some((&first, rest)) = body.split_first() else { return Verdict::Pass };
    match first {
        // To go on at another address is more than the server does.
        b'c' | b's' => pass(rest.is_empty()),
        b'G' => pass(pairs(rest, true)),
        b'H' => select(rest),
        b'T' => pass(thread(rest).is_some_and(|(_, id)| id == Id::One)),
        b'm' => pass(numbers(rest, 2)),
        b'M' => pass(write(rest).is_some_and(|(length, data)| pairs(data, false) && data.len() as u64 == 2 * length)),
        b'X' => pass(write(rest).is_some_and(|(length, data)| unescaped(data) == Some(length))),
        b'z' | b'Z' => pass(numbers(rest, 3) && matches!(rest, [b'0'..=b'9', b',', ..])),
        _ => Verdict::Pass,
    }
}

/// Which threads or processes a number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Id {
    All,
    Any,
    One,
}

fn id_of(text: &[u8]) -> Option<Id> {
    if text == b"-1" {
        return Some(Id::All);
    }
    number(text).map(|number| if number == 0 { Id::Any } else { Id::One })
}

/// A thread as `ID`, `pPROCESS` or `pPROCESS.ID`.
fn thread(text: &[u8]) -> Option<(Option<Id>, Id)> {
    let Some(text) = text.strip_prefix(b"p") else { return Some((None, id_of(text)?)) };
    match text.iter().position(|&byte| byte == b'.') {
        None => Some((Some(id_of(text)?), Id::All)),
        Some(at) => Some((Some(id_of(&text[..at])?), id_of(&text[at + 1..])?)),
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = (1..=16).contains(&text.len()) && text.iter().all(u8::is_ascii_hexdigit);
    std::str::from_utf8(text).ok().filter(|_| digits).and_then(|text| u64::from_str_radix(text, 16).ok())
}

/// Whether these are so many numbers between commas.
fn numbers(text: &[u8], count: usize) -> bool {
    let parts: Vec<&[u8]> = text.split(|&byte| byte == b',').collect();
    parts.len() == count && parts.iter().all(|part| number(part).is_some())
}

/// Whether these are bytes of two digits; `xx` is one that is not known.
fn pairs(text: &[u8], unknown: bool) -> bool {
    let digits = |pair: &[u8]| pair.iter().all(u8::is_ascii_hexdigit) || unknown && pair == b"xx";
    text.len().is_multiple_of(2) && text.chunks(2).all(digits)
}

/// Length and data of `ADDR,LENGTH:DATA`.
fn write(text: &[u8]) -> Option<(u64, &[u8])> {
    let at = text.iter().position(|&byte| byte == b':')?;
    let comma = text[..at].iter().position(|&byte| byte == b',')?;
    number(&text[..comma])?;
    Some((number(&text[comma + 1..at])?, &text[at + 1..]))
}

/// How many bytes binary data is; `None` if its last escape lacks its byte.
fn unescaped(data: &[u8]) -> Option<u64> {
    let (mut count, mut bytes) = (0, data.iter());
    while let Some(byte) = bytes.next() {
        if *byte == b'}' {
            bytes.next()?;
        }
        count += 1;
    }
    Some(count)
}

/// `H`: the thread of what follows. For steps all threads are as good as any.
fn select(rest: &[u8]) -> Verdict {
    let Some((&kind, id)) = rest.split_first() else { return Verdict::Refuse };
    match (kind, thread(id)) {
        (b'c', Some((_, Id::All))) => Verdict::Instead(b"Hc0".to_vec()),
        (b'c', Some(_)) | (b'g', Some((_, Id::Any | Id::One))) => Verdict::Pass,
        _ => Verdict::Refuse,
    }
}

/// `vCont`: the server takes steps of one thread, and `s` for one of the thread that has stopped.
fn resume(rest: &[u8]) -> Verdict {
    if rest == b"?" {
        return Verdict::Pass;
    }
    let Some(actions) = rest.strip_prefix(b";") else { return Verdict::Refuse };
    let mut any = false;
    for action in actions.split(|&byte| byte == b';') {
        let mut parts = action.splitn(2, |&byte| byte == b':');
        let what = parts.next().unwrap_or_default();
        let whom = match parts.next().map(thread) {
            None => Id::All,
            Some(Some((None | Some(Id::One | Id::All), id))) => id,
            Some(_) => return Verdict::Refuse,
        };
        match what {
            [b'c'] => {}
            [b's'] => any |= whom != Id::One,
            [b'C', signal @ ..] if signal.len() <= 2 && number(signal).is_some() => {}
            [b'S', signal @ ..] if signal.len() <= 2 && number(signal).is_some() => any |= whom != Id::One,
            _ => return Verdict::Refuse,
        }
    }
    if any { Verdict::Instead(b"s".to_vec()) } else { Verdict::Pass }
}

/// `qSupported`: the server wants one feature at least, and none without a name.
fn supported(rest: &[u8]) -> Verdict {
    let list = match rest {
        [] => rest,
        [b':', list @ ..] => list,
        _ => return Verdict::Refuse,
    };
    let features: Vec<&[u8]> = list.split(|&byte| byte == b';').filter(|feature| !feature.is_empty()).collect();
    let features = if features.is_empty() { b"none-".to_vec() } else { features.join(&b';') };
    Verdict::Instead([b"qSupported:", &features[..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(bytes: &[u8]) -> Vec<Out> {
        let (mut filter, mut out) = (Filter::default(), VecDeque::new());
        filter.take(bytes, &mut out);
        out.into()
    }

    #[test]
    fn packets_that_no_server_can_read_get_an_error() {
        for body in [
            "m,",
            "m1",
            "m0,",
            "m0,1,2",
            "m12345678901234567,1",
            "M0,1:zz",
            "M0,2:00",
            "M500,4:00",
            "M0,1:0",
            "X0,2:a",
            "X0,1:}",
            "X0:a",
            "Z0",
            "Z0,1",
            "Z,1,1",
            "Z12,1,1",
            "z2,g,1",
            "G0",
            "Gzz",
            "qRcmd,zz",
            "qRcmd,0",
            "qRcmdx",
            "Tzz",
            "T",
            "T0",
            "T-1",
            "Tp1",
            "D;zz",
            "D;0",
            "Dx",
            "vKill",
            "vKill;0",
            "Hg-1",
            "Hgp1",
            "H",
            "Hx1",
            "Hg",
            "vCont",
            "vContx",
            "vCont;",
            "vCont;r1,2",
            "vCont;r1,2:1",
            "vCont;t",
            "vCont;s:",
            "vCont;s:zz",
            "vCont;Czz",
            "vCont;s:p0.1",
            "vCont;S123:1",
            "c1000",
            "sx",
            "g1",
            "k1",
            "bcx",
            "bs1",
            "?x",
            "qfThreadInfo1",
            "QStartNoAckMode1",
            "qAttached:zz",
            "qSupportedx",
            "qXfer:features:read",
            "qXfer:features:read:a",
            "qXfer:features:read:a:0",
            "qXfer:features:read:a:0,z",
            "qThreadExtraInfo",
            "qThreadExtraInfo,0",
            "qThreadExtraInfo,p0.1",
            "qThreadExtraInfo,p-1.1",
            "cé",
        ] {
            let answer = [b"+".as_slice(), &packet(INVALID)].concat();
            assert_eq!(through(&packet(body.as_bytes())), [Out::Gdb(answer)], "{body}");
        }
    }

    #[test]
    fn packets_that_the_server_knows_pass() {
        for body in [
            "",
            "m0,4",
            "M0,2:0001",
            "M0,0:",
            "X0,0:",
            "X0,2:}]b",
            "Z0,7c00,1",
            "z4,0,8",
            "g",
            "Gxx00",
            "qRcmd,68",
            "qRcmd",
            "T1",
            "Tp1.2",
            "D",
            "D;1",
            "vKill;1",
            "Hg0",
            "Hgp1.1",
            "Hc0",
            "Hc1",
            "vCont?",
            "vCont;c",
            "vCont;c:p1.-1",
            "vCont;s:1;c",
            "vCont;C05:1;c",
            "vCont;s:p1.1;c:p1.-1",
            "c",
            "s",
            "?",
            "k",
            "bc",
            "bs",
            "qAttached:1",
            "qXfer:features:read:target.xml:0,ffb",
            "qThreadExtraInfo,p1.1",
            "qHostInfo",
            "p0",
            "!",
            "vMustReplyEmpty",
        ] {
            assert_eq!(through(&packet(body.as_bytes())), [Out::Server(packet(body.as_bytes()))], "{body}");
        }
        for (body, other) in [
            ("Hc-1", "Hc0"),
            ("Hcp1.-1", "Hc0"),
            ("vCont;s", "s"),
            ("vCont;s:0", "s"),
            ("vCont;s:p1.-1;c", "s"),
            ("qSupported", "qSupported:none-"),
            ("qSupported:", "qSupported:none-"),
            ("qSupported:a+;;b-;", "qSupported:a+;b-"),
        ] {
            assert_eq!(through(&packet(body.as_bytes())), [Out::Server(packet(other.as_bytes()))], "{body}");
        }
    }

    #[test]
    fn packets_are_put_together_and_checked() {
        let g = || Out::Server(b"$g#67".to_vec());
        assert_eq!(through(b"$g#67"), [g()]);
        assert_eq!(through(b"$g#68"), [Out::Gdb(b"-".to_vec())]);
        assert_eq!(through(b"$g#zz"), [Out::Gdb(b"-".to_vec())]);
        // Noise, acknowledgements and a packet that was cut.
        assert_eq!(through(b"+xyz\xff$m0,$g#67"), [g()]);
        assert_eq!(through(b"\x03-$g#67"), [Out::Server(vec![3]), Out::Again, g()]);
        let long = vec![b'q'; 5000];
        assert_eq!(through(&packet(&long)), [Out::Gdb([b"+".as_slice(), &packet(TOO_LONG)].concat())]);
        // Nothing is acknowledged once that is agreed.
        let silent = [&packet(b"QStartNoAckMode")[..], b"$g#00$m,#00-"].concat();
        let expected = [Out::Server(packet(b"QStartNoAckMode")), g(), Out::Gdb(packet(INVALID))];
        assert_eq!(through(&silent), expected);
    }
}
