//! A member with MLS itself in hand: over the rows of an honest device, without core's checks.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use conclave_core::access::AccessKey;
use conclave_core::conversation::{ConversationContext, Outside};
use conclave_core::identity::DeviceSecret;
use conclave_core::key_package::EXTENSION_CONTEXT;
use conclave_core::provider;
use conclave_core::secret::Secret;
use conclave_proto::codec;
use conclave_proto::id::{Epoch, Hash32, LogId, Seq};
use conclave_proto::label;
use conclave_proto::log::{BUNDLE_VERSION, BundleHead, CommitEntry};
use openmls::credentials::{BasicCredential, CredentialWithKey};
use openmls::extensions::{Extension, Extensions, RequiredCapabilitiesExtension, UnknownExtension};
use openmls::group::{
    CommitBuilder, GroupContext, GroupId, Initial, MlsGroup, MlsGroupJoinConfig, WireFormatPolicy,
};
use openmls::prelude::{CredentialType, ExtensionType, LeafNodeParameters};
use openmls_traits::OpenMlsProvider;
use openmls_traits::signatures::{Signer, SignerError};
use openmls_traits::types::SignatureScheme;
use tls_codec::Serialize;

/// A commit on its way to be shaped.
pub type Builder<'a> = CommitBuilder<'a, Initial>;

/// Signs for MLS with a device's leaf key, whatever it is.
#[derive(Debug)]
pub struct LeafSigner<'a>(pub Outside<'a>);

impl Signer for LeafSigner<'_> {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.0.own.secret.sign_input(payload))
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// A commit made with MLS itself.
#[derive(Debug)]
pub struct RawCommit {
    /// The MLS message.
    pub commit: Vec<u8>,
    /// A_{e+1} by it.
    pub next: AccessKey,
}

/// A device's place in one conversation, as its own program could use it.
pub struct Member<'a> {
    outside: Outside<'a>,
    /// The group itself. What is done with it is in the rows, as MLS writes it.
    pub group: MlsGroup,
}

impl std::fmt::Debug for Member<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Member")
    }
}

impl<'a> Member<'a> {
    /// Takes over the device of `outside` in the conversation of `log_id`.
    pub fn of(outside: Outside<'a>, log_id: LogId) -> Self {
        let provider = provider::unchecked(outside.rows, outside.env);
        let group = MlsGroup::load(provider.storage(), &GroupId::from_slice(log_id.as_bytes()));
        Self {
            outside,
            group: group.ok().flatten().expect("the device is a member"),
        }
    }

