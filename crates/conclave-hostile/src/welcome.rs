//! A conversation founded with MLS itself: any people, any context, any number of leaves.

use conclave_core::conversation::{ConversationContext, Outside};
use conclave_core::{mls_store, provider};
use conclave_proto::codec;
use conclave_proto::id::LogId;
use openmls::extensions::Extensions;
use openmls::group::{GroupContext, GroupId, MlsGroup, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY};
use openmls::key_packages::{KeyPackage, KeyPackageIn, Lifetime};
use openmls::prelude::{Capabilities, CredentialType, CredentialWithKey, ExtensionType};
use openmls::schedule::{ExternalPsk, PreSharedKeyId, Psk};
use openmls::treesync::RatchetTreeIn;
use openmls::versions::ProtocolVersion;
use openmls_traits::OpenMlsProvider;
use openmls_traits::types::Ciphersuite;
use tls_codec::{Deserialize, Serialize, TlsDeserializeBytes, TlsSerialize, TlsSize, VLBytes};

use crate::member::{Builder, LeafSigner, credential_of, extensions};

/// The one suite of Conclave: 0x004E.
pub const SUITE: Ciphersuite = Ciphersuite::MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519;

/// What an attacker founds.
#[derive(Debug)]
pub struct Plan {
    /// The MLS group id.
    pub group_id: Vec<u8>,
    /// The group context's extensions.
    pub extensions: Extensions<GroupContext>,
    /// The founder's leaf.
    pub credential: CredentialWithKey,
    /// What the founder's leaf says it can do.
    pub capabilities: Capabilities,
    /// How long the founder's leaf is valid.
    pub lifetime: Lifetime,
}

impl Plan {
    /// What an honest device would found with this context.
    pub fn honest(outside: Outside<'_>, context: &ConversationContext) -> Self {
        Self {
            group_id: context.log_id.to_vec(),
            extensions: extensions(context),
            credential: credential_of(outside),
            capabilities: capabilities(),
            lifetime: Lifetime::init(0, u64::MAX / 2),
        }
    }
}

/// A founded conversation and the way in.
#[derive(Debug, Clone)]
pub struct Founded {
    /// The log it says it is of.
    pub log_id: LogId,
    /// The Welcome, with an entry for each package.
    pub welcome: Vec<u8>,
    /// The tree.
    pub tree: Vec<u8>,
}

impl Founded {
    /// The Welcome taken apart, changed and put together.
    pub fn change_welcome(&mut self, change: impl FnOnce(&mut RawWelcome)) {
        let mut raw: RawWelcome = codec::parse_exact(&self.welcome).unwrap();
        change(&mut raw);
        self.welcome = codec::encode(&raw);
    }

    /// Only the entry at `place` stays, as our own program cuts it.
    pub fn cut(&mut self, place: usize) {
        self.change_welcome(|raw| {
            let own = raw.secrets.remove(place);
            raw.secrets = vec![own];
        });
    }
}

/// A Welcome (RFC 9420 §12.4.3.1), field by field.
#[derive(Debug, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct RawWelcome {
    /// 0x004E is ours.
    pub suite: u16,
    /// One entry for each new member.
    pub secrets: Vec<RawSecrets>,
    /// Encrypted GroupInfo.
    pub group_info: VLBytes,
}

/// One new member's entry in a Welcome.
#[derive(Debug, Clone, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct RawSecrets {
    /// KeyPackageRef.
    pub new_member: VLBytes,
    /// HPKE: encapsulated key.
    pub kem_output: VLBytes,
    /// HPKE: GroupSecrets.
    pub ciphertext: VLBytes,
}

/// The encoded leaves of a tree.
pub fn leaves(tree: &[u8]) -> Vec<Vec<u8>> {
    let tree = RatchetTreeIn::tls_deserialize_exact(tree).unwrap();
    let leaves = tree.leaves().map(|leaf| leaf.tls_serialize_detached());
    leaves.map(Result::unwrap).collect()
}

/// A tree of these nodes, in order of the array (RFC 9420 §7.8): encoded leaves, and blanks.
pub fn tree(nodes: &[Option<&[u8]>]) -> Vec<u8> {
    let mut content = Vec::new();
    for node in nodes {
        match node {
            None => content.push(0),
            Some(leaf) => {
                content.extend_from_slice(&[1, 1]);
                content.extend_from_slice(leaf);
            }
        }
    }
    codec::encode(&VLBytes::from(content))
}

/// What every honest leaf can do.
pub fn capabilities() -> Capabilities {
    let types = [
        ExtensionType::Unknown(0xF0C1),
        ExtensionType::Unknown(0xF0C2),
        ExtensionType::LastResort,
    ];
    let credentials = [CredentialType::Basic];
    Capabilities::new(
        Some(&[ProtocolVersion::Mls10]),
        Some(&[SUITE]),
        Some(&types),
        None,
        Some(&credentials),
    )
}

/// A key package as MLS alone accepts it.
pub fn key_package(outside: Outside<'_>, bytes: &[u8]) -> KeyPackage {
    let provider = provider::unchecked(outside.rows, outside.env);
    KeyPackageIn::tls_deserialize_exact(bytes)
        .unwrap()
        .validate(provider.crypto(), ProtocolVersion::Mls10)
        .unwrap()
}

/// Writes an external PSK to a device's rows, for commits to name.
pub fn lend_psk(outside: Outside<'_>, id: &[u8], secret: &[u8]) -> PreSharedKeyId {
    let provider = provider::unchecked(outside.rows, outside.env);
    let psk = Psk::External(ExternalPsk::new(id.to_vec()));
    let id = PreSharedKeyId::new(SUITE, provider.rand(), psk).unwrap();
    id.store(&provider, secret).unwrap();
    id
}

/// Founds a conversation by `plan` and adds the devices of `packages`, with more in the commit if `change` says so.
/// The founder keeps nothing of it, and may do it again.
pub fn found(
    outside: Outside<'_>,
    plan: Plan,
    packages: &[Vec<u8>],
    change: impl FnOnce(Builder<'_>) -> Builder<'_>,
) -> Founded {
    let provider = provider::unchecked(outside.rows, outside.env);
    let signer = LeafSigner(outside);
    let mut group = MlsGroup::builder()
        .with_group_id(GroupId::from_slice(&plan.group_id))
        .ciphersuite(SUITE)
        .with_wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .padding_size(256)
        .lifetime(plan.lifetime)
        .with_capabilities(plan.capabilities)
        .with_group_context_extensions(plan.extensions)
        .build(&provider, &signer, plan.credential)
        .unwrap();
    let packages = packages.iter().map(|bytes| key_package(outside, bytes));
    let builder = group.commit_builder().force_self_update(true);
    let bundle = change(builder.propose_adds(packages))
        .load_psks(provider.storage())
        .unwrap()
        .build(provider.rand(), provider.crypto(), &signer, |_| true)
        .unwrap()
        .stage_commit(&provider)
        .ok()
        .unwrap();
    let welcome = bundle.into_welcome().unwrap();
    group.merge_pending_commit(&provider).unwrap();
    let tree = group.export_ratchet_tree().tls_serialize_detached();
    let log_id = LogId::parse(&plan.group_id).expect("a group id of 32 bytes");
    mls_store::delete_conversation(outside.rows, log_id).unwrap();
    Founded {
        log_id,
        welcome: welcome.tls_serialize_detached().unwrap(),
        tree: tree.unwrap(),
    }
}
