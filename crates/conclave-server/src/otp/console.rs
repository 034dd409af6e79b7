//! Prints codes on the server's standard output, and nowhere else.

use std::io::Write as _;

use super::{CodeMessage, Leaving, SendError, SendFuture, Sender};

/// The sender for one machine: whoever sees the terminal sees the codes.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConsoleSender;

impl Sender for ConsoleSender {
    fn send<'a>(&'a self, message: &'a CodeMessage, leaving: &'a dyn Leaving) -> SendFuture<'a> {
        Box::pin(async move {
            leaving.note().await?;
            let line = line(message);
            let mut out = std::io::stdout().lock();
            out.write_all(line.as_bytes())
                .and_then(|()| out.flush())
                .map_err(|_| SendError::Refused("standard output is closed".to_owned()))
        })
    }

    fn probe(&self) -> SendFuture<'_> {
        Box::pin(std::future::ready(Ok(())))
    }
}

fn line(message: &CodeMessage) -> String {
    format!(
        "OTP for {}: {} (valid {} min)\n",
        message.identifier,
        message.code,
        message.valid_min()
    )
}

#[cfg(test)]
mod tests {
    use conclave_proto::identifier::Identifier;

    use super::*;
    use crate::store::SendId;

    /// The line that people and scripts read.
    #[test]
    fn the_line_is_exact() {
        let message = CodeMessage {
            send_id: SendId([1; 16]),
            identifier: Identifier::phone("+491700000001").unwrap(),
            code: "012345".to_owned(),
            expires_ms: 600_000,
            now_ms: 12,
        };
        assert_eq!(
            line(&message),
            "OTP for +491700000001: 012345 (valid 10 min)\n"
        );
    }
}
