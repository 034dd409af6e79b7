//! What is asked about accounts, and the answers: registration, states, lookups.

/// Asks for a one-time code. Answered by [`OtpStarted`] whether or not the identifier is registered.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OtpStart {
    /// Normalised identifier.
    #[prost(string, tag = "1")]
    pub identifier: String,
    /// Fingerprint of the identity key that will register, 32 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub identity_fingerprint: Vec<u8>,
    /// Invite token, or empty.
    #[prost(string, tag = "3")]
    pub invite: String,
}

/// A challenge is open and a code was sent, or sent before.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OtpStarted {
    /// The challenge, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub challenge_id: Vec<u8>,
    /// The code is valid for this long, in ms.
    #[prost(uint64, tag = "2")]
    pub valid_ms: u64,
    /// The next code may be asked for in this time, in ms.
    #[prost(uint64, tag = "3")]
    pub resend_after_ms: u64,
}

/// Finishes a registration. The same bytes again get the same answer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Register {
    /// From [`OtpStarted`].
    #[prost(bytes = "vec", tag = "1")]
    pub challenge_id: Vec<u8>,
    /// The code as typed, upper-cased, without spaces and dashes.
    #[prost(string, tag = "2")]
    pub code: String,
    /// Encoded [`super::AccountState`] with seq 1.
    #[prost(bytes = "vec", tag = "3")]
    pub state: Vec<u8>,
    /// Encoded [`super::DeviceCert`]s of all listed devices.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub certs: Vec<Vec<u8>>,
    /// Encoded [`super::HybridSignature`]: [`crate::hello::Purpose::Register`] by the identity key.
    #[prost(bytes = "vec", tag = "5")]
    pub proof: Vec<u8>,
    /// `label::hash(CAPABILITY_HASH, capability)`, 32 bytes.
    #[prost(bytes = "vec", tag = "6")]
    pub capability_hash: Vec<u8>,
}

/// Says which device this connection acts for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Authenticate {
    /// The account, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub account_id: Vec<u8>,
    /// The device, 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub device_id: Vec<u8>,
    /// Ed25519 signature by the device key: [`crate::hello::Purpose::Account`].
    #[prost(bytes = "vec", tag = "3")]
    pub proof: Vec<u8>,
}

/// Asks for the member pass and what concerns this device.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FetchStatus {}

/// The member pass and what concerns this device.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AccountStatus {
    /// Today's member pass, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub pass: Vec<u8>,
    /// One-time key packages left in this device's pool.
    #[prost(uint32, tag = "2")]
    pub pool_left: u32,
    /// Whether a last-resort key package is published.
    #[prost(bool, tag = "3")]
    pub has_last_resort: bool,
    /// The account's newest state seq.
    #[prost(uint64, tag = "4")]
    pub state_seq: u64,
    /// Somebody with the right code asked for this identifier: it moves in this time, in ms, unless vetoed. 0 = nobody.
    #[prost(uint64, tag = "5")]
    pub hold_ms: u64,
}

/// Stops a pending move of this account's identifier to somebody else.
#[derive(Clone, PartialEq, prost::Message)]
pub struct VetoHold {}

/// Appends the next account state to the chain.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PutState {
    /// Encoded [`super::AccountState`].
    #[prost(bytes = "vec", tag = "1")]
    pub state: Vec<u8>,
    /// Encoded [`super::DeviceCert`]s of all listed devices.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub certs: Vec<Vec<u8>>,
}

/// Replaces the account's capability hash: blocks everybody who holds the old one.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PutCapability {
    /// `label::hash(CAPABILITY_HASH, capability)`, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub capability_hash: Vec<u8>,
}

/// Looks one identifier up. Not registered and not discoverable get the same answer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Lookup {
    /// Member pass, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub pass: Vec<u8>,
    /// Normalised identifier.
    #[prost(string, tag = "2")]
    pub identifier: String,
}

/// Fetches an account's states from `from_seq` to the newest, at most 256.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FetchStates {
    /// Member pass, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub pass: Vec<u8>,
    /// The account, 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub account_id: Vec<u8>,
    /// First seq wanted, at least 1.
    #[prost(uint64, tag = "3")]
    pub from_seq: u64,
}

/// An account's states in order, and the newest one's certificates.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AccountStates {
    /// Encoded [`super::AccountState`]s, oldest first. A lookup gives the newest alone.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub states: Vec<Vec<u8>>,
    /// Encoded [`super::DeviceCert`]s of the newest state.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub certs: Vec<Vec<u8>>,
    /// Encoded [`super::DeviceCert`]s of devices that the first of the states lists and the newest one does not
    /// (C-181).
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub former_certs: Vec<Vec<u8>>,
}
