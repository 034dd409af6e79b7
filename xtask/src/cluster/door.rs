//! A TCP door on loopback that leads to the first target that answers, and can be shut.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A port; while it is shut, who is inside is thrown out and nobody comes in.
pub(super) struct Door {
    pub(super) port: u16,
    inside: Arc<Inside>,
}

struct Inside {
    targets: Vec<u16>,
    next: AtomicUsize,
    is_shut: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Door {
    /// Opens on a free port. With several targets each caller gets the next one that answers.
    pub(super) fn open(targets: Vec<u16>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let inside = Arc::new(Inside {
            targets,
            next: AtomicUsize::new(0),
            is_shut: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let own = Arc::clone(&inside);
        // Lives as long as the program: a campaign has a handful.
        thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                // A caller that cannot be served is hung up on.
                let _ = own.lead(caller);
            }
        });
        Ok(Self { port, inside })
    }

    /// Shuts it, or opens it again.
    pub(super) fn shut(&self, is_shut: bool) {
        self.inside.is_shut.store(is_shut, Ordering::SeqCst);
        if is_shut {
            for stream in self.inside.lock().drain(..) {
                // Gone already when that fails.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Inside {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lead(&self, caller: TcpStream) -> io::Result<()> {
        let target = self.target()?;
        for stream in [&caller, &target] {
            stream.set_nodelay(true)?;
        }
        let mut open = self.lock();
        if self.is_shut.load(Ordering::SeqCst) {
            return Ok(());
        }
        open.retain(|stream| stream.peer_addr().is_ok());
        open.extend([caller.try_clone()?, target.try_clone()?]);
        drop(open);
        for (mut from, mut to) in [(caller.try_clone()?, target.try_clone()?), (target, caller)] {
            thread::spawn(move || {
                // However it ends, both sides hear of it.
                let _ = io::copy(&mut from, &mut to);
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
        Ok(())
    }

    fn target(&self) -> io::Result<TcpStream> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let turned = self
            .targets
            .iter()
            .cycle()
            .skip(first % self.targets.len().max(1));
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for port in turned.take(self.targets.len()) {
            match TcpStream::connect(("127.0.0.1", *port)) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                let mut back = caller.try_clone().unwrap();
                thread::spawn(move || io::copy(&mut &caller, &mut back));
            }
        });
        port
    }

    fn says(stream: &mut TcpStream) -> bool {
        let mut byte = [0];
        stream.write_all(b"x").is_ok() && stream.read_exact(&mut byte).is_ok()
    }

    /// A target that is away is passed over; a shut door throws out who is inside, and lets in nobody until it opens.
    #[test]
    fn a_door_leads_on_and_shuts() {
        let gone = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let door = Door::open(vec![gone, echo()]).unwrap();
        let enter = || TcpStream::connect(("127.0.0.1", door.port)).unwrap();
        let (mut first, mut second) = (enter(), enter());
        assert!(says(&mut first) && says(&mut second));
        door.shut(true);
        assert!(!says(&mut first) && !says(&mut second) && !says(&mut enter()));
        door.shut(false);
        assert!(says(&mut enter()));
    }
}
