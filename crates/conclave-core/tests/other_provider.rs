//! A member on another crypto provider, OpenMLS's own over RustCrypto: the same bytes, so ours adds nothing of its own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use conclave_core::access::AccessKey;
use conclave_core::conversation::create::create;
use conclave_core::conversation::{
    Change, ConversationContext, ConversationKind, CreateOptions, Opened,
};
use conclave_core::identity::DeviceSecret;
use conclave_core::key_package::EXTENSION_EXPIRY;
use conclave_core::secret::Secret;
use conclave_hostile::member::{binding, extensions};
use conclave_hostile::people::{CERT_VALID_MS, NOW_MS, Person, SERVER};
use conclave_hostile::side::{Side, content, crowd, message_by, open_blob, open_tree};
use conclave_hostile::welcome::{SUITE, capabilities};
use conclave_proto::codec;
use conclave_proto::env::Env as _;
use conclave_proto::id::{Hash32, LogId, Seq};
use conclave_proto::label;
use conclave_proto::log::{BUNDLE_VERSION, BundleHead, CommitEntry};
use openmls::credentials::{BasicCredential, CredentialWithKey};
use openmls::extensions::{Extension, Extensions, UnknownExtension};
use openmls::framing::{MlsMessageBodyIn, MlsMessageIn, ProcessedMessageContent};
use openmls::group::{
    GroupId, JoinBuilder, MlsGroup, MlsGroupJoinConfig, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY,
    ProcessedWelcome,
};
use openmls::key_packages::{KeyPackage, KeyPackageIn, Lifetime};
use openmls::messages::Welcome;
use openmls::treesync::RatchetTreeIn;
use openmls::versions::ProtocolVersion;
use openmls_rust_crypto::OpenMlsRustCrypto;
use openmls_traits::OpenMlsProvider as _;
use openmls_traits::signatures::{Signer, SignerError};
use openmls_traits::types::SignatureScheme;
use tls_codec::{Deserialize as _, Serialize as _};

struct Leaf<'a>(&'a DeviceSecret);

impl Signer for Leaf<'_> {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.0.sign_input(payload))
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// Somebody whose program is OpenMLS and RustCrypto, and nothing of core but the shapes of our objects.
struct Other {
    person: Person,
    provider: OpenMlsRustCrypto,
    group: Option<MlsGroup>,
}

impl Other {
    fn new(seed: u64) -> Self {
        Self {
            person: Person::new(seed),
            provider: OpenMlsRustCrypto::default(),
            group: None,
        }
    }

    fn credential(&self) -> CredentialWithKey {
        let own = &self.person.own;
        CredentialWithKey {
            credential: BasicCredential::new(own.credential().to_bytes()).into(),
            signature_key: own.secret.leaf_key().to_vec().into(),
        }
    }

