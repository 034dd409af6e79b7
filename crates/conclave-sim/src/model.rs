//! What people were promised: every text that a program said to have queued.

use conclave_proto::id::MessageId;

/// A text that was given to a program.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// Place of the device it was given to.
    pub(crate) device: usize,
    /// Where it went.
    pub(crate) to: Place,
    /// The text: no two are the same.
    pub(crate) text: String,
    /// Its id, when the program said that it is queued; else it may be lost or not.
    pub(crate) id: Option<MessageId>,
}

/// Where people talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Two people, by their places, the smaller first.
    Pair(usize, usize),
    /// A group, by its number.
    Group(usize),
}

impl Place {
    pub(crate) fn pair(one: usize, other: usize) -> Self {
        Self::Pair(one.min(other), one.max(other))
    }

    /// The other one of two.
    pub(crate) fn partner(self, of: usize) -> Option<usize> {
        match self {
            Self::Pair(one, other) if one == of => Some(other),
            Self::Pair(one, other) if other == of => Some(one),
            _ => None,
        }
    }
}

/// Everything that was promised in one world.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) sent: Vec<Sent>,
    /// Groups that somebody began, also in doubt.
    pub(crate) groups: usize,
}

impl Model {
    /// Everywhere that anybody wrote to.
    pub(crate) fn places(&self) -> Vec<Place> {
        let mut places: Vec<Place> = self.sent.iter().map(|sent| sent.to).collect();
        places.sort();
        places.dedup();
        places
    }
}
