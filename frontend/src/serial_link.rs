//! COM1 at the other end of a socket, a pseudo-terminal or a device of the host's.
//!
//! The guest never waits: what it sends before somebody has connected is kept, the last 64 KiB of it.

use crate::background::BackgroundFile;
use crate::config::Stream;
use crate::error::InputError;
use crate::serial_input::{PIECE, SerialInput};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that are kept while nobody is connected.
const BACKLOG: usize = 64 << 10;
/// How often somebody is looked for who does not tell.
const LOOK: Duration = Duration::from_millis(5);

/// Both directions of a link.
#[derive(Debug)]
pub struct Link {
    /// What comes for the guest.
    pub input: SerialInput,
    /// Where its output goes.
    pub output: BackgroundFile,
}

type Reader = Box<dyn Read + Send>;
type Writer = Box<dyn Write + Send>;

/// Who is connected, and what nobody has read yet.
#[derive(Default)]
struct Peer {
    writer: Option<Writer>,
    backlog: Vec<u8>,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Peer>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Peer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self, mut writer: Writer) {
        let mut peer = self.lock();
        if writer.write_all(&peer.backlog).is_ok() {
            peer.backlog.clear();
            peer.writer = Some(writer);
        }
    }
}

impl Write for Shared {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut peer = self.lock();
        let gone = match &mut peer.writer {
            Some(writer) => writer.write_all(data).and_then(|()| writer.flush()).is_err(),
            None => true,
        };
        if gone {
            peer.writer = None;
            peer.backlog.extend_from_slice(data);
            let excess = peer.backlog.len().saturating_sub(BACKLOG);
            peer.backlog.drain(..excess);
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Passes on what comes, until the peer is gone; whether the guest still takes anything.
fn pass_on(mut from: Reader, to: &SyncSender<Vec<u8>>) -> bool {
    let mut buffer = [0; PIECE];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return true,
            Ok(length) => {
                if to.send(buffer.get(..length).unwrap_or_default().to_vec()).is_err() {
                    return false;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(LOOK),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return true,
        }
    }
}

fn tcp(stream: TcpStream) -> io::Result<(Reader, Writer)> {
    // Characters are to be seen when they are typed.
    stream.set_nodelay(true)?;
    Ok((Box::new(stream.try_clone()?), Box::new(stream)))
}

#[cfg(unix)]
fn unix(stream: UnixStream) -> io::Result<(Reader, Writer)> {
    Ok((Box::new(stream.try_clone()?), Box::new(stream)))
}

/// A link whose peers come one after the other.
fn serve(next: impl Fn() -> io::Result<(Reader, Writer)> + Send + 'static) -> Link {
    let (sender, input) = SerialInput::queue();
    let shared = Shared::default();
    let output = BackgroundFile::of_link(shared.clone());
    std::thread::spawn(move || {
        while let Ok((reader, writer)) = next() {
            shared.connect(writer);
            if !pass_on(reader, &sender) {
                break;
            }
            shared.lock().writer = None;
        }
    });
    Link { input, output }
}

/// A link with one peer, which is there.
fn join((reader, writer): (Reader, Writer)) -> Link {
    let (sender, input) = SerialInput::queue();
    let shared = Shared::default();
    shared.connect(writer);
    std::thread::spawn(move || pass_on(reader, &sender));
    Link { input, output: BackgroundFile::of_link(shared) }
}

/// A new pseudo-terminal in raw mode, and its name.
#[cfg(unix)]
fn pty() -> io::Result<(Reader, Writer, String)> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?.to_string_lossy().into_owned();
    // Held open, so that it stays when its user goes.
    let other = OpenOptions::new().read(true).write(true).open(&name)?;
    let mut attributes = tcgetattr(&other)?;
    attributes.make_raw();
    tcsetattr(&other, OptionalActions::Now, &attributes)?;
    // Nobody may be reading.
    fcntl_setfl(&ours, fcntl_getfl(&ours)? | OFlags::NONBLOCK)?;
    let ours = File::from(ours);
    let reader = Held { file: ours.try_clone()?, _other: other };
    Ok((Box::new(reader), Box::new(ours), name))
}

/// Our end of a pseudo-terminal, with the other kept open.
#[cfg(unix)]
struct Held {
    file: File,
    _other: File,
}

#[cfg(unix)]
impl Read for Held {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

/// Opens the link that a stream is; `None` of what is no link.
pub fn open(stream: &Stream) -> Result<Option<Link>, InputError> {
    let error = |what: &str, e: io::Error| InputError::new("--serial", format!("{what}: {e}")).after(&e);
    let link = match stream {
        Stream::None | Stream::Stdio | Stream::File(_) => return Ok(None),
        Stream::Listen(place) => {
            let listener = TcpListener::bind(place).map_err(|e| error(&format!("cannot listen at {place}"), e))?;
            let place = listener.local_addr().map_or_else(|_| place.clone(), |address| address.to_string());
            crate::output::tell(&format!("rvmx-emu: COM1 is at {place}\n"));
            serve(move || listener.accept().and_then(|(stream, _)| tcp(stream)))
        }
        Stream::Connect(place) => {
            let joined = TcpStream::connect(place).and_then(tcp);
            join(joined.map_err(|e| error(&format!("cannot connect to {place}"), e))?)
        }
        #[cfg(unix)]
        Stream::Unix(path) => {
            // What an earlier run has left there; anything but a socket stays.
            if std::fs::symlink_metadata(path).is_ok_and(|m| std::os::unix::fs::FileTypeExt::is_socket(&m.file_type()))
            {
                let _ = std::fs::remove_file(path);
            }
            let what = format!("cannot listen at {}", path.display());
            let listener = UnixListener::bind(path).map_err(|e| error(&what, e))?;
            serve(move || listener.accept().and_then(|(stream, _)| unix(stream)))
        }
        #[cfg(unix)]
        Stream::UnixConnect(path) => {
            let joined = UnixStream::connect(path).and_then(unix);
            join(joined.map_err(|e| error(&format!("cannot connect to {}", path.display()), e))?)
        }
        #[cfg(unix)]
        Stream::Pty => {
            let (reader, writer, name) = pty().map_err(|e| error("the host gives no pseudo-terminal", e))?;
            crate::output::tell(&format!("rvmx-emu: COM1 is {name}\n"));
            join((reader, writer))
        }
        #[cfg(not(unix))]
        Stream::Unix(_) | Stream::UnixConnect(_) | Stream::Pty => {
            let problem = "sockets in the file system and pseudo-terminals are Unix's";
            return Err(InputError::new("--serial", problem).remedy("give tcp:PORT"));
        }
        Stream::Device(path) => {
            let what = format!("cannot open {}", path.display());
            let open = || OpenOptions::new().read(true).write(true).open(path);
            let both =
                open().and_then(|file: File| Ok((Box::new(file.try_clone()?) as Reader, Box::new(file) as Writer)));
            join(both.map_err(|e| error(&what, e))?)
        }
    };
    Ok(Some(link))
}
