//! The look at an entry before MLS sees it (C-029).

use conclave_proto::id::{Epoch, LogId};
use openmls::framing::{ContentType, MlsMessageBodyIn, MlsMessageIn, ProtocolMessage};
use tls_codec::Deserialize;

/// Parses one MLS message and checks what its header says, or says what is wrong with it.
pub(super) fn parse(
    bytes: &[u8],
    log_id: LogId,
    epoch: Epoch,
    expected: ContentType,
) -> Result<ProtocolMessage, &'static str> {
    let message = MlsMessageIn::tls_deserialize_exact(bytes).map_err(|_| "not an mls message")?;
    // C-029: PrivateMessage of this group and epoch, no additional data, content as the entry's kind
    let MlsMessageBodyIn::PrivateMessage(private) = message.extract() else {
        return Err("not a private message");
    };
    if !private.aad().is_empty() {
        return Err("additional data");
    }
    let message = ProtocolMessage::PrivateMessage(private);
    if message.group_id().as_slice() != log_id.as_bytes() {
        return Err("another group");
    }
    if message.epoch().as_u64() != epoch.0 {
        return Err("another epoch");
    }
    if message.content_type() != expected {
        return Err("another content type");
    }
    Ok(message)
}
