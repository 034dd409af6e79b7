//! The account's devices: its newest state and certificates, names, and a link under way on either side.

use conclave_core::identity::{DeviceSecret, IdentitySecret};
use conclave_core::link::{LinkCode, Offer};
use conclave_proto::account::{AccountState, AccountStates, DeviceCert};
use conclave_proto::address::ServerAddress;
use conclave_proto::id::{DeviceId, Hash32};
use prost::Message as _;
use rusqlite::params;

use super::account::{
    CAPABILITY, CERT, CHALLENGE, DEVICE, IDENTIFIER, NAME, REGISTERED, SERVER, STATE,
};
use super::{OwnAccount, StoreError, Tx};

/// States as they travel, with the certificates of all listed devices.
const CERTS: &str = "certs";
const LINK: &str = "link";
const APPROVAL: &str = "approval";
const NEXT_IDENTITY: &str = "next_identity";
const REMOVED: &str = "removed";

/// A link that this device waits for: what it offered and showed.
#[derive(Debug)]
pub(crate) struct PendingLink {
    /// The server.
    pub(crate) server: ServerAddress,
    /// This device's keys.
    pub(crate) secret: DeviceSecret,
    /// What lies in the mailbox's first slot.
    pub(crate) offer: Offer,
    /// What is shown beside the link.
    pub(crate) code: LinkCode,
    /// When it began, ms since 1970-01-01 UTC.
    pub(crate) made_ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredLink {
    #[prost(string, tag = "1")]
    server: String,
    #[prost(bytes = "vec", tag = "2")]
    secret: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    offer: Vec<u8>,
    #[prost(string, tag = "4")]
    code: String,
    #[prost(uint64, tag = "5")]
    made_ms: u64,
}

/// A device that is being let in here. Each part is on disk before it is sent, and sent again unchanged.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Approval {
    /// Its mailbox, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) mailbox_id: Vec<u8>,
    /// Its offer.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) offer: Vec<u8>,
    /// The code that the person typed.
    #[prost(string, tag = "3")]
    pub(crate) code: String,
    /// What binds the bundle to the answer, 32 bytes.
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) secret: Vec<u8>,
    /// The sealed answer.
    #[prost(bytes = "vec", tag = "5")]
    pub(crate) answer: Vec<u8>,
    /// The state that lists the device, while the server may not have it; empty before and after.
    #[prost(message, optional, tag = "6")]
    pub(crate) put: Option<conclave_proto::account::PutState>,
    /// The sealed bundle; empty before the state is there.
    #[prost(bytes = "vec", tag = "7")]
    pub(crate) bundle: Vec<u8>,
}

