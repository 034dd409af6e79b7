//! From an epoch of a conversation to the keys that fall out of it: access, signal, binding, reboot.

use core::fmt;

use aws_lc_rs::hkdf;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use conclave_proto::hello::{ConnectionContext, Purpose, open_fields};
use conclave_proto::id::{Epoch, LogId, ServerId};
use conclave_proto::log::{BundleHead, CreateLog};
use openmls::group::{ExportSecretError, MlsGroup, StagedCommit};
use zeroize::Zeroizing;

use crate::provider::{Crypto, MlsFailure};
use crate::secret::Secret;

/// What an exported secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Seed of A_e.
    Access,
    /// Signals of the epoch.
    Signal,
    /// Seals the committer's leaf signature in a bundle (C-036).
    Bind,
    /// External PSK of a successor.
    Reboot,
}

impl Use {
    /// The MLS exporter label.
    const fn label(self) -> &'static str {
        match self {
            Self::Access => "conclave/1 access",
            Self::Signal => "conclave/1 signal",
            Self::Bind => "conclave/1 bind",
            Self::Reboot => "conclave/1 reboot",
        }
    }
}

/// Something that an epoch's secrets can be exported from, before or after it is merged.
pub(crate) trait Exporter {
    /// RFC 9420 §8.5.
    fn export_raw(
        &self,
        label: &str,
        context: &[u8],
        length: usize,
    ) -> Result<Vec<u8>, ExportSecretError>;

    /// The 32-byte secret of this epoch for one use; context is server id ‖ log id.
    fn export(
        &self,
        purpose: Use,
        server_id: ServerId,
        log_id: LogId,
    ) -> Result<Secret<32>, MlsFailure> {
        let context = [server_id.as_bytes().as_slice(), log_id.as_bytes()].concat();
        let refused = |detail: String| MlsFailure::Refused {
            step: "export a secret",
            detail,
        };
        let bytes = self
            .export_raw(purpose.label(), &context, 32)
            .map(Zeroizing::new)
            .map_err(|error| refused(error.to_string()))?;
        Secret::parse(&bytes).ok_or_else(|| refused("wrong length".into()))
    }
}

impl Exporter for MlsGroup {
    fn export_raw(
        &self,
        label: &str,
        context: &[u8],
        length: usize,
    ) -> Result<Vec<u8>, ExportSecretError> {
        self.export_secret(&Crypto, label, context, length)
    }
}

impl Exporter for StagedCommit {
    fn export_raw(
        &self,
        label: &str,
        context: &[u8],
        length: usize,
    ) -> Result<Vec<u8>, ExportSecretError> {
        self.export_secret(&Crypto, label, context, length)
    }
}

/// The access key A_e of one epoch: its holder may open the log at e, append while e is current and end e.
///
/// Every member's device can derive it from the conversation; it is kept as a 32-byte seed, only as long
/// as the epoch's entries are still to be read or written, and wiped on drop. The server holds the public half.
pub struct AccessKey(Secret<32>);

impl AccessKey {
    /// The key with this seed.
    pub fn from_seed(seed: Secret<32>) -> Self {
        Self(seed)
    }

    /// The seed, for the encrypted store only.
    pub fn seed(&self) -> &Secret<32> {
        &self.0
    }

    /// The public half, 32 bytes.
    #[expect(clippy::expect_used, reason = "an Ed25519 public key is 32 bytes")]
    pub fn public(&self) -> [u8; 32] {
        self.pair()
            .public_key()
            .as_ref()
            .try_into()
            .expect("32 bytes")
    }

    /// Proof that opens `log_id` at `epoch` on this connection (C-021), 64 bytes.
    pub fn prove_open(&self, context: &ConnectionContext, log_id: LogId, epoch: Epoch) -> Vec<u8> {
        self.sign(&context.proof_input(Purpose::OpenLog, &open_fields(log_id, epoch)))
    }

