//! A server that lies to a device: from the truth, and what it said before, it makes another answer.
//!
//! It withholds, repeats and reorders entries, shows accounts as they once were, hands out others' key packages, and
//! keeps a device in the dark about what became of its account.

use std::collections::BTreeMap;

use conclave_proto::account::{AccountStates, AccountStatus};
use conclave_proto::frame::{Done, reply, request};
use conclave_proto::inbox::InboxPage;
use conclave_proto::key_package::ClaimedKeyPackages;

/// What it remembers of its answers to one device.
#[derive(Debug, Default)]
pub struct LyingServer {
    account: Vec<u8>,
    status: Option<AccountStatus>,
    /// By account: the first answer and the newest one.
    states: BTreeMap<Vec<u8>, (AccountStates, AccountStates)>,
    /// By account.
    packages: BTreeMap<Vec<u8>, ClaimedKeyPackages>,
}

impl LyingServer {
    /// Remembers a true answer, for lies to come.
    pub fn remember(&mut self, asked: &request::Body, truth: &reply::Body) {
        match (asked, truth) {
            (request::Body::Authenticate(of), _) => self.account.clone_from(&of.account_id),
            (_, reply::Body::AccountStatus(status)) => self.status = Some(status.clone()),
            (request::Body::FetchStates(of), reply::Body::AccountStates(states)) => {
                let known = self.states.entry(of.account_id.clone());
                let known = known.or_insert_with(|| (states.clone(), states.clone()));
                known.1.clone_from(states);
            }
            (request::Body::ClaimKeyPackages(of), reply::Body::ClaimedKeyPackages(packages)) => {
                let whose = of.account_id.clone();
                self.packages.insert(whose, packages.clone());
            }
            _ => {}
        }
    }

    /// Puts a lie in place of a true answer; `which` (any number) picks one of several. Whether there was one to tell.
    pub fn lie(&self, asked: &request::Body, answer: &mut reply::Body, which: u64) -> bool {
        let truth = answer.clone();
        match (asked, &mut *answer) {
            (_, reply::Body::LogPage(page)) => match which % 4 {
                0 => page.entries.clear(),
                1 => drop(page.entries.pop()),
                2 => page.entries.reverse(),
                _ => page.entries.extend(page.entries.first().cloned()),
            },
            (request::Body::FetchStates(of), reply::Body::AccountStates(states)) => {
                if let Some((first, _)) = self.states.get(&of.account_id) {
                    states.clone_from(first);
                }
            }
            (request::Body::ClaimKeyPackages(of), reply::Body::ClaimedKeyPackages(packages)) => {
                let mut known = self.packages.iter();
                if let Some((_, others)) = known.find(|(whose, _)| **whose != of.account_id) {
                    packages.clone_from(others);
                }
            }
            _ => {}
        }
        truth != *answer
    }

    /// What a device hears that shall not learn that its account took it out: all is as it was. `None`: this question
    /// shall not be answered when it is asked on the account connection, and truly else.
    pub fn hush(&self, asked: &request::Body) -> Option<reply::Body> {
        match asked {
            request::Body::FetchStates(of) if of.account_id == self.account => {
                let (_, newest) = self.states.get(&self.account)?;
                Some(reply::Body::AccountStates(newest.clone()))
            }
            request::Body::FetchStatus(_) => self.status.clone().map(reply::Body::AccountStatus),
            request::Body::ReadInbox(_) => Some(reply::Body::InboxPage(InboxPage::default())),
            request::Body::Authenticate(_) | request::Body::SubscribeInbox(_) => {
                Some(reply::Body::Done(Done {}))
            }
            _ => None,
        }
    }
}
