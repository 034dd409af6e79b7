//! Policy as a pure function: who may do what to a conversation of which kind.

use conclave_proto::id::{IdentityFingerprint, LogId, ServerId};

use super::*;

const ANA: AccountId = AccountId::new([1; 16]);
const BEN: AccountId = AccountId::new([2; 16]);
const CLEO: AccountId = AccountId::new([3; 16]);
const DAN: AccountId = AccountId::new([4; 16]);
const EVE: AccountId = AccountId::new([5; 16]);

fn device(byte: u8) -> DeviceId {
    DeviceId::new([byte; 16])
}

fn member(leaf: u32, account_id: AccountId, byte: u8) -> Member {
    Member {
        leaf,
        account_id,
        device_id: device(byte),
        account_seq: 1,
        identity_fingerprint: IdentityFingerprint::new([1; 32]),
    }
}

fn context(kind: ConversationKind) -> ConversationContext {
    ConversationContext::new(kind, ServerId::new([1; 32]), LogId::new([2; 32]), None)
}

/// Ana and Ben, a device each.
fn two() -> Vec<Member> {
    vec![member(0, ANA, 1), member(1, BEN, 2)]
}

/// Ana owns, Ben is admin, Cleo (two devices) and Dan are members.
fn group() -> (ConversationContext, Vec<Member>) {
    let mut group = context(ConversationKind::Group);
    group.set_role(ANA, Role::Owner);
    group.set_role(BEN, Role::Admin);
    let mut members = two();
    members.extend([member(2, CLEO, 3), member(3, CLEO, 4), member(5, DAN, 5)]);
    (group, members)
}

/// A commit by the first device of `account` that does nothing.
fn nothing(old: &ConversationContext, members: &[Member], account: AccountId) -> Summary {
    let mut by = members.iter().filter(|member| member.account_id == account);
    Summary {
        committer: *by.next().unwrap(),
        added: vec![],
        removed: vec![],
        has_other: false,
        context: Ok(old.clone()),
    }
}

/// What a commit by `account` in the group comes to, shaped by `change`.
fn judge(
    account: AccountId,
    change: impl FnOnce(&mut Summary, &mut ConversationContext),
) -> Result<(), PolicyViolation> {
    let (old, members) = group();
    let mut summary = nothing(&old, &members, account);
    let mut new = old.clone();
    change(&mut summary, &mut new);
    summary.context = Ok(new);
    check(&old, &members, &summary)
}

fn removed(leaf: usize) -> Removed {
    let (_, members) = group();
    let by_leaf = |member: &&Member| member.leaf as usize == leaf;
    Removed {
        member: *members.iter().find(by_leaf).unwrap(),
        is_listed: Some(true),
    }
}

fn revoked(leaf: usize) -> Removed {
    Removed {
        is_listed: Some(false),
        ..removed(leaf)
    }
}

/// What a commit by Ana to the two of them comes to.
fn judge_two(
    change: impl FnOnce(&mut Summary, &mut ConversationContext),
) -> Result<(), PolicyViolation> {
    let old = context(ConversationKind::Direct);
    let mut summary = nothing(&old, &two(), ANA);
    let mut new = old.clone();
    change(&mut summary, &mut new);
    summary.context = Ok(new);
    check(&old, &two(), &summary)
}

/// Updates, removals and further devices of the people inside pass between two.
#[test]
fn c035_allows_what_two_people_need() {
    assert_eq!(judge_two(|_, _| ()), Ok(()));
    assert_eq!(judge_two(|s, _| s.removed.push(removed(1))), Ok(()));
    assert_eq!(judge_two(|s, _| s.added.push((BEN, device(9)))), Ok(()));
}

/// Any other proposal, and any stranger between two or among one's own devices, is refused.
#[test]
fn c035_refuses_the_rest() {
    let other = judge_two(|s, _| s.has_other = true);
    assert_eq!(other, Err(PolicyViolation::Proposal));
    let stranger = judge_two(|s, _| s.added.push((EVE, device(9))));
    assert_eq!(stranger, Err(PolicyViolation::Stranger));
    let old = context(ConversationKind::Own);
    let own = [member(0, ANA, 1), member(1, ANA, 2)];
    let mut summary = nothing(&old, &own, ANA);
    summary.added.push((ANA, device(9)));
    summary.removed.push(Removed {
        member: own[1],
        is_listed: Some(true),
    });
    assert_eq!(check(&old, &own, &summary), Ok(()));
    summary.added.push((BEN, device(8)));
    let refused = check(&old, &own, &summary);
    assert_eq!(refused, Err(PolicyViolation::Stranger));
}

