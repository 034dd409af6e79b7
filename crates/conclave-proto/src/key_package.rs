//! Publishing and claiming key packages. To the server they are opaque bytes.

/// Adds one-time packages to this device's pool and, when given, replaces its last resort.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PutKeyPackages {
    /// One-time packages, each at most 16 KiB; the pool keeps at most 20.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub one_time: Vec<Vec<u8>>,
    /// Last-resort package, or empty to leave it.
    #[prost(bytes = "vec", tag = "2")]
    pub last_resort: Vec<u8>,
}

/// Claims one key package for each device of an account, or for one of them (C-033).
#[derive(Clone, PartialEq, prost::Message)]
pub struct ClaimKeyPackages {
    /// Member pass, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub pass: Vec<u8>,
    /// The account, 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub account_id: Vec<u8>,
    /// The account's capability, 32 bytes, or empty: strangers get last-resort packages only.
    #[prost(bytes = "vec", tag = "3")]
    pub capability: Vec<u8>,
    /// The one device, 16 bytes, or empty for all of them.
    #[prost(bytes = "vec", tag = "4")]
    pub device_id: Vec<u8>,
}

/// One claimed package.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ClaimedKeyPackage {
    /// The device, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub device_id: Vec<u8>,
    /// The key package as it was published.
    #[prost(bytes = "vec", tag = "2")]
    pub key_package: Vec<u8>,
    /// Whether it is the last resort.
    #[prost(bool, tag = "3")]
    pub last_resort: bool,
}

/// One package for each device that has any.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ClaimedKeyPackages {
    /// In device id order.
    #[prost(message, repeated, tag = "1")]
    pub packages: Vec<ClaimedKeyPackage>,
}
