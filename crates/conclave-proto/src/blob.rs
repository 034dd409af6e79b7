//! Opaque bytes beside a log (welcomes and trees), and blobs of any size over HTTP.
//!
//! Over HTTP a blob is named by its random id in the path, begun with its whole length, written in
//! parts at the offset that was reached, and read in ranges once it is whole (C-145 to C-149).

use crate::id::BlobId;

/// Where blobs are on the server's port, under the ALPN name `http/1.1`. `GET` tells a client what it
/// needs to know before it shows its pass.
pub const BLOBS_PATH: &str = "/v1/blobs";
/// Request header: the member pass, 64 lower-case hex digits.
pub const PASS_HEADER: &str = "conclave-pass";
/// Answer header of `GET /v1/blobs`: the hash of the day's pass, 64 lower-case hex digits (C-041).
pub const PASS_HASH_HEADER: &str = "conclave-pass-hash";
/// Answer header of `GET /v1/blobs`: bytes that one blob may have.
pub const BYTES_MAX_HEADER: &str = "conclave-blob-bytes-max";
/// Header: bytes that a blob has when it is whole.
pub const LENGTH_HEADER: &str = "upload-length";
/// Header: bytes that are there (answer) or before which a part begins (request).
pub const OFFSET_HEADER: &str = "upload-offset";

/// The path of one blob: [`BLOBS_PATH`], `/` and the id's 64 lower-case hex digits.
pub fn path(blob_id: BlobId) -> String {
    format!("{BLOBS_PATH}/{}", hex::encode(blob_id.as_bytes()))
}

/// The id in a blob's path; `None` for any other spelling.
pub fn parse_path(path: &str) -> Option<BlobId> {
    let digits = path.strip_prefix(BLOBS_PATH)?.strip_prefix('/')?;
    parse_hex(digits).map(BlobId::new)
}

/// Exactly 32 bytes in lower-case hex digits, as headers and paths carry them.
pub fn parse_hex(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

/// The padded length for `length` bytes: at most 12 % more, and only O(log log n) bits of it show
/// (Padmé; Nikitin et al., 2019).
pub const fn padme(length: u64) -> u64 {
    if length < 2 {
        return length;
    }
    let exponent = length.ilog2();
    let free_bits = exponent - (exponent.ilog2() + 1);
    let mask = (1_u64 << free_bits) - 1;
    match length.checked_add(mask) {
        Some(sum) => sum & !mask,
        None => u64::MAX,
    }
}

/// A blob that is stored in the same transaction as the log or bundle it comes with.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NewBlob {
    /// Random id, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub blob_id: Vec<u8>,
    /// Encrypted bytes, at most 2 MiB.
    #[prost(bytes = "vec", tag = "2")]
    pub bytes: Vec<u8>,
}

/// Fetches one blob. Blobs connection; no account.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FetchBlob {
    /// Member pass, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub pass: Vec<u8>,
    /// The blob, 32 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub blob_id: Vec<u8>,
}

/// A blob's bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BlobBytes {
    /// As they were stored.
    #[prost(bytes = "vec", tag = "1")]
    pub bytes: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Padmé never shrinks, adds at most 12 %, leaves few lengths, and its lengths stay as they are.
    #[test]
    fn padme_bounds() {
        let mut shown = std::collections::BTreeSet::new();
        for length in 0..10_000 {
            let padded = padme(length);
            assert!(padded >= length && (padded - length) * 100 <= length * 12);
            assert_eq!(padme(padded), padded);
            shown.insert(padded);
        }
        assert!(shown.len() < 180, "{}", shown.len());
        assert_eq!(padme(u64::MAX), u64::MAX);
    }

    /// A path names one blob in one spelling, and nothing beside it.
    #[test]
    fn paths_are_strict() {
        let id = BlobId::new([0xab; 32]);
        let path = path(id);
        assert_eq!(path, format!("/v1/blobs/{}", "ab".repeat(32)));
        assert_eq!(parse_path(&path), Some(id));
        for wrong in [
            path.to_uppercase(),
            path.replace("ab", "AB"),
            format!("{path}/"),
            format!("{path}0"),
            path.replacen("ab", "..", 1),
            path.replacen("ab", "%2", 1),
            path.trim_end_matches('b').to_owned(),
            path.replace("/v1/blobs/", "/v1/blobs//"),
            BLOBS_PATH.to_owned(),
        ] {
            assert_eq!(parse_path(&wrong), None, "{wrong}");
        }
    }
}
