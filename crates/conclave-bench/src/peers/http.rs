//! HTTP/1.1 with JSON over one connection that stays, as far as the jobs need it.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use serde_json::Value;

use super::line::{Line, find};

/// One connection.
#[derive(Debug)]
pub(crate) struct Http(Line);

impl Http {
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self(Line::connect(address).await?))
    }

    /// Asks and waits for the answer, which must be 200.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let rights = if token.is_empty() {
            String::new()
        } else {
            format!("Authorization: Bearer {token}\r\n")
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{rights}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.0.output.extend_from_slice(head.as_bytes());
        self.0.output.extend_from_slice(body.as_bytes());
        self.0.flush().await?;
        let end = loop {
            if let Some(end) = find(&self.0.input, b"\r\n\r\n") {
                break end + 4;
            }
            self.0.fill().await?;
        };
        let head = String::from_utf8(self.0.input.split_to(end).to_vec())?.to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"));
        let answer = match length {
            Some(length) => self.taken(length.trim().parse()?).await?,
            None => self.pieces().await?,
        };
        let status = head.lines().next().unwrap_or_default();
        ensure!(
            status.starts_with("http/1.1 200"),
            "{path}: {status}: {answer:?}"
        );
        serde_json::from_slice(&answer).context("an answer that is no JSON")
    }

    /// So many bytes.
    async fn taken(&mut self, length: usize) -> anyhow::Result<Bytes> {
        while self.0.input.len() < length {
            self.0.fill().await?;
        }
        Ok(self.0.input.copy_to_bytes(length))
    }

    /// A body in pieces (RFC 9112 §7.1), each with its length before it.
    async fn pieces(&mut self) -> anyhow::Result<Bytes> {
        let mut whole = BytesMut::new();
        loop {
            let end = loop {
                if let Some(end) = find(&self.0.input, b"\r\n") {
                    break end;
                }
                self.0.fill().await?;
            };
            let line = self.taken(end + 2).await?;
            let length = std::str::from_utf8(&line)?.trim();
            let length = usize::from_str_radix(length, 16).context("no length of a piece")?;
            whole.extend_from_slice(&self.taken(length).await?);
            self.taken(2).await?;
            if length == 0 {
                return Ok(whole.freeze());
            }
        }
    }
}
