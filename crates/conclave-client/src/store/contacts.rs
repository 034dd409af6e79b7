//! People: pins, accepted states, names, blocks.

use conclave_core::credential::{Accounts, FormerDevice, KnownAccount};
use conclave_core::pin::Pin;
use conclave_proto::account::{AccountState, AccountStates, DeviceCert};
use conclave_proto::id::{AccountId, DeviceId, Hash32, IdentityFingerprint};
use prost::Message as _;
use rusqlite::{OptionalExtension as _, Row, params};

use super::{StoreError, Tx, counter, id, int};

/// One person.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column of its own")]
pub(crate) struct ContactRow {
    /// What was accepted first, and followed since.
    pub(crate) pin: Pin,
    /// Normalised phone number or e-mail address.
    pub(crate) identifier: String,
    /// Given by this user; may be empty.
    pub(crate) given_name: String,
    /// Chosen by themselves; may be empty.
    pub(crate) own_name: String,
    /// The accepted state and its certificates, encoded.
    pub(crate) states: AccountStates,
    /// States that contradict the pin, until the person decides.
    pub(crate) changed: Option<AccountStates>,
    /// What they gave us to post and claim with; empty when nothing yet.
    pub(crate) capability: Vec<u8>,
    /// Whether a lookup of our own led from the identifier to this account.
    pub(crate) confirmed: bool,
    /// Whether we accepted their request or wrote first.
    pub(crate) accepted: bool,
    /// Whether they are blocked.
    pub(crate) blocked: bool,
    /// Whether safety numbers were compared.
    pub(crate) verified: bool,
    /// When their key was last replaced under the old one's signature, ms since 1970-01-01 UTC; 0 when never, or when
    /// this user has compared or accepted since.
    pub(crate) rotated_ms: u64,
    /// When the identifier was last looked up, ms since 1970-01-01 UTC.
    pub(crate) checked_ms: u64,
}

impl ContactRow {
    /// The name to show: the user's own, else theirs, else none.
    pub(crate) fn name(&self) -> &str {
        if self.given_name.is_empty() {
            &self.own_name
        } else {
            &self.given_name
        }
    }

    /// Parses and verifies the accepted state.
    pub(crate) fn known(&self) -> Option<KnownAccount> {
        let server_id = AccountState::parse(self.states.states.last()?)
            .ok()?
            .content
            .server_id;
        parse_known(server_id, &self.states)
    }
}

/// Parses the newest state with its certificates and verifies all signatures.
pub(crate) fn parse_known(
    server_id: conclave_proto::id::ServerId,
    states: &AccountStates,
) -> Option<KnownAccount> {
    let state = AccountState::parse(states.states.last()?).ok()?;
    let certs: Result<Vec<_>, _> = states
        .certs
        .iter()
        .map(|cert| DeviceCert::parse(cert))
        .collect();
    KnownAccount::new(server_id, state, certs.ok()?).ok()
}

fn contact(row: &Row<'_>) -> rusqlite::Result<ContactRow> {
    let states = |bytes: Vec<u8>| AccountStates::decode(bytes.as_slice()).unwrap_or_default();
    Ok(ContactRow {
        pin: Pin {
            account_id: AccountId::new(id(row, "account_id")?),
            identity_fingerprint: IdentityFingerprint::new(id(row, "fingerprint")?),
            generation: row.get("generation")?,
            seq: counter(row, "state_seq")?,
            hash: Hash32::new(id(row, "state_hash")?),
        },
        identifier: row.get("identifier")?,
        given_name: row.get("given_name")?,
        own_name: row.get("own_name")?,
        states: states(row.get("states")?),
        changed: row.get::<_, Option<Vec<u8>>>("changed")?.map(states),
        capability: row.get("capability")?,
        confirmed: row.get("confirmed")?,
        accepted: row.get("accepted")?,
        blocked: row.get("blocked")?,
        verified: row.get("verified")?,
        rotated_ms: counter(row, "rotated_ms")?,
        checked_ms: counter(row, "checked_ms")?,
    })
}

/// Keys of 32 bytes that stand one behind the other.
fn keys(bytes: &[u8]) -> Vec<[u8; 32]> {
    let (keys, _) = bytes.as_chunks();
    keys.to_vec()
}

