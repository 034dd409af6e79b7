//! Single values: this profile's own account, keys and server, and a registration under way.

use conclave_core::identity::{DeviceSecret, IdentitySecret, OwnDevice};
use conclave_proto::account::{AccountState, DeviceCert};
use conclave_proto::address::ServerAddress;
use conclave_proto::id::{ChallengeId, Incarnation};
use rusqlite::{OptionalExtension as _, params};
use zeroize::Zeroizing;

use super::{StoreError, Tx};
use crate::view::Proof;

const IDENTITY: &str = "identity";
pub(super) const DEVICE: &str = "device";
pub(super) const SERVER: &str = "server";
pub(super) const IDENTIFIER: &str = "identifier";
pub(super) const NAME: &str = "name";
pub(super) const STATE: &str = "state";
pub(super) const CERT: &str = "cert";
pub(super) const CAPABILITY: &str = "capability";
pub(super) const CHALLENGE: &str = "challenge";
pub(super) const REGISTERED: &str = "registered";
const LAST_RESORT_MS: &str = "last_resort_ms";
const LAST_RESORT: &str = "last_resort";
const CAPABILITY_DUE: &str = "capability_due";
const SERVER_LIFE: &str = "server_life";

/// This profile's registered account. Holds the device's keys; the identity key is loaded only when it signs.
#[derive(Debug)]
pub(crate) struct OwnAccount {
    /// Account, device and the device's keys.
    pub(crate) device: OwnDevice,
    /// The server.
    pub(crate) server: ServerAddress,
    /// Normalised phone number or e-mail address.
    pub(crate) identifier: String,
    /// What contacts are shown; may be empty.
    pub(crate) name: String,
    /// Newest own state.
    pub(crate) state: AccountState,
    /// This device's certificate.
    pub(crate) cert: DeviceCert,
    /// Certificates of all devices that the state lists, this one's included.
    pub(crate) certs: Vec<DeviceCert>,
    /// What contacts may post and claim with; rotated to block.
    pub(crate) capability: [u8; 32],
}

/// A registration that waits for its code. The same objects are sent again after any doubt.
#[derive(Debug)]
pub(crate) struct PendingRegistration {
    /// The server's challenge.
    pub(crate) challenge: ChallengeId,
    /// The account as it will be.
    pub(crate) account: OwnAccount,
}

