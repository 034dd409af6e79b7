//! What a group costs by its number of leaves: time of whoever commits, follows and joins, and bytes on the wire.
//!
//! The tree is cold: nobody but the founder has ever committed, which is the dearest case. Each figure stands beside
//! the same at the smallest number of leaves, so that the last column shows the trend.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use conclave_core::conversation::create::create;
use conclave_core::conversation::{
    Change, Changing, ConversationKind, CreateOptions, Created, SealedBlob,
};
use conclave_hostile::crowd;
use conclave_hostile::people::{Book, Person};
use conclave_hostile::side::{Side, head_at, open_blob};
use conclave_proto::limits::ADDS_MAX;

use crate::Size;
use crate::table::{Better, Table};

/// Person of the place in [`crowd::of`], and beyond it.
fn seed(place: u64) -> u64 {
    place * 2_000
}

/// What one number of leaves costs, each a value a round.
type Costs = BTreeMap<(&'static str, &'static str), Vec<f64>>;

pub(crate) fn measure(size: Size, table: &mut Table) -> anyhow::Result<()> {
    let mut smallest: Option<(u64, Costs)> = None;
    for &leaves in size.leaves {
        let mut costs = Costs::new();
        let people: Vec<Person> = (1..=leaves + 1)
            .map(|place| Person::new(seed(place)))
            .collect();
        for _ in 0..size.rounds {
            founding(&people, leaves, &mut costs)?;
            changes(&people, leaves, &mut costs)?;
        }
        let (least, first) = smallest.get_or_insert_with(|| (leaves, costs.clone()));
        for ((what, unit), values) in &costs {
            let limit = first.get(&(*what, *unit)).map_or(&[][..], Vec::as_slice);
            let name = format!("{what}, {leaves} leaves");
            table.add(
                (name, *unit, Better::Less),
                values,
                (format!("at {least}"), limit),
                None,
            );
        }
    }
    Ok(())
}

fn note(costs: &mut Costs, what: &'static str, unit: &'static str, value: f64) {
    costs.entry((what, unit)).or_default().push(value);
}

fn bytes(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The time that `work` takes, in ms, noted under `what`.
fn timed<T>(costs: &mut Costs, what: &'static str, work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let done = work();
    note(costs, what, "ms", begin.elapsed().as_secs_f64() * 1e3);
    done
}

fn knowing(place: u64, people: &[Person]) -> Side {
    let mut side = Side::new(seed(place), &[]);
    side.book = Book::of(&people.iter().collect::<Vec<_>>());
    side
}

/// A founder makes the group with as many as one commit adds, and adds the others in batches.
fn founding(people: &[Person], leaves: u64, costs: &mut Costs) -> anyhow::Result<()> {
    let mut founder = knowing(1, people);
    let packages: Vec<_> = (2..=leaves)
        .map(|place| founder.check(&Side::new(seed(place), &[]).key_package(false)))
        .collect();
    let mut batches: Vec<Vec<_>> = Vec::new();
    for package in packages {
        match batches.last_mut().filter(|batch| batch.len() < ADDS_MAX) {
            Some(batch) => batch.push(package),
            None => batches.push(vec![package]),
        }
    }
    let mut batches = batches.into_iter();
    let first = batches.next().context("somebody to add")?;
    let options = CreateOptions {
        kind: ConversationKind::Group,
        name: "crowd".into(),
        ..CreateOptions::default()
    };
    let mut sent = 0;
    let whole = Instant::now();
    let created = create(founder.outside(), &first, &options)?;
    sent += sent_with(&created);
    founder.conversation = Some(created.conversation);
    for batch in batches {
        let adds: Vec<Change> = batch.into_iter().map(Change::Add).collect();
        let changing = commit(&mut founder, &adds)?;
        sent += changing.pending.entry.len() + sent_beside(&changing);
        founder.apply(&changing.pending.entry)?;
    }
    note(costs, "create", "ms", whole.elapsed().as_secs_f64() * 1e3);
    note(costs, "create, sent", "B", bytes(sent));
    Ok(())
}

fn sent_with(created: &Created) -> usize {
    let welcomes = created.welcomes.iter().map(|welcome| &welcome.blob);
    blob_bytes(welcomes.chain(created.tree.as_ref()))
}

fn sent_beside(changing: &Changing) -> usize {
    let welcomes = changing.welcomes.iter().map(|welcome| &welcome.blob);
    blob_bytes(welcomes.chain(changing.tree.as_ref()))
}

fn blob_bytes<'a>(blobs: impl Iterator<Item = &'a SealedBlob>) -> usize {
    blobs.map(|blob| blob.bytes.len()).sum()
}

fn commit(side: &mut Side, changes: &[Change]) -> anyhow::Result<Changing> {
    side.change(changes)
        .map_err(|error| anyhow!("a commit: {error}"))
}

/// One is added and joins, one renews its keys, one is removed; the last member follows each.
fn changes(people: &[Person], leaves: u64, costs: &mut Costs) -> anyhow::Result<()> {
    // The one who is added makes it that many, if two is not the least of a crowd.
    let before = leaves.saturating_sub(1).max(2);
    let [mut founder, mut last] = crowd::of(before);
    let mut new = knowing(before + 1, people);
    let everybody = || Book::of(&people.iter().collect::<Vec<_>>());
    (founder.book, last.book) = (everybody(), everybody());
    let package = founder.check(&new.key_package(false));

    let add = [Change::Add(package)];
    let added = timed(costs, "add one", || commit(&mut founder, &add))?;
    note(
        costs,
        "add one, commit",
        "B",
        bytes(added.pending.entry.len()),
    );
    note(
        costs,
        "add one, welcome and tree",
        "B",
        bytes(sent_beside(&added)),
    );
    follow(
        &mut founder,
        &mut last,
        &added.pending.entry,
        "process an add",
        costs,
    )?;
    let welcome = added.welcomes.first().context("a welcome")?;
    let welcome = open_blob(&welcome.blob);
    let tree = open_blob(added.tree.as_ref().context("a tree")?);
    let log_id = founder.chat().log_id();
    let joined = timed(costs, "join", || new.join(log_id, &welcome, &tree));
    new.conversation = Some(
        joined
            .map_err(|error| anyhow!("a join: {error}"))?
            .conversation,
    );

    let head = head_at(founder.chat().epoch());
    let update = timed(costs, "self-update", || {
        founder.with(|chat, outside, _| chat.self_update(outside, &head, 30))
    })?;
    note(costs, "self-update, commit", "B", bytes(update.entry.len()));
    follow(
        &mut founder,
        &mut last,
        &update.entry,
        "process a self-update",
        costs,
    )?;

    let leaf = founder.leaf_of(&new.person);
    let removed = timed(costs, "remove one", || {
        commit(&mut founder, &[Change::Remove { leaf }])
    })?;
    note(
        costs,
        "remove one, commit",
        "B",
        bytes(removed.pending.entry.len()),
    );
    follow(
        &mut founder,
        &mut last,
        &removed.pending.entry,
        "process a removal",
        costs,
    )
}

fn follow(
    founder: &mut Side,
    last: &mut Side,
    entry: &[u8],
    what: &'static str,
    costs: &mut Costs,
) -> anyhow::Result<()> {
    founder
        .apply(entry)
        .map_err(|error| anyhow!("an own commit: {error}"))?;
    let applied = timed(costs, what, || last.apply(entry));
    applied.map_err(|error| anyhow!("a commit that is followed: {error}"))?;
    Ok(())
}