/// Server, log, kind, predecessor and the context itself stay, whoever commits.
#[test]
fn c034_context_stays() {
    let changed = |change: fn(&mut ConversationContext)| judge(ANA, |_, new| change(new));
    let identity = Err(PolicyViolation::Identity);
    assert_eq!(changed(|c| c.server_id = ServerId::new([9; 32])), identity);
    assert_eq!(changed(|c| c.log_id = LogId::new([9; 32])), identity);
    assert_eq!(changed(|c| c.kind = ConversationKind::Direct), identity);
    assert_eq!(
        changed(|c| c.successor_of = Some(LogId::new([9; 32]))),
        identity
    );
    assert_eq!(
        changed(|c| c.min_version = 0),
        Err(PolicyViolation::Context)
    );
    let (old, members) = group();
    let mut summary = nothing(&old, &members, ANA);
    summary.context = Err(ContextError::Malformed);
    let broken = check(&old, &members, &summary);
    assert_eq!(broken, Err(PolicyViolation::Context));
}

/// Owners and admins bring anybody in; a member devices of people inside, own ones too.
#[test]
fn c091_members_add_devices_of_people_inside() {
    let adds = |by, account| judge(by, |s, _| s.added.push((account, device(9))));
    for by in [ANA, BEN] {
        assert_eq!(adds(by, EVE), Ok(()));
    }
    for account in [ANA, CLEO, DAN] {
        assert_eq!(adds(CLEO, account), Ok(()));
    }
    assert_eq!(adds(CLEO, EVE), Err(PolicyViolation::Stranger));
}

/// Name, link and version belong to owners and admins; a version nobody knows pauses only when they set it.
#[test]
fn c092_members_do_not_describe_the_group() {
    let changes: [fn(&mut ConversationContext); 3] = [
        |c| c.name_bytes = b"new".to_vec().into(),
        |c| c.link = Some([1; 32]),
        |c| c.min_version += 1,
    ];
    for change in changes {
        assert_eq!(judge(ANA, |_, new| change(new)), Ok(()));
        assert_eq!(judge(BEN, |_, new| change(new)), Ok(()));
        let refused = judge(CLEO, |_, new| change(new));
        assert_eq!(refused, Err(PolicyViolation::Describe));
    }
    let (old, members) = group();
    let mut summary = nothing(&old, &members, CLEO);
    summary.context = Err(ContextError::NeedsNewerVersion);
    let refused = check(&old, &members, &summary);
    assert_eq!(refused, Err(PolicyViolation::Describe));
    assert!(may_describe(&old, &nothing(&old, &members, BEN)));
}

/// Only an owner gives and takes roles; everybody may lower their own; an owner stays, and nobody from outside.
#[test]
fn c093_roles_are_the_owners() {
    let gives = |by, to, role| judge(by, |_, new| new.set_role(to, role));
    for role in [Role::Member, Role::Admin, Role::Owner] {
        for to in [BEN, CLEO, DAN] {
            assert_eq!(gives(ANA, to, role), Ok(()), "{role:?}");
        }
    }
    for by in [BEN, CLEO] {
        assert_eq!(gives(by, CLEO, Role::Owner), Err(PolicyViolation::Roles));
        assert_eq!(gives(by, DAN, Role::Admin), Err(PolicyViolation::Roles));
        let takes = gives(by, ANA, Role::Admin);
        assert_eq!(takes, Err(PolicyViolation::NoOwner));
    }
    assert_eq!(gives(BEN, BEN, Role::Owner), Err(PolicyViolation::Roles));
    assert_eq!(gives(BEN, BEN, Role::Member), Ok(()));
    assert_eq!(gives(CLEO, BEN, Role::Member), Err(PolicyViolation::Roles));
    let alone = gives(ANA, ANA, Role::Member);
    assert_eq!(alone, Err(PolicyViolation::NoOwner));
    let handed = judge(ANA, |_, new| {
        new.set_role(ANA, Role::Member);
        new.set_role(CLEO, Role::Owner);
    });
    assert_eq!(handed, Ok(()));
    assert_eq!(gives(ANA, EVE, Role::Admin), Err(PolicyViolation::Absent));
}

/// Whose last device goes has no role any more; while another stays, the role does too.
#[test]
fn c093_roles_go_with_the_last_device() {
    let kept = judge(ANA, |s, _| s.removed.push(removed(1)));
    assert_eq!(kept, Err(PolicyViolation::Absent));
    let taken = judge(ANA, |s, new| {
        s.removed.push(removed(1));
        new.set_role(BEN, Role::Member);
    });
    assert_eq!(taken, Ok(()));
    // a member removes the admin's revoked device, and takes the role of nobody else with it
    let by_cleo = |also: fn(&mut ConversationContext)| {
        judge(CLEO, |s, new| {
            s.removed.push(revoked(1));
            new.set_role(BEN, Role::Member);
            also(new);
        })
    };
    assert_eq!(by_cleo(|_| ()), Ok(()));
    let rise = by_cleo(|new| new.set_role(CLEO, Role::Admin));
    assert_eq!(rise, Err(PolicyViolation::Roles));
    // the device comes back in the same commit: so does the role
    let again = judge(CLEO, |s, _| {
        s.removed.push(removed(1));
        s.added.push((BEN, device(2)));
    });
    assert_eq!(again, Ok(()));
}

