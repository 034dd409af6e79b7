//! A group of any number of leaves, founded with MLS itself in one commit, which core makes of at most 65.

use conclave_core::conversation::{
    AccountRole, Conversation, ConversationContext, ConversationKind, Outside, Role,
};
use conclave_core::provider;
use conclave_proto::env::Env as _;
use conclave_proto::id::LogId;
use openmls::group::{
    GroupId, JoinBuilder, MlsGroup, MlsGroupJoinConfig, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY,
    ProcessedWelcome,
};
use openmls::key_packages::Lifetime;
use openmls::messages::Welcome;
use openmls::prelude::SenderRatchetConfiguration;
use openmls::treesync::RatchetTreeIn;
use openmls_traits::OpenMlsProvider;

use crate::member::{LeafSigner, credential_of, extensions};
use crate::people::SERVER;
use crate::side::Side;
use crate::welcome::{SUITE, capabilities, key_package};

/// What core pads to.
const PADDING: usize = 256;

/// What core keeps for late messages and lets a sender skip.
fn ratchets() -> SenderRatchetConfiguration {
    SenderRatchetConfiguration::new(64, 2000)
}

/// The founder and the last member of a conversation of `leaves` (2 or more), suite and settings as core's own.
/// All the others are in the tree and nowhere else. From here on core's seal and open work for both.
pub fn of(leaves: u64) -> [Side; 2] {
    // streams of chance: the device of seed s draws from s + 1,000 too
    let side = |place: u64| Side::new(place * 2_000, &[]);
    let (mut founder, mut last) = (side(1), side(leaves));
    let mut packages: Vec<Vec<u8>> = (2..leaves)
        .map(|place| side(place).key_package(false))
        .collect();
    packages.push(last.key_package(false));
    let mut log_id = [0; 32];
    founder.env.fill(&mut log_id);
    let log_id = LogId::new(log_id);
    let (welcome, tree) = found(founder.outside(), log_id, &packages);
    join(last.outside(), welcome, tree);
    for side in [&mut founder, &mut last] {
        side.conversation = Conversation::load(&side.rows, log_id).unwrap();
        assert!(side.conversation.is_some(), "a conversation is in the rows");
    }
    [founder, last]
}

/// The founder's group, with everybody added in one commit.
fn found(outside: Outside<'_>, log_id: LogId, packages: &[Vec<u8>]) -> (Welcome, RatchetTreeIn) {
    let provider = provider::unchecked(outside.rows, outside.env);
    let signer = LeafSigner(outside);
    let mut context = ConversationContext::new(ConversationKind::Group, SERVER, log_id, None);
    context.roles.push(AccountRole {
        account_id: outside.own.account_id,
        role: Role::Owner,
    });
    let mut group = MlsGroup::builder()
        .with_group_id(GroupId::from_slice(log_id.as_bytes()))
        .ciphersuite(SUITE)
        .with_wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .padding_size(PADDING)
        .max_past_epochs(0)
        .number_of_resumption_psks(0)
        .use_ratchet_tree_extension(false)
        .sender_ratchet_configuration(ratchets())
        .lifetime(Lifetime::init(0, u64::MAX / 2))
        .with_capabilities(capabilities())
        .with_group_context_extensions(extensions(&context))
        .build(&provider, &signer, credential_of(outside))
        .unwrap();
    let packages = packages.iter().map(|bytes| key_package(outside, bytes));
    let bundle = group
        .commit_builder()
        .force_self_update(true)
        .propose_adds(packages)
        .load_psks(provider.storage())
        .unwrap()
        .build(provider.rand(), provider.crypto(), &signer, |_| true)
        .unwrap()
        .stage_commit(&provider)
        .ok()
        .unwrap();
    let welcome = bundle.into_welcome().unwrap();
    group.merge_pending_commit(&provider).unwrap();
    (welcome, group.export_ratchet_tree().into())
}

fn join(outside: Outside<'_>, welcome: Welcome, tree: RatchetTreeIn) {
    let provider = provider::unchecked(outside.rows, outside.env);
    let config = MlsGroupJoinConfig::builder()
        .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .padding_size(PADDING)
        .max_past_epochs(0)
        .use_ratchet_tree_extension(false)
        .sender_ratchet_configuration(ratchets())
        .build();
    let processed = ProcessedWelcome::new_from_welcome(&provider, &config, welcome).unwrap();
    JoinBuilder::new(&provider, processed)
        .skip_lifetime_validation()
        .with_ratchet_tree(tree)
        .build()
        .unwrap()
        .into_group(&provider)
        .unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::side::{content, message_by};

    /// What the founder of nine says, the last one in reads, by core's own seal and open.
    #[test]
    fn the_last_of_many_reads() {
        let [mut founder, mut last] = of(9);
        let sealed = founder.seal(&content(7));
        let (sender, text) = message_by(last.open(&sealed));
        assert_eq!(sender, founder.person.own.account_id);
        assert_eq!(text, content(7));
    }
}
