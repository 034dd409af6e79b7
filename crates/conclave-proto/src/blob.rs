//! Opaque bytes beside a log: welcomes and trees now, attachments later.

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