impl Tx<'_> {
    pub(super) fn meta(&self, key: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let value = self
            .0
            .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
            .query_row([key], |row| row.get::<_, Vec<u8>>(0))
            .optional()?;
        Ok(value.map(Zeroizing::new))
    }

    pub(super) fn set_meta(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.0.execute(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            params![key, value],
        )?;
        Ok(())
    }

    fn needed(&self, key: &'static str) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        self.meta(key)?
            .ok_or_else(|| StoreError(format!("the store misses its {key}")))
    }

    /// The identity key, made at the first registration attempt and kept ever since.
    pub(crate) fn identity(&self) -> Result<Option<IdentitySecret>, StoreError> {
        let Some(bytes) = self.meta(IDENTITY)? else {
            return Ok(None);
        };
        IdentitySecret::from_stored(&bytes)
            .map(Some)
            .ok_or_else(|| damaged(IDENTITY))
    }

    /// Keeps a new identity key.
    pub(crate) fn put_identity(&self, identity: &IdentitySecret) -> Result<(), StoreError> {
        self.set_meta(IDENTITY, &identity.to_stored())
    }

    /// The registered account, or `None` before `register confirm` succeeded.
    pub(crate) fn own_account(&self) -> Result<Option<OwnAccount>, StoreError> {
        if self.meta(REGISTERED)?.is_none() {
            return Ok(None);
        }
        self.load_account().map(Some)
    }

    /// The registration under way.
    pub(crate) fn pending_registration(&self) -> Result<Option<PendingRegistration>, StoreError> {
        let Some(challenge) = self.meta(CHALLENGE)? else {
            return Ok(None);
        };
        let challenge = ChallengeId::parse(&challenge).ok_or_else(|| damaged(CHALLENGE))?;
        Ok(Some(PendingRegistration {
            challenge,
            account: self.load_account()?,
        }))
    }

    /// Keeps a registration under way, replacing an earlier one.
    pub(crate) fn put_pending_registration(
        &self,
        pending: &PendingRegistration,
    ) -> Result<(), StoreError> {
        let account = &pending.account;
        self.set_meta(CHALLENGE, pending.challenge.as_bytes())?;
        self.set_meta(DEVICE, &account.device.secret.to_stored())?;
        self.set_meta(SERVER, account.server.to_string().as_bytes())?;
        self.set_meta(IDENTIFIER, account.identifier.as_bytes())?;
        self.set_meta(NAME, account.name.as_bytes())?;
        self.set_meta(STATE, &account.state.to_bytes())?;
        self.set_meta(CERT, &account.cert.to_bytes())?;
        self.put_own_states(&account.state, &account.certs, account.device.device_id)?;
        self.set_meta(CAPABILITY, &account.capability)
    }

    /// The pending registration became the account.
    pub(crate) fn set_registered(&self) -> Result<(), StoreError> {
        self.set_meta(REGISTERED, b"1")?;
        self.0
            .execute("DELETE FROM meta WHERE key = ?1", [CHALLENGE])?;
        Ok(())
    }

    /// Replaces the capability; the server must hear of it before anything else is asked there.
    pub(crate) fn put_capability(&self, capability: &[u8; 32]) -> Result<(), StoreError> {
        self.set_meta(CAPABILITY, capability)?;
        self.set_meta(CAPABILITY_DUE, b"1")
    }

    /// Whether the server has not heard of the newest capability.
    pub(crate) fn is_capability_due(&self) -> Result<bool, StoreError> {
        Ok(self.meta(CAPABILITY_DUE)?.is_some())
    }

    /// The server may not have the newest capability.
    pub(crate) fn put_capability_due(&self) -> Result<(), StoreError> {
        self.set_meta(CAPABILITY_DUE, b"1")
    }

    /// The server has the newest capability.
    pub(crate) fn clear_capability_due(&self) -> Result<(), StoreError> {
        self.0
            .execute("DELETE FROM meta WHERE key = ?1", [CAPABILITY_DUE])?;
        Ok(())
    }

    /// The life of the server's store in which it took this device's key packages; `None` before it did.
    pub(crate) fn server_life(&self) -> Result<Option<Incarnation>, StoreError> {
        let kept = self.meta(SERVER_LIFE)?;
        let life = kept.as_ref().and_then(|kept| kept.first_chunk::<8>());
        Ok(life.map(|life| Incarnation(u64::from_be_bytes(*life))))
    }

    /// Remembers the same.
    pub(crate) fn set_server_life(&self, life: Incarnation) -> Result<(), StoreError> {
        self.set_meta(SERVER_LIFE, &life.0.to_be_bytes())
    }

    /// When the last-resort key package was made (ms since 1970-01-01 UTC) and its hash reference.
    pub(crate) fn last_resort(&self) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let (Some(made), Some(reference)) = (self.meta(LAST_RESORT_MS)?, self.meta(LAST_RESORT)?)
        else {
            return Ok(None);
        };
        let made = made
            .as_slice()
            .try_into()
            .map_err(|_| damaged(LAST_RESORT_MS))?;
        Ok(Some((u64::from_be_bytes(made), reference.to_vec())))
    }

    /// Notes the newest last-resort key package; the one before is deleted at `delete_old_ms`.
    pub(crate) fn put_last_resort(
        &self,
        reference: &[u8],
        now_ms: u64,
        delete_old_ms: u64,
    ) -> Result<(), StoreError> {
        if let Some((_, old)) = self.last_resort()? {
            self.0.execute(
                "INSERT OR IGNORE INTO old_last_resort (hash_ref, delete_ms) VALUES (?1, ?2)",
                params![old, super::int(delete_old_ms)],
            )?;
        }
        self.set_meta(LAST_RESORT_MS, &now_ms.to_be_bytes())?;
        self.set_meta(LAST_RESORT, reference)
    }

    /// Takes the replaced last-resort packages whose time is over.
    pub(crate) fn take_old_last_resorts(&self, now_ms: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut statement = self
            .0
            .prepare("DELETE FROM old_last_resort WHERE delete_ms <= ?1 RETURNING hash_ref")?;
        let rows = statement.query_map([super::int(now_ms)], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Keeps proof that somebody misbehaved: the same once, and at most 1,000, so that nobody can fill the store.
    pub(crate) fn put_evidence(
        &self,
        what: &str,
        bytes: &[u8],
        now_ms: u64,
    ) -> Result<(), StoreError> {
        self.0.execute(
            "INSERT INTO evidence (what, bytes, seen_ms) SELECT ?1, ?2, ?3
             WHERE NOT EXISTS (SELECT 1 FROM evidence WHERE what = ?1 AND bytes = ?2)
             AND (SELECT count(*) FROM evidence) < 1000",
            params![what, bytes, super::int(now_ms)],
        )?;
        Ok(())
    }

    /// What proof is kept, oldest first.
    pub(crate) fn evidence(&self) -> Result<Vec<Proof>, StoreError> {
        let mut statement = self
            .0
            .prepare("SELECT what, bytes, seen_ms FROM evidence ORDER BY id")?;
        let rows = statement.query_map([], |row| {
            Ok(Proof {
                what: row.get("what")?,
                bytes: row.get("bytes")?,
                seen_ms: super::counter(row, "seen_ms")?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn load_account(&self) -> Result<OwnAccount, StoreError> {
        let text = |key| -> Result<String, StoreError> {
            String::from_utf8(self.needed(key)?.to_vec()).map_err(|_| damaged(key))
        };
        let secret =
            DeviceSecret::from_stored(&self.needed(DEVICE)?).ok_or_else(|| damaged(DEVICE))?;
        let state = AccountState::parse(&self.needed(STATE)?).map_err(|_| damaged(STATE))?;
        let cert = DeviceCert::parse(&self.needed(CERT)?).map_err(|_| damaged(CERT))?;
        let device = OwnDevice {
            server_id: state.content.server_id,
            account_id: state.content.account_id,
            device_id: cert.content.device_id,
            identity_fingerprint: state.content.identity.fingerprint(),
            account_seq: state.content.seq,
            secret,
            former: self.former_devices()?,
        };
        Ok(OwnAccount {
            device,
            server: text(SERVER)?.parse().map_err(|_| damaged(SERVER))?,
            identifier: text(IDENTIFIER)?,
            name: text(NAME)?,
            state,
            certs: self.own_certs()?.unwrap_or_else(|| vec![cert.clone()]),
            cert,
            capability: self
                .needed(CAPABILITY)?
                .as_slice()
                .try_into()
                .map_err(|_| damaged(CAPABILITY))?,
        })
    }
}

fn damaged(key: &str) -> StoreError {
    StoreError(format!("the stored {key} is damaged"))
}