impl Tx<'_> {
    /// Somebody's profile picture, a JPEG; `None` when there is none.
    pub(crate) fn picture(&self, account: AccountId) -> Result<Option<Vec<u8>>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT jpeg FROM picture WHERE account_id = ?1")?;
        let found = statement.query_row([account.as_bytes()], |row| row.get(0));
        Ok(found.optional()?)
    }

    /// Keeps somebody's profile picture in the place of the one before; an empty one removes it.
    pub(crate) fn put_picture(&self, account: AccountId, jpeg: &[u8]) -> Result<(), StoreError> {
        self.0
            .prepare_cached("INSERT OR REPLACE INTO picture (account_id, jpeg) VALUES (?1, ?2)")?
            .execute(rusqlite::params![account.as_bytes(), jpeg])?;
        Ok(())
    }

    /// Remembers a device that an account listed once, in the place of what was known of it.
    pub(crate) fn put_former_device(&self, former: &FormerDevice) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT OR REPLACE INTO former_device
                 (account_id, device_id, leaf_keys, first_seq, last_seq) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                former.account_id.as_bytes(),
                former.device_id.as_bytes(),
                former.leaf_keys.as_flattened(),
                int(former.first_seq),
                int(former.last_seq),
            ])?;
        Ok(())
    }

    fn former_device(
        &self,
        account_id: AccountId,
        device_id: DeviceId,
    ) -> Result<Option<FormerDevice>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT * FROM former_device WHERE account_id = ?1 AND device_id = ?2",
        )?;
        let former = |row: &Row<'_>| {
            Ok(FormerDevice {
                account_id,
                device_id,
                leaf_keys: keys(&row.get::<_, Vec<u8>>("leaf_keys")?),
                first_seq: counter(row, "first_seq")?,
                last_seq: counter(row, "last_seq")?,
            })
        };
        let found = statement.query_row([account_id.as_bytes(), device_id.as_bytes()], former);
        Ok(found.optional()?)
    }

    /// One person by account.
    pub(crate) fn contact(&self, account: AccountId) -> Result<Option<ContactRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM contact WHERE account_id = ?1")?;
        Ok(statement
            .query_row([account.as_bytes()], contact)
            .optional()?)
    }

    /// The person whose account an identifier is pinned to. Identifiers that were only claimed do not count.
    pub(crate) fn contact_by_identifier(
        &self,
        identifier: &str,
    ) -> Result<Option<ContactRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT * FROM contact WHERE identifier = ?1 ORDER BY confirmed DESC, accepted DESC LIMIT 1",
        )?;
        Ok(statement.query_row([identifier], contact).optional()?)
    }

    /// Takes an identifier from everybody but its owner who only claimed it.
    pub(crate) fn drop_claims(&self, identifier: &str, owner: AccountId) -> Result<(), StoreError> {
        self.0.execute(
            "UPDATE contact SET identifier = '' WHERE identifier = ?1 AND account_id <> ?2 AND accepted = 0",
            params![identifier, owner.as_bytes()],
        )?;
        Ok(())
    }

    /// Everybody, by name and identifier.
    pub(crate) fn contacts(&self) -> Result<Vec<ContactRow>, StoreError> {
        let mut statement = self
            .0
            .prepare("SELECT * FROM contact ORDER BY given_name, own_name, identifier")?;
        let rows = statement.query_map([], contact)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Writes one person whole; what the other own devices should know of it is shared with them.
    pub(crate) fn put_contact(&self, row: &ContactRow) -> Result<(), StoreError> {
        let before = self.contact(row.pin.account_id)?;
        self.put_contact_quietly(row)?;
        self.share_contact(before.as_ref(), row)
    }

    /// The same of what another own device said.
    pub(crate) fn put_contact_quietly(&self, row: &ContactRow) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT OR REPLACE INTO contact (account_id, identifier, given_name, own_name, fingerprint,
                 generation, state_seq, state_hash, states, changed, capability, confirmed, accepted, blocked,
                 verified, checked_ms, rotated_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
            )?
            .execute(params![
                row.pin.account_id.as_bytes(),
                row.identifier,
                row.given_name,
                row.own_name,
                row.pin.identity_fingerprint.as_bytes(),
                row.pin.generation,
                int(row.pin.seq),
                row.pin.hash.as_bytes(),
                row.states.encode_to_vec(),
                row.changed.as_ref().map(prost::Message::encode_to_vec),
                row.capability,
                row.confirmed,
                row.accepted,
                row.blocked,
                row.verified,
                int(row.checked_ms),
                int(row.rotated_ms),
            ])?;
        Ok(())
    }
}

/// Accepted accounts as leaf checks need them, inside the transaction; the own account included.
pub(crate) struct Known<'a> {
    tx: &'a Tx<'a>,
    own: &'a KnownAccount,
}

impl<'a> Tx<'a> {
    /// Accepted accounts on this transaction.
    pub(crate) fn known_accounts(&'a self, own: &'a KnownAccount) -> Known<'a> {
        Known { tx: self, own }
    }
}

impl Accounts for Known<'_> {
    fn known(&self, account: AccountId) -> Option<KnownAccount> {
        if account == self.own.state().content.account_id {
            return Some(self.own.clone());
        }
        // Someone whose key changed is known by what was pinned: their old leaves hold, new ones do not.
        self.tx.contact(account).ok()??.known()
    }

    fn former(&self, account: AccountId, device: DeviceId) -> Option<FormerDevice> {
        self.tx.former_device(account, device).ok()?
    }
}