    /// Proof for creating a log on this connection (C-020), 64 bytes; `create.proof` and `create.pass` are not covered.
    pub fn prove_create(&self, context: &ConnectionContext, create: &CreateLog) -> Vec<u8> {
        self.sign(&context.proof_input(Purpose::CreateLog, create.fields_hash().as_bytes()))
    }

    /// Signs a bundle head as A_e, the key of the epoch that ends (C-023).
    pub fn sign_old(&self, head: &BundleHead) -> Vec<u8> {
        self.sign(&head.old_input())
    }

    /// Signs a bundle head as A_{e+1}, the key of the epoch that begins (C-023).
    pub fn sign_new(&self, head: &BundleHead) -> Vec<u8> {
        self.sign(&head.new_input())
    }

    fn sign(&self, input: &[u8]) -> Vec<u8> {
        self.pair().sign(input).as_ref().to_vec()
    }

    #[expect(clippy::expect_used, reason = "any 32 bytes are an Ed25519 seed")]
    fn pair(&self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(self.0.expose()).expect("32 bytes are a seed")
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessKey")
    }
}

/// The key of one leaf's signals in one epoch: HKDF-SHA256-Expand(epoch's signal secret, leaf as u32).
#[expect(clippy::expect_used, reason = "32 bytes are within HKDF's limit")]
pub(crate) fn signal_key(epoch_secret: &Secret<32>, leaf: u32) -> Secret<32> {
    let mut key = [0; 32];
    hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, epoch_secret.expose())
        .expand(&[&leaf.to_be_bytes()], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut key))
        .expect("32 bytes are within the limit");
    Secret::take(&mut key)
}

#[cfg(test)]
mod tests {
    use conclave_proto::account::verify_ed25519;
    use conclave_proto::id::{Hash32, Seq};

    use super::*;

    fn key(byte: u8) -> AccessKey {
        AccessKey::from_seed(Secret::take(&mut [byte; 32]))
    }

    fn context() -> ConnectionContext {
        ConnectionContext {
            server_id: ServerId::new([1; 32]),
            client_nonce: [2; 32],
            server_nonce: [3; 32],
            binding: vec![4; 32],
        }
    }

    /// A key comes back from its stored seed, and its proofs verify for exactly what they are about.
    #[test]
    fn c021_proofs_verify_after_a_round_trip() {
        let stored = Secret::parse(key(7).seed().expose()).unwrap();
        let key = AccessKey::from_seed(stored);
        let (log, epoch) = (LogId::new([9; 32]), Epoch(5));
        let proof = key.prove_open(&context(), log, epoch);
        let input = |epoch| context().proof_input(Purpose::OpenLog, &open_fields(log, epoch));
        assert!(verify_ed25519(&key.public(), &input(epoch), &proof));
        assert!(!verify_ed25519(&key.public(), &input(Epoch(6)), &proof));
    }

    /// The two signatures of a bundle head cannot stand in for each other.
    #[test]
    fn c023_old_and_new_signatures_are_distinct() {
        let head = BundleHead {
            version: 1,
            server_id: ServerId::new([1; 32]),
            log_id: LogId::new([9; 32]),
            base_epoch: Epoch(1),
            base_seq: Seq(1),
            base_hash: Hash32::new([0; 32]),
            commit_hash: Hash32::new([0; 32]),
            next_access_key: key(2).public(),
            blobs: vec![],
            retention_days: 30,
        };
        let old = key(1).sign_old(&head);
        assert!(verify_ed25519(&key(1).public(), &head.old_input(), &old));
        assert!(!verify_ed25519(&key(1).public(), &head.new_input(), &old));
    }

    /// Each leaf has a signal key of its own.
    #[test]
    fn signal_keys_differ_by_leaf() {
        let secret = Secret::take(&mut [3; 32]);
        assert_ne!(
            signal_key(&secret, 0).expose(),
            signal_key(&secret, 1).expose()
        );
    }
}
