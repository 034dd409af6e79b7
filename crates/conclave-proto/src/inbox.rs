//! A device's private queue: sealed items of one size, deleted when acknowledged.

/// Posts one sealed item to a device. Post connection; no account.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PostItem {
    /// Member pass, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub pass: Vec<u8>,
    /// The device, 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub device_id: Vec<u8>,
    /// The account's capability, 32 bytes, or empty: strangers share 32 slots (C-037).
    #[prost(bytes = "vec", tag = "3")]
    pub capability: Vec<u8>,
    /// Exactly 16 KiB, HPKE-sealed to the device's inbox key. The same bytes again are kept once.
    #[prost(bytes = "vec", tag = "4")]
    pub item: Vec<u8>,
}

/// Reads this device's items after `after`, at most 32.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadInbox {
    /// Item number to read after; 0 for all.
    #[prost(uint64, tag = "1")]
    pub after: u64,
}

/// One item.
#[derive(Clone, PartialEq, prost::Message)]
pub struct InboxItem {
    /// Its number in this inbox; grows, may have gaps.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// The sealed bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub item: Vec<u8>,
}

/// A page of items.
#[derive(Clone, PartialEq, prost::Message)]
pub struct InboxPage {
    /// In order of number.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<InboxItem>,
    /// Whether more wait behind these.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

/// Deletes items of this device.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AckInbox {
    /// Their numbers; unknown ones are passed over.
    #[prost(uint64, repeated, tag = "1")]
    pub numbers: Vec<u64>,
}

/// From now on this connection gets [`InboxHint`] pushes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SubscribeInbox {}

/// Push: something new waits in this device's inbox.
#[derive(Clone, PartialEq, prost::Message)]
pub struct InboxHint {}
