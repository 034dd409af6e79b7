//! Bytes from outside become checked types, once.

use conclave_proto::Refusal;
use conclave_proto::account::{AccountState, DeviceCert};
use conclave_proto::blob::NewBlob;
use conclave_proto::id::{BlobId, Hash32, ServerId};
use conclave_proto::identifier::Identifier;
use conclave_proto::label;
use conclave_proto::limits::{WELCOME_BLOB_BYTES_MAX, WELCOME_BLOBS_MAX};

use super::{bad, too_large};
use crate::store::{NewDevice, StoredBlob};

/// The parsed field, or a refusal that names it.
pub(super) fn field<T>(parsed: Option<T>, name: &str) -> Result<T, Refusal> {
    parsed.ok_or_else(|| bad(&format!("the {name} is malformed")))
}

/// A normalised identifier.
pub(super) fn identifier(text: &str) -> Result<Identifier, Refusal> {
    // C-012: any other spelling than the normalised one is refused.
    Identifier::parse_normalised(text).map_err(|error| bad(&error.to_string()))
}

/// The hash of a shown capability; `None` when none was shown.
pub(super) fn capability_hash(capability: &[u8]) -> Result<Option<Hash32>, Refusal> {
    match capability.len() {
        0 => Ok(None),
        32 => Ok(Some(label::hash(label::CAPABILITY_HASH, capability))),
        _ => Err(bad("the capability is malformed")),
    }
}

/// An account state with the certificates of all its devices, every signature verified.
pub(super) fn account(
    server_id: ServerId,
    state: &[u8],
    certs: &[Vec<u8>],
) -> Result<(AccountState, Vec<NewDevice>), Refusal> {
    let refused = |error: conclave_proto::account::AccountError| bad(&error.to_string());
    let state = AccountState::parse(state).map_err(refused)?;
    // C-013, C-014: signatures, and that state and certificates agree.
    state.verify(server_id).map_err(refused)?;
    if certs.len() != state.content.devices.len() {
        return Err(bad("certificates and listed devices differ"));
    }
    let parsed: Vec<DeviceCert> = certs
        .iter()
        .map(|bytes| DeviceCert::parse(bytes))
        .collect::<Result<_, _>>()
        .map_err(refused)?;
    state.verify_certs(&parsed).map_err(refused)?;
    let devices = parsed.iter().zip(certs).map(|(cert, bytes)| NewDevice {
        device_id: cert.content.device_id,
        leaf_key: cert.content.leaf_key,
        cert: bytes.clone(),
    });
    let mut devices: Vec<NewDevice> = devices.collect();
    devices.sort_by_key(|device| device.device_id);
    if devices
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if a.device_id == b.device_id))
    {
        return Err(bad("a certificate is there twice"));
    }
    Ok((state, devices))
}

/// Blobs of a create or bundle request: their number, ids and sizes.
pub(super) fn blobs(blobs: Vec<NewBlob>) -> Result<Vec<StoredBlob>, Refusal> {
    if blobs.len() > WELCOME_BLOBS_MAX {
        return Err(too_large(format!("at most {WELCOME_BLOBS_MAX} blobs")));
    }
    let mut stored: Vec<StoredBlob> = Vec::with_capacity(blobs.len());
    for blob in blobs {
        if blob.bytes.len() > WELCOME_BLOB_BYTES_MAX {
            let text = format!("a blob has at most {WELCOME_BLOB_BYTES_MAX} bytes");
            return Err(too_large(text));
        }
        let blob_id = field(BlobId::parse(&blob.blob_id), "blob id")?;
        if stored.iter().any(|other| other.blob_id == blob_id) {
            return Err(bad("a blob id is there twice"));
        }
        let bytes = blob.bytes;
        stored.push(StoredBlob { blob_id, bytes });
    }
    Ok(stored)
}