impl Tx<'_> {
    /// Certificates of all devices in the own newest state, when they were kept apart from the own one.
    pub(super) fn own_certs(&self) -> Result<Option<Vec<DeviceCert>>, StoreError> {
        let Some(bytes) = self.meta(CERTS)? else {
            return Ok(None);
        };
        let damaged = || StoreError("the stored certificates are damaged".into());
        let stored = AccountStates::decode(bytes.as_slice()).map_err(|_| damaged())?;
        let certs: Result<_, _> = stored
            .certs
            .iter()
            .map(|cert| DeviceCert::parse(cert))
            .collect();
        certs.map(Some).map_err(|_| damaged())
    }

    /// Replaces the own newest state and its certificates; this device's own one among them stays its own.
    pub(crate) fn put_own_states(
        &self,
        state: &AccountState,
        certs: &[DeviceCert],
        own: DeviceId,
    ) -> Result<(), StoreError> {
        self.set_meta(STATE, &state.to_bytes())?;
        if let Some(cert) = certs.iter().find(|cert| cert.content.device_id == own) {
            self.set_meta(CERT, &cert.to_bytes())?;
        }
        let stored = AccountStates {
            states: Vec::new(),
            certs: certs.iter().map(DeviceCert::to_bytes).collect(),
            former_certs: vec![],
        };
        self.set_meta(CERTS, &stored.encode_to_vec())?;
        // What is said next tells of the new state: a device may be out that others still talk to.
        self.0.execute(
            "UPDATE conversation SET state_told = 0 WHERE stage <> 'broken'",
            [],
        )?;
        Ok(())
    }

    /// An account that arrived over a link becomes this profile's.
    pub(crate) fn put_linked(
        &self,
        account: &OwnAccount,
        identity: &IdentitySecret,
    ) -> Result<(), StoreError> {
        self.put_identity(identity)?;
        self.set_meta(DEVICE, &account.device.secret.to_stored())?;
        self.set_meta(SERVER, account.server.to_string().as_bytes())?;
        self.set_meta(IDENTIFIER, account.identifier.as_bytes())?;
        self.set_meta(NAME, account.name.as_bytes())?;
        self.set_meta(CAPABILITY, &account.capability)?;
        self.put_own_states(&account.state, &account.certs, account.device.device_id)?;
        self.set_meta(REGISTERED, b"1")?;
        self.delete_meta(CHALLENGE)?;
        self.delete_meta(LINK)
    }

    /// The link that this device waits for.
    pub(crate) fn pending_link(&self) -> Result<Option<PendingLink>, StoreError> {
        let Some(bytes) = self.meta(LINK)? else {
            return Ok(None);
        };
        let damaged = || StoreError("the stored link is damaged".into());
        let stored = StoredLink::decode(bytes.as_slice()).map_err(|_| damaged())?;
        Ok(Some(PendingLink {
            server: stored.server.parse().map_err(|_| damaged())?,
            secret: DeviceSecret::from_stored(&stored.secret).ok_or_else(damaged)?,
            offer: Offer::read(&stored.offer).map_err(|_| damaged())?,
            code: LinkCode::parse(&stored.code).ok_or_else(damaged)?,
            made_ms: stored.made_ms,
        }))
    }

    /// Keeps a link under way, replacing an earlier one.
    pub(crate) fn put_pending_link(&self, link: &PendingLink) -> Result<(), StoreError> {
        let stored = StoredLink {
            server: link.server.to_string(),
            secret: link.secret.to_stored().to_vec(),
            offer: link.offer.to_bytes(),
            code: link.code.digits().to_owned(),
            made_ms: link.made_ms,
        };
        self.set_meta(LINK, &stored.encode_to_vec())
    }

    /// Forgets the link under way.
    pub(crate) fn forget_link(&self) -> Result<(), StoreError> {
        self.delete_meta(LINK)
    }

    /// The device that is being let in.
    pub(crate) fn approval(&self) -> Result<Option<Approval>, StoreError> {
        let bytes = self.meta(APPROVAL)?;
        let parse = |bytes: &[u8]| Approval::decode(bytes);
        let parsed = bytes.map(|bytes| parse(&bytes)).transpose();
        parsed.map_err(|_| StoreError("the stored approval is damaged".into()))
    }

    /// Keeps how far letting a device in has come.
    pub(crate) fn put_approval(&self, approval: &Approval) -> Result<(), StoreError> {
        self.set_meta(APPROVAL, &approval.encode_to_vec())
    }

    /// The device in this mailbox is in, or never will be: only whose link it was is kept, for whoever asks
    /// again.
    pub(crate) fn end_approval(&self, mailbox: Hash32) -> Result<(), StoreError> {
        match self.approval()? {
            Some(row) if row.mailbox_id == mailbox.to_vec() => self.put_approval(&Approval {
                mailbox_id: row.mailbox_id,
                offer: row.offer,
                ..Approval::default()
            }),
            _ => Ok(()),
        }
    }

    /// Keeps an identity key that another own device made; it is used once the newest state names it.
    pub(crate) fn put_next_identity(&self, identity: &IdentitySecret) -> Result<(), StoreError> {
        self.set_meta(NEXT_IDENTITY, &identity.to_stored())
    }

    /// The identity key that another own device made, when there is one.
    pub(crate) fn next_identity(&self) -> Result<Option<IdentitySecret>, StoreError> {
        let bytes = self.meta(NEXT_IDENTITY)?;
        Ok(bytes.and_then(|bytes| IdentitySecret::from_stored(&bytes)))
    }

    /// Whether a state that follows the pinned one no longer lists this device, or the server does not know it.
    pub(crate) fn is_removed(&self) -> Result<bool, StoreError> {
        Ok(self.meta(REMOVED)?.is_some_and(|mark| !mark.is_empty()))
    }

    /// This device is no longer one of its account's.
    pub(crate) fn set_removed(&self) -> Result<(), StoreError> {
        self.set_meta(REMOVED, b"1")
    }

    /// The server knows this device, or does not; what the account itself said stays.
    pub(crate) fn set_refused(&self, is_refused: bool) -> Result<(), StoreError> {
        let mark = self.meta(REMOVED)?;
        if mark.is_some_and(|mark| mark.as_slice() == b"1") {
            return Ok(());
        }
        self.set_meta(
            REMOVED,
            if is_refused {
                b"refused".as_slice()
            } else {
                b""
            },
        )
    }

    /// Names of the account's devices.
    pub(crate) fn device_names(&self) -> Result<Vec<(DeviceId, String)>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT device_id, name FROM device_name ORDER BY device_id")?;
        let rows = statement.query_map([], |row| {
            Ok((
                DeviceId::new(super::id(row, "device_id")?),
                row.get("name")?,
            ))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Gives a device a name.
    pub(crate) fn put_device_name(&self, device: DeviceId, name: &str) -> Result<(), StoreError> {
        self.0.execute(
            "INSERT INTO device_name (device_id, name) VALUES (?1, ?2)
             ON CONFLICT (device_id) DO UPDATE SET name = excluded.name",
            params![device.as_bytes(), name],
        )?;
        Ok(())
    }

    pub(super) fn delete_meta(&self, key: &str) -> Result<(), StoreError> {
        self.0.execute("DELETE FROM meta WHERE key = ?1", [key])?;
        Ok(())
    }
}
