//! The connection to GDB: answers go out whole, as a server gives them byte by byte, and what GDB sends comes in through
//! a filter that lets only packets through that the server can read.

use super::gdb_packets::{Filter, INTERRUPT, Out};
use gdbstub::conn;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;

/// Bytes that go out together at most.
const PIECE: usize = 16 << 10;

#[derive(Debug)]
struct Wire {
    stream: TcpStream,
    /// What is yet to go out.
    out: Vec<u8>,
    /// The last packet that went out, for GDB to ask for again.
    last: Vec<u8>,
    filter: Filter,
    /// What has come out of the filter.
    filtered: VecDeque<Out>,
    /// The packet that the server is reading.
    reading: VecDeque<u8>,
    /// GDB has gone.
    closed: bool,
}

/// A connection that was accepted. Its clones are the same.
#[derive(Debug, Clone)]
pub struct Connection(Rc<RefCell<Wire>>);

impl Connection {
    /// Of this stream.
    pub fn new(stream: TcpStream) -> Self {
        Self(Rc::new(RefCell::new(Wire {
            stream,
            out: Vec::new(),
            last: Vec::new(),
            filter: Filter::default(),
            filtered: VecDeque::new(),
            reading: VecDeque::new(),
            closed: false,
        })))
    }

    /// Lets GDB print a text, while it waits for the guest to stop.
    pub fn tell(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let packet = text.bytes().fold("O".to_owned(), |packet, byte| packet + &format!("{byte:02x}"));
        let sum = packet.bytes().fold(0u8, |sum, byte| sum.wrapping_add(byte));
        let mut wire = self.0.borrow_mut();
        wire.out.extend(format!("${packet}#{sum:02x}").bytes());
        wire.send()
    }

    /// Whether GDB wants what runs to stop, or has gone. Packets that have come stay.
    pub fn wants_a_stop(&self) -> bool {
        let mut wire = self.0.borrow_mut();
        if wire.receive(false).is_err() {
            return true;
        }
        let interrupt = Out::Server(vec![INTERRUPT]);
        let place = wire.filtered.iter().position(|out| *out == interrupt);
        place.and_then(|place| wire.filtered.remove(place)).is_some() || wire.closed
    }
}

impl Wire {
    fn send(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.stream.set_nonblocking(false)?;
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Takes what GDB has sent, and waits for it or not.
    fn receive(&mut self, wait: bool) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        self.send()?;
        self.stream.set_nonblocking(!wait)?;
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.closed = true,
            Ok(size) => self.filter.take(bytes.get(..size).unwrap_or_default(), &mut self.filtered),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The next byte for the server, if there is one; what is for GDB alone goes out.
    fn next(&mut self) -> io::Result<Option<u8>> {
        while self.reading.is_empty() {
            match self.filtered.pop_front() {
                None if self.closed => return Err(ErrorKind::UnexpectedEof.into()),
                None => return Ok(None),
                Some(Out::Server(bytes)) => self.reading = bytes.into(),
                Some(Out::Gdb(bytes)) => self.out.extend(bytes),
                Some(Out::Again) => self.out.extend_from_slice(&self.last),
            }
            self.send()?;
        }
        Ok(self.reading.front().copied())
    }
}

impl conn::Connection for Connection {
    type Error = io::Error;

    fn write(&mut self, byte: u8) -> io::Result<()> {
        let mut wire = self.0.borrow_mut();
        let whole = wire.last.iter().rev().nth(2) == Some(&b'#');
        if byte == b'$' {
            wire.last.clear();
            wire.last.push(byte);
        } else if !wire.last.is_empty() && !whole {
            wire.last.push(byte);
        }
        wire.out.push(byte);
        if wire.out.len() >= PIECE { wire.send() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().send()
    }

    fn on_session_start(&mut self) -> io::Result<()> {
        // What is sent is a whole answer.
        self.0.borrow().stream.set_nodelay(true)
    }
}

impl conn::ConnectionExt for Connection {
    fn read(&mut self) -> io::Result<u8> {
        let mut wire = self.0.borrow_mut();
        loop {
            if let Some(byte) = wire.next()? {
                wire.reading.pop_front();
                return Ok(byte);
            }
            wire.receive(true)?;
        }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        let mut wire = self.0.borrow_mut();
        if wire.reading.is_empty() {
            wire.receive(false)?;
        }
        wire.next()
    }
}