    /// What MLS works with: the device's rows.
    pub fn provider(&self) -> impl OpenMlsProvider + use<'a> {
        provider::unchecked(self.outside.rows, self.outside.env)
    }

    /// The device's leaf key.
    pub fn signer(&self) -> LeafSigner<'a> {
        LeafSigner(self.outside)
    }

    /// The log.
    pub fn log_id(&self) -> LogId {
        LogId::parse(self.group.group_id().as_slice()).unwrap()
    }

    /// The epoch.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.group.epoch().as_u64())
    }

    /// What the conversation says about itself.
    pub fn context(&self) -> ConversationContext {
        let extension = self.group.extensions().unknown(EXTENSION_CONTEXT).unwrap();
        codec::parse_exact(&extension.0).unwrap()
    }

    /// A_e.
    pub fn access(&self) -> AccessKey {
        AccessKey::from_seed(self.export("conclave/1 access"))
    }

    fn export(&self, label: &str) -> Secret<32> {
        let provider = self.provider();
        let exported =
            self.group
                .export_secret(provider.crypto(), label, &self.exporter_context(), 32);
        Secret::parse(&exported.unwrap()).unwrap()
    }

    fn exporter_context(&self) -> Vec<u8> {
        let server_id = self.outside.own.server_id;
        [server_id.as_bytes().as_slice(), self.log_id().as_bytes()].concat()
    }

    /// A commit of any shape that MLS lets its own member make. It stays pending in the rows.
    pub fn commit(&mut self, change: impl FnOnce(Builder<'_>) -> Builder<'_>) -> RawCommit {
        let context = self.exporter_context();
        let provider = self.provider();
        let builder = change(self.group.commit_builder().force_self_update(true));
        let commit = builder
            .load_psks(provider.storage())
            .unwrap()
            .build(
                provider.rand(),
                provider.crypto(),
                &LeafSigner(self.outside),
                |_| true,
            )
            .expect("mls lets its member make this commit")
            .stage_commit(&provider)
            .ok()
            .unwrap()
            .into_commit();
        let pending = self.group.pending_commit().unwrap();
        let next = pending
            .export_secret(provider.crypto(), "conclave/1 access", &context, 32)
            .unwrap();
        RawCommit {
            commit: commit.tls_serialize_detached().unwrap(),
            next: AccessKey::from_seed(Secret::parse(&next).unwrap()),
        }
    }

    /// The head of a bundle around `commit` that registers `next`, made at entry 7 of the log.
    pub fn head(&self, commit: &[u8], next: &AccessKey) -> BundleHead {
        BundleHead {
            version: BUNDLE_VERSION,
            server_id: self.context().server_id,
            log_id: self.log_id(),
            base_epoch: self.epoch(),
            base_seq: Seq(7),
            base_hash: Hash32::new([7; 32]),
            commit_hash: label::sha256(commit),
            next_access_key: next.public(),
            blobs: vec![],
            retention_days: 30,
        }
    }

    /// The whole entry around `head` and `commit`, bound by this member and signed by A_e and `next`.
    pub fn entry(&self, head: BundleHead, commit: &[u8], next: &AccessKey) -> CommitEntry {
        CommitEntry {
            old_signature: self.access().sign_old(&head).into(),
            new_signature: next.sign_new(&head).into(),
            binding: self.bind(&head).into(),
            commit: commit.to_vec().into(),
            head,
        }
    }

    /// The payload of a commit entry around `commit` that registers `next`.
    pub fn bundle(&self, commit: &[u8], next: &AccessKey) -> Vec<u8> {
        codec::encode(&self.entry(self.head(commit, next), commit, next))
    }

    /// This member's binding for `head` (C-036), under its own leaf.
    pub fn bind(&self, head: &BundleHead) -> Vec<u8> {
        self.bind_as(self.group.own_leaf_index().u32(), head)
    }

    /// A binding by this member's key that names `leaf`.
    pub fn bind_as(&self, leaf: u32, head: &BundleHead) -> Vec<u8> {
        let mut nonce = [0; 12];
        self.outside.env.fill(&mut nonce);
        let key = self.export("conclave/1 bind");
        binding(&key, nonce, leaf, &self.outside.own.secret, head)
    }

    /// From here on, what is sealed and committed has this wire format and `aad` in clear.
    pub fn frame_as(&mut self, policy: WireFormatPolicy, aad: &[u8]) {
        let config = MlsGroupJoinConfig::builder()
            .wire_format_policy(policy)
            .padding_size(256)
            .build();
        let provider = self.provider();
        let set = self.group.set_configuration(provider.storage(), &config);
        set.ok().unwrap();
        self.group.set_aad(aad.to_vec());
    }

    /// A message around any content, of any length.
    pub fn message(&mut self, content: &[u8]) -> Vec<u8> {
        let provider = self.provider();
        let signer = self.signer();
        let sealed = self.group.create_message(&provider, &signer, content);
        sealed.unwrap().tls_serialize_detached().unwrap()
    }
}

/// A binding for `head` (C-036) under the exporter key `key` of the epoch that ends, by the device of `secret` at `leaf`.
pub fn binding(
    key: &Secret<32>,
    nonce: [u8; 12],
    leaf: u32,
    secret: &DeviceSecret,
    head: &BundleHead,
) -> Vec<u8> {
    let signature = secret.sign_input(&head.binding_input());
    let mut sealed = [leaf.to_be_bytes().as_slice(), &signature].concat();
    let additional = [
        head.log_id.as_bytes().as_slice(),
        &head.base_epoch.0.to_be_bytes(),
    ];
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).unwrap())
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(additional.concat()),
            &mut sealed,
        )
        .unwrap();
    [nonce.to_vec(), sealed].concat()
}

/// The extension list of a group context that says `context`: required capabilities and this.
pub fn extensions(context: &ConversationContext) -> Extensions<GroupContext> {
    let required = RequiredCapabilitiesExtension::new(
        &[ExtensionType::Unknown(EXTENSION_CONTEXT)],
        &[],
        &[CredentialType::Basic],
    );
    Extensions::from_vec(vec![
        Extension::RequiredCapabilities(required),
        Extension::Unknown(EXTENSION_CONTEXT, UnknownExtension(codec::encode(context))),
    ])
    .unwrap()
}

/// The honest credential and key of a device.
pub fn credential_of(outside: Outside<'_>) -> CredentialWithKey {
    CredentialWithKey {
        credential: BasicCredential::new(outside.own.credential().to_bytes()).into(),
        signature_key: outside.own.secret.leaf_key().to_vec().into(),
    }
}

/// A new leaf with any credential bytes on any key.
pub fn leaf_with(identity: Vec<u8>, signature_key: [u8; 32]) -> LeafNodeParameters {
    LeafNodeParameters::builder()
        .with_credential_with_key(CredentialWithKey {
            credential: BasicCredential::new(identity).into(),
            signature_key: signature_key.to_vec().into(),
        })
        .build()
}