/// A group whose last owner has only a revoked device passes to the first admin, and to nobody else.
#[test]
fn c093_a_group_is_never_orphaned() {
    let heir = |to: AccountId| {
        judge(CLEO, |s, new| {
            s.removed.push(revoked(0));
            new.set_role(ANA, Role::Member);
            new.set_role(to, Role::Owner);
        })
    };
    assert_eq!(heir(BEN), Ok(()));
    assert_eq!(heir(CLEO), Err(PolicyViolation::Roles));
    let (mut old, members) = group();
    let mut summary = nothing(&old, &members, CLEO);
    summary.removed.push(revoked(0));
    old.set_role(BEN, Role::Member);
    let mut new = old.clone();
    settle_roles(&mut new, &members, &summary);
    // without an admin, whoever sits first
    assert_eq!(new.role(BEN), Role::Owner);
    summary.context = Ok(new);
    assert_eq!(check(&old, &members, &summary), Ok(()));
}

/// Owners remove anybody, admins members, everybody own devices and revoked ones, and takes out to put in anew.
#[test]
fn c095_who_removes_whom() {
    let removes = |by, which: Removed| {
        judge(by, |s, new| {
            let account = which.member.account_id;
            s.removed.push(which);
            if account != CLEO {
                new.set_role(account, Role::Member);
            }
        })
    };
    let no = |account_id| Err(PolicyViolation::Remove { account_id });
    for leaf in [1, 2, 3, 5] {
        assert_eq!(removes(ANA, removed(leaf)), Ok(()), "{leaf}");
    }
    for leaf in [2, 3, 5] {
        assert_eq!(removes(BEN, removed(leaf)), Ok(()), "{leaf}");
    }
    assert_eq!(removes(CLEO, removed(3)), Ok(()));
    assert_eq!(removes(CLEO, removed(5)), no(DAN));
    assert_eq!(removes(DAN, removed(2)), no(CLEO));
    assert_eq!(removes(CLEO, removed(1)), no(BEN));
    assert_eq!(removes(CLEO, revoked(5)), Ok(()));
    let unknown = Removed {
        is_listed: None,
        ..removed(5)
    };
    assert_eq!(removes(CLEO, unknown), no(DAN));
    // an admin's device is not removed by an admin
    let (mut old, members) = group();
    old.set_role(DAN, Role::Admin);
    let mut summary = nothing(&old, &members, BEN);
    summary.removed.push(removed(5));
    let mut new = old.clone();
    new.set_role(DAN, Role::Member);
    summary.context = Ok(new);
    assert_eq!(check(&old, &members, &summary), no(DAN));
    // anew: only the very device
    let anew = |byte| {
        judge(CLEO, |s, _| {
            s.removed.push(removed(5));
            s.added.push((DAN, device(byte)));
        })
    };
    assert_eq!(anew(5), Ok(()));
    assert_eq!(anew(6), no(DAN));
}

/// A device twice, an eleventh of one account, 65 at once and the 1,025th leaf are refused.
#[test]
fn c094_no_device_twice_and_not_too_many() {
    let adds = |devices: Vec<Device>| judge(ANA, |s, _| s.added = devices);
    let many = |count: u16, account: fn(u16) -> AccountId| -> Vec<Device> {
        let id =
            |number: u16| DeviceId::new([number.to_be_bytes(); 8].concat().try_into().unwrap());
        (0..count)
            .map(|number| (account(number), id(number + 256)))
            .collect()
    };
    let apart =
        |number: u16| AccountId::new([number.to_be_bytes(); 8].concat().try_into().unwrap());
    assert_eq!(adds(vec![(DAN, device(5))]), Err(PolicyViolation::Twice));
    let same = vec![(EVE, device(9)); 2];
    assert_eq!(adds(same), Err(PolicyViolation::Twice));
    // another account may have a device of the same id: it cannot keep the first one out
    assert_eq!(adds(vec![(EVE, device(5))]), Ok(()));
    assert_eq!(adds(many(9, |_| DAN)), Ok(()));
    assert_eq!(adds(many(10, |_| DAN)), Err(PolicyViolation::TooMany));
    assert_eq!(adds(many(64, apart)), Ok(()));
    assert_eq!(adds(many(65, apart)), Err(PolicyViolation::TooMany));
    let (old, mut members) = group();
    for (place, (account, device_id)) in many(1018, apart).into_iter().enumerate() {
        members.push(Member {
            device_id,
            ..member(10 + u32::try_from(place).unwrap(), account, 0)
        });
    }
    let mut summary = nothing(&old, &members, ANA);
    summary.added.push((EVE, device(9)));
    assert_eq!(check(&old, &members, &summary), Ok(()));
    summary.added.push((EVE, device(8)));
    let full = check(&old, &members, &summary);
    assert_eq!(full, Err(PolicyViolation::TooMany));
}
