//! A real NATS server on loopback, which dies with the test.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// A running NATS.
pub(crate) struct NatsServer(Child);

impl NatsServer {
    /// Starts one on this port with further arguments, and waits until it takes connections.
    pub(crate) fn start(port: u16, arguments: &[&str]) -> Self {
        let child = Command::new("nats-server")
            .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.expect("nats-server starts; Debian: apt-get install nats-server");
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = said.find(|line| line.as_ref().is_ok_and(|line| line.contains("is ready")));
        assert!(ready.is_some(), "NATS ended before it was ready");
        // so that it never waits for somebody to read what it says
        std::thread::spawn(move || said.for_each(drop));
        Self(child)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // it may be gone already
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
