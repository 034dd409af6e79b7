//! Prints codes on the server's standard output, and nowhere else.

use std::io::Write as _;

use super::{CodeMessage, SendError, SendFuture, Sender};

/// The sender for one machine: whoever sees the terminal sees the codes.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConsoleSender;

impl Sender for ConsoleSender {
    fn send(&self, message: CodeMessage) -> SendFuture<'_> {
        Box::pin(async move {
            let line = line(&message);
            let mut out = std::io::stdout().lock();
            out.write_all(line.as_bytes())
                .and_then(|()| out.flush())
                .map_err(|_| SendError("standard output is closed".to_owned()))
        })
    }
}

fn line(message: &CodeMessage) -> String {
    format!(
        "OTP for {}: {} (valid {} min)\n",
        message.identifier, message.code, message.valid_min
    )
}

#[cfg(test)]
mod tests {
    use conclave_proto::identifier::Identifier;

    use super::*;

    /// The line that people and scripts read.
    #[test]
    fn the_line_is_exact() {
        let message = CodeMessage {
            identifier: Identifier::phone("+491700000001").unwrap(),
            code: "012345".to_owned(),
            valid_min: 10,
        };
        assert_eq!(
            line(&message),
            "OTP for +491700000001: 012345 (valid 10 min)\n"
        );
    }
}
