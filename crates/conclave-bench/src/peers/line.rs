//! A plain TCP connection with what was read and not taken yet.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Nothing for so long: the other side lost something.
const PATIENCE: Duration = Duration::from_mins(1);

/// One connection.
#[derive(Debug)]
pub(crate) struct Line {
    stream: TcpStream,
    /// Read, not taken.
    pub(crate) input: BytesMut,
    /// Queued, not written.
    pub(crate) output: BytesMut,
}

impl Line {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
        })
    }

    /// Writes what is queued.
    pub(crate) async fn flush(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&self.output).await?;
        self.output.clear();
        Ok(())
    }

    /// Reads once.
    pub(crate) async fn fill(&mut self) -> anyhow::Result<()> {
        self.input.reserve(64 * 1024);
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.input));
        if read.await.context("nothing came in time")?? == 0 {
            bail!("the connection was closed");
        }
        Ok(())
    }

    /// Reads until `words` came, and drops everything up to their end.
    pub(crate) async fn expect(&mut self, words: &str) -> anyhow::Result<()> {
        loop {
            if let Some(at) = find(&self.input, words.as_bytes()) {
                self.input.advance(at + words.len());
                return Ok(());
            }
            if let Err(error) = self.fill().await {
                let seen = String::from_utf8_lossy(&self.input).into_owned();
                return Err(error.context(format!("waited for `{words}` and saw `{seen}`")));
            }
        }
    }

    /// Reads until the other side closes.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        self.stream.shutdown().await?;
        while self.fill().await.is_ok() {
            self.input.clear();
        }
        Ok(())
    }
}

/// Where `words` begin.
pub(crate) fn find(bytes: &[u8], words: &[u8]) -> Option<usize> {
    bytes
        .windows(words.len())
        .position(|window| window == words)
}