    fn signer(&self) -> Leaf<'_> {
        Leaf(&self.person.own.secret)
    }

    fn group(&self) -> &MlsGroup {
        self.group.as_ref().unwrap()
    }

    fn key_package(&self) -> Vec<u8> {
        let expires_ms = NOW_MS + CERT_VALID_MS / 10;
        let expiry = UnknownExtension(expires_ms.to_be_bytes().to_vec());
        let expiry = Extension::Unknown(EXTENSION_EXPIRY, expiry);
        let built = KeyPackage::builder()
            .leaf_node_capabilities(capabilities())
            .key_package_lifetime(Lifetime::init(0, u64::MAX / 2))
            .key_package_extensions(Extensions::single(expiry).unwrap())
            .build(SUITE, &self.provider, &self.signer(), self.credential());
        let built = built.unwrap();
        built.key_package().tls_serialize_detached().unwrap()
    }

    fn join(&mut self, welcome: &[u8], tree: &[u8]) {
        let config = MlsGroupJoinConfig::builder()
            .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
            .padding_size(256)
            .build();
        let welcome = Welcome::tls_deserialize_exact(welcome).unwrap();
        let tree = RatchetTreeIn::tls_deserialize_exact(tree).unwrap();
        let processed = ProcessedWelcome::new_from_welcome(&self.provider, &config, welcome);
        let staged = JoinBuilder::new(&self.provider, processed.unwrap())
            .skip_lifetime_validation()
            .with_ratchet_tree(tree)
            .build();
        self.group = Some(staged.unwrap().into_group(&self.provider).unwrap());
    }

    /// Founds a conversation of two with the device of `package`; its Welcome and tree.
    fn found(&mut self, context: &ConversationContext, package: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut group = MlsGroup::builder()
            .with_group_id(GroupId::from_slice(context.log_id.as_bytes()))
            .ciphersuite(SUITE)
            .with_wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
            .padding_size(256)
            .lifetime(Lifetime::init(0, u64::MAX / 2))
            .with_capabilities(capabilities())
            .with_group_context_extensions(extensions(context))
            .build(&self.provider, &self.signer(), self.credential())
            .unwrap();
        let package = KeyPackageIn::tls_deserialize_exact(package)
            .unwrap()
            .validate(self.provider.crypto(), ProtocolVersion::Mls10)
            .unwrap();
        let added = group.add_members(&self.provider, &self.signer(), &[package]);
        let (_, welcome, _) = added.unwrap();
        group.merge_pending_commit(&self.provider).unwrap();
        let welcome = welcome.tls_serialize_detached().unwrap();
        let welcome = MlsMessageIn::tls_deserialize_exact(&welcome).unwrap();
        let MlsMessageBodyIn::Welcome(welcome) = welcome.extract() else {
            panic!("not a welcome")
        };
        let tree = group.export_ratchet_tree().tls_serialize_detached();
        self.group = Some(group);
        (welcome.tls_serialize_detached().unwrap(), tree.unwrap())
    }

    fn seal(&mut self, content: &[u8]) -> Vec<u8> {
        let mut group = self.group.take().unwrap();
        let sealed = group.create_message(&self.provider, &self.signer(), content);
        self.group = Some(group);
        sealed.unwrap().tls_serialize_detached().unwrap()
    }

    fn process(&mut self, message: &[u8]) -> ProcessedMessageContent {
        let message = MlsMessageIn::tls_deserialize_exact(message).unwrap();
        let message = message.try_into_protocol_message().unwrap();
        let group = self.group.as_mut().unwrap();
        let processed = group.process_message(&self.provider, message);
        processed.unwrap().into_content()
    }

    fn open(&mut self, payload: &[u8]) -> Vec<u8> {
        match self.process(payload) {
            ProcessedMessageContent::ApplicationMessage(message) => message.into_bytes(),
            other => panic!("{other:?}"),
        }
    }

    /// Applies a commit entry. The key that it registers has to be the one that this provider derives.
    fn apply(&mut self, payload: &[u8]) {
        let entry: CommitEntry = codec::parse_exact(payload).unwrap();
        let ProcessedMessageContent::StagedCommitMessage(staged) =
            self.process(entry.commit.as_slice())
        else {
            panic!("not a commit")
        };
        let context = self.exporter_context();
        let exported =
            staged.export_secret(self.provider.crypto(), "conclave/1 access", &context, 32);
        let next = AccessKey::from_seed(Secret::parse(&exported.unwrap()).unwrap());
        assert_eq!(next.public(), entry.head.next_access_key);
        let group = self.group.as_mut().unwrap();
        group.merge_staged_commit(&self.provider, *staged).unwrap();
    }

    fn exporter_context(&self) -> Vec<u8> {
        [
            SERVER.as_bytes().as_slice(),
            self.group().group_id().as_slice(),
        ]
        .concat()
    }

    fn export(&self, label: &str) -> Secret<32> {
        let context = self.exporter_context();
        let exported = self
            .group()
            .export_secret(self.provider.crypto(), label, &context, 32);
        Secret::parse(&exported.unwrap()).unwrap()
    }

    /// A commit entry that renews this member's keys, as any program would make it from the documentation.
    fn self_update(&mut self) -> Vec<u8> {
        let access = AccessKey::from_seed(self.export("conclave/1 access"));
        let bind = self.export("conclave/1 bind");
        let log_id = LogId::parse(self.group().group_id().as_slice()).unwrap();
        let (epoch, leaf) = (
            self.group().epoch().as_u64(),
            self.group().own_leaf_index().u32(),
        );
        let context = self.exporter_context();
        let mut group = self.group.take().unwrap();
        let bundle = group
            .commit_builder()
            .force_self_update(true)
            .load_psks(self.provider.storage())
            .unwrap()
            .build(
                self.provider.rand(),
                self.provider.crypto(),
                &self.signer(),
                |_| true,
            )
            .unwrap()
            .stage_commit(&self.provider)
            .ok()
            .unwrap();
        let commit = bundle.into_commit().tls_serialize_detached().unwrap();
        let pending = group.pending_commit().unwrap();
        let next = pending.export_secret(self.provider.crypto(), "conclave/1 access", &context, 32);
        let next = AccessKey::from_seed(Secret::parse(&next.unwrap()).unwrap());
        let head = BundleHead {
            version: BUNDLE_VERSION,
            server_id: SERVER,
            log_id,
            base_epoch: conclave_proto::id::Epoch(epoch),
            base_seq: Seq(7),
            base_hash: Hash32::new([7; 32]),
            commit_hash: label::sha256(&commit),
            next_access_key: next.public(),
            blobs: vec![],
            retention_days: 30,
        };
        let secret = &self.person.own.secret;
        let entry = CommitEntry {
            old_signature: access.sign_old(&head).into(),
            new_signature: next.sign_new(&head).into(),
            binding: binding(&bind, [3; 12], leaf, secret, &head).into(),
            commit: commit.into(),
            head,
        };
        group.merge_pending_commit(&self.provider).unwrap();
        self.group = Some(group);
        codec::encode(&entry)
    }

    fn authenticator(&self) -> Vec<u8> {
        self.group().epoch_authenticator().as_slice().to_vec()
    }
}

