//! Everything that travels after the hellos: requests with a number, replies with that number, pushes.

use crate::account::{
    AccountStates, AccountStatus, Authenticate, FetchStates, FetchStatus, Lookup, OtpStart,
    OtpStarted, PutCapability, PutState, Register, VetoHold,
};
use crate::blob::{BlobBytes, FetchBlob};
use crate::error::Refusal;
use crate::inbox::{AckInbox, InboxHint, InboxPage, PostItem, ReadInbox, SubscribeInbox};
use crate::key_package::{ClaimKeyPackages, ClaimedKeyPackages, PutKeyPackages};
use crate::log::{
    AppendEntry, Appended, CloseHandle, CreateLog, LogPage, LogPush, OpenLogs, Opened, OpenedLogs,
    PutBundle, ReadLog, SendSignal, SignalPush, SubscribeLog,
};
use crate::mailbox::{CloseMailbox, OpenMailbox, PutSlot, ReadSlot, SlotBytes};

/// Nothing to say but yes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Done {}

/// Asks for a sign of life; any connection, any time after the hello.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Ping {}

/// From the client.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// Chosen by the client, not 0, unique among its unanswered requests on the connection.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// What is asked.
    #[prost(
        oneof = "request::Body",
        tags = "10, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 40, 41, 42, 50, 60, 61, 62, 63, 64, 65, 66, 67, 70"
    )]
    pub body: Option<request::Body>,
}

/// What a request asks; tags by role.
pub mod request {
    use super::{
        AckInbox, AppendEntry, Authenticate, ClaimKeyPackages, CloseHandle, CloseMailbox,
        CreateLog, FetchBlob, FetchStates, FetchStatus, Lookup, OpenLogs, OpenMailbox, OtpStart,
        Ping, PostItem, PutBundle, PutCapability, PutKeyPackages, PutSlot, PutState, ReadInbox,
        ReadLog, ReadSlot, Register, SendSignal, SubscribeInbox, SubscribeLog, VetoHold,
    };

    /// One of the requests; the doc of each payload type says what it does.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Body {
        /// Any role.
        #[prost(message, tag = "10")]
        Ping(Ping),
        /// Account role, before authentication.
        #[prost(message, tag = "20")]
        OtpStart(OtpStart),
        /// Account role, before authentication.
        #[prost(message, tag = "21")]
        Register(Register),
        /// Account role, before authentication.
        #[prost(message, tag = "22")]
        Authenticate(Authenticate),
        /// Account role.
        #[prost(message, tag = "23")]
        FetchStatus(FetchStatus),
        /// Account role.
        #[prost(message, tag = "24")]
        VetoHold(VetoHold),
        /// Account role.
        #[prost(message, tag = "25")]
        PutState(PutState),
        /// Account role.
        #[prost(message, tag = "26")]
        PutCapability(PutCapability),
        /// Account role.
        #[prost(message, tag = "27")]
        PutKeyPackages(PutKeyPackages),
        /// Account role.
        #[prost(message, tag = "28")]
        ReadInbox(ReadInbox),
        /// Account role.
        #[prost(message, tag = "29")]
        AckInbox(AckInbox),
        /// Account role.
        #[prost(message, tag = "30")]
        SubscribeInbox(SubscribeInbox),
        /// Account role, needs no account.
        #[prost(message, tag = "31")]
        OpenMailbox(OpenMailbox),
        /// Account role, needs no account.
        #[prost(message, tag = "32")]
        PutSlot(PutSlot),
        /// Account role, needs no account.
        #[prost(message, tag = "33")]
        ReadSlot(ReadSlot),
        /// Account role, needs no account.
        #[prost(message, tag = "34")]
        CloseMailbox(CloseMailbox),
        /// Directory role.
        #[prost(message, tag = "40")]
        Lookup(Lookup),
        /// Directory role.
        #[prost(message, tag = "41")]
        FetchStates(FetchStates),
        /// Directory role.
        #[prost(message, tag = "42")]
        ClaimKeyPackages(ClaimKeyPackages),
        /// Post role.
        #[prost(message, tag = "50")]
        PostItem(PostItem),
        /// Logs role.
        #[prost(message, tag = "60")]
        CreateLog(CreateLog),
        /// Logs role.
        #[prost(message, tag = "61")]
        OpenLogs(OpenLogs),
        /// Logs role.
        #[prost(message, tag = "62")]
        AppendEntry(AppendEntry),
        /// Logs role.
        #[prost(message, tag = "63")]
        PutBundle(PutBundle),
        /// Logs role.
        #[prost(message, tag = "64")]
        ReadLog(ReadLog),
        /// Logs role.
        #[prost(message, tag = "65")]
        SubscribeLog(SubscribeLog),
        /// Logs role.
        #[prost(message, tag = "66")]
        CloseHandle(CloseHandle),
        /// Logs role.
        #[prost(message, tag = "67")]
        SendSignal(SendSignal),
        /// Blobs role.
        #[prost(message, tag = "70")]
        FetchBlob(FetchBlob),
    }
}

