//! The connection to GDB: answers go out whole, as a server gives them byte by byte.

use gdbstub::conn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

/// Bytes that go out together at most.
const PIECE: usize = 16 << 10;

/// A connection that was accepted.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// What is yet to go out.
    out: Vec<u8>,
}

impl Connection {
    /// Of this stream.
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, out: Vec::new() }
    }

    /// Lets GDB print a text, while it waits for the guest to stop.
    pub fn tell(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let packet = text.bytes().fold("O".to_owned(), |packet, byte| packet + &format!("{byte:02x}"));
        let sum = packet.bytes().fold(0u8, |sum, byte| sum.wrapping_add(byte));
        self.out.extend(format!("${packet}#{sum:02x}").bytes());
        self.send()
    }

    fn send(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.stream.set_nonblocking(false)?;
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }
}

impl conn::Connection for Connection {
    type Error = io::Error;

    fn write(&mut self, byte: u8) -> io::Result<()> {
        self.out.push(byte);
        if self.out.len() >= PIECE { self.send() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }

    fn on_session_start(&mut self) -> io::Result<()> {
        // What is sent is a whole answer.
        self.stream.set_nodelay(true)
    }
}

impl conn::ConnectionExt for Connection {
    fn read(&mut self) -> io::Result<u8> {
        self.send()?;
        self.stream.set_nonblocking(false)?;
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        self.send()?;
        self.stream.set_nonblocking(true)?;
        let mut byte = [0];
        match self.stream.peek(&mut byte) {
            Ok(1) => Ok(Some(byte[0])),
            // The other side has gone.
            Ok(_) => Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}