/// What each says is read by everybody, and all are in one epoch.
fn all_agree(ours: &mut [&mut Side], other: &mut Other) {
    let text = other_says(other);
    for side in ours.iter_mut() {
        let (sender, read) = message_by(side.open(&text));
        assert_eq!((sender, read), (other.person.own.account_id, content(9)));
        assert_eq!(side.chat().authenticator(), other.authenticator());
    }
    for place in 0..ours.len() {
        let text = ours[place].seal(&content(u8::try_from(place).unwrap()));
        assert_eq!(other.open(&text), content(u8::try_from(place).unwrap()));
        for (reader, side) in ours.iter_mut().enumerate() {
            if reader != place {
                assert!(matches!(side.open(&text), Opened::Message { .. }));
            }
        }
    }
}

fn other_says(other: &mut Other) -> Vec<u8> {
    other.seal(&content(9))
}

/// A member on the other provider joins a group of ours, reads and writes, follows our commits and makes its own; both
/// derive the same access keys.
#[test]
fn other_provider_joins_reads_and_writes() {
    let mut sides = crowd(3);
    let mut cleo = Other::new(3);
    sides.truncate(2);
    let [ana, ben] = sides.as_mut_slice() else {
        panic!("two")
    };
    let packages = [ben.key_package(false), cleo.key_package()].map(|bytes| ana.check(&bytes));
    let options = CreateOptions {
        kind: ConversationKind::Group,
        name: "choir".into(),
        ..CreateOptions::default()
    };
    let created = create(ana.outside(), &packages, &options).unwrap();
    let tree = open_tree(&created);
    let welcome = |person: &Person| {
        let device = person.own.device_id;
        let mut welcomes = created.welcomes.iter();
        let own = welcomes.find(|welcome| welcome.device_id == device);
        open_blob(&own.unwrap().blob)
    };
    let joined = ben.join(created.log_id, &welcome(&ben.person), &tree);
    ben.conversation = Some(joined.unwrap().conversation);
    cleo.join(&welcome(&cleo.person), &tree);
    ana.conversation = Some(created.conversation);
    assert_eq!(
        AccessKey::from_seed(cleo.export("conclave/1 access")).public(),
        created.access.public()
    );
    all_agree(&mut [ana, ben], &mut cleo);

    let pending = ben.self_update();
    for side in [&mut *ana, &mut *ben] {
        side.apply(&pending.entry).unwrap();
    }
    cleo.apply(&pending.entry);
    all_agree(&mut [ana, ben], &mut cleo);

    let entry = cleo.self_update();
    for side in [&mut *ana, &mut *ben] {
        let applied = side.apply(&entry).unwrap();
        assert_eq!(
            applied.committer.unwrap().account_id,
            cleo.person.own.account_id
        );
    }
    all_agree(&mut [ana, ben], &mut cleo);

    let leaf = ana.leaf_of(&ben.person);
    let changes = [Change::Remove { leaf }, Change::Name("duo".into())];
    let removal = ana.change(&changes).unwrap().pending.entry;
    ana.apply(&removal).unwrap();
    cleo.apply(&removal);
    all_agree(&mut [ana], &mut cleo);
}

/// Ours joins a conversation that the other provider founded, and both go on in it.
#[test]
fn ours_joins_what_another_provider_founded() {
    let mut ana = crowd(2).remove(0);
    let mut ben = Other::new(2);
    let mut log_id = [0; 32];
    ana.env.fill(&mut log_id);
    let context =
        ConversationContext::new(ConversationKind::Direct, SERVER, LogId::new(log_id), None);
    let (welcome, tree) = ben.found(&context, &ana.key_package(false));
    let joined = ana.join(context.log_id, &welcome, &tree).unwrap();
    ana.conversation = Some(joined.conversation);
    all_agree(&mut [&mut ana], &mut ben);
    let entry = ben.self_update();
    ana.apply(&entry).unwrap();
    all_agree(&mut [&mut ana], &mut ben);
    let pending = ana.self_update();
    ana.apply(&pending.entry).unwrap();
    ben.apply(&pending.entry);
    all_agree(&mut [&mut ana], &mut ben);
}
