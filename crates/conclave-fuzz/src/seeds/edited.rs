//! Seeds of what a search does to a conversation's genuine bytes.

use super::Seeds;
use crate::chat;

/// What to do with a genuine object: nothing, and one edit at places from its beginning to its end.
fn edits(modes: &[u8]) -> Seeds {
    let mut seeds = Vec::new();
    for &mode in modes {
        seeds.push(vec![mode]);
        for (kind, value, place) in [
            (3, 1, 0_u16),
            (3, 0x80, 5),
            (3, 1, 40),
            (3, 1, 60),
            (3, 1, 100),
            (3, 1, 300),
            (0, 0, 50),
            (1, 0, 20),
        ] {
            let [high, low] = place.to_be_bytes();
            seeds.push(vec![mode, kind, value, high, low]);
        }
    }
    seeds
}

/// Edits of Ana's message, Ben's own and a commit; and one invented message.
pub fn messages() -> Seeds {
    let [message, ..] = chat::genuine();
    let mut seeds = edits(&[1, 2, 3]);
    seeds.push([vec![0], message].concat());
    seeds
}

/// Edits of a commit entry, of its commit and its binding; and one invented.
pub fn commits() -> Seeds {
    let [message, commit, ..] = chat::genuine();
    let mut seeds = edits(&[1, 3, 4]);
    seeds.push([vec![0], commit].concat());
    seeds.push([vec![2], message].concat());
    seeds
}

/// Edits of a key package, and one whole.
pub fn key_packages() -> Seeds {
    let [_, _, package, ..] = chat::genuine();
    let mut seeds = edits(&[1]);
    seeds.push([vec![0], package].concat());
    seeds
}

/// Edits of a welcome and a tree, and each whole.
pub fn joins() -> Seeds {
    let [.., welcome, tree] = chat::genuine();
    let mut seeds = edits(&[1, 3]);
    seeds.push([vec![0], welcome].concat());
    seeds.push([vec![2], tree].concat());
    seeds
}