/// From the server: a reply to the request with the same id, or a push with id 0.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Reply {
    /// The request's id; 0 for pushes.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// What is answered.
    #[prost(
        oneof = "reply::Body",
        tags = "2, 10, 20, 21, 22, 23, 30, 31, 40, 41, 42, 43, 50, 60, 61, 62"
    )]
    pub body: Option<reply::Body>,
}

/// What a reply or push says.
pub mod reply {
    use super::{
        AccountStates, AccountStatus, Appended, BlobBytes, ClaimedKeyPackages, Done, InboxHint,
        InboxPage, LogPage, LogPush, Opened, OpenedLogs, OtpStarted, Refusal, SignalPush,
        SlotBytes,
    };

    /// One of the replies; the doc of each payload type says what it holds.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Body {
        /// No, and why.
        #[prost(message, tag = "2")]
        Refused(Refusal),
        /// Yes, to Ping, Register, Authenticate, VetoHold, PutState, PutCapability, PutKeyPackages, AckInbox,
        /// SubscribeInbox, OpenMailbox, PutSlot, CloseMailbox, PostItem, SubscribeLog, CloseHandle, SendSignal.
        #[prost(message, tag = "10")]
        Done(Done),
        /// To OtpStart.
        #[prost(message, tag = "20")]
        OtpStarted(OtpStarted),
        /// To FetchStatus.
        #[prost(message, tag = "21")]
        AccountStatus(AccountStatus),
        /// To ReadInbox.
        #[prost(message, tag = "22")]
        InboxPage(InboxPage),
        /// To ReadSlot.
        #[prost(message, tag = "23")]
        SlotBytes(SlotBytes),
        /// To Lookup and FetchStates.
        #[prost(message, tag = "30")]
        AccountStates(AccountStates),
        /// To ClaimKeyPackages.
        #[prost(message, tag = "31")]
        ClaimedKeyPackages(ClaimedKeyPackages),
        /// To CreateLog and PutBundle.
        #[prost(message, tag = "40")]
        Opened(Opened),
        /// To OpenLogs.
        #[prost(message, tag = "41")]
        OpenedLogs(OpenedLogs),
        /// To AppendEntry.
        #[prost(message, tag = "42")]
        Appended(Appended),
        /// To ReadLog.
        #[prost(message, tag = "43")]
        LogPage(LogPage),
        /// To FetchBlob.
        #[prost(message, tag = "50")]
        BlobBytes(BlobBytes),
        /// Push.
        #[prost(message, tag = "60")]
        InboxHint(InboxHint),
        /// Push.
        #[prost(message, tag = "61")]
        LogPush(LogPush),
        /// Push.
        #[prost(message, tag = "62")]
        SignalPush(SignalPush),
    }
}
