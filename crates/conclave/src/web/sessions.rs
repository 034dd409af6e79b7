//! Tickets that open a session of the page, and what shows that a request is of one: a cookie of the browser and a
//! token of the tab. Neither is enough: cookies go to every port of this machine, and no other page sees the token.
//! Only hashes are kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use conclave_proto::env::Env;
use conclave_proto::label::sha256;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::Desk;

/// How long a ticket is good.
const TICKET: Duration = Duration::from_mins(1);
/// How long a session lasts without a request.
pub(super) const IDLE: Duration = Duration::from_hours(12);
/// Tickets that wait; then the oldest goes.
const TICKETS_MAX: usize = 16;
/// Sessions at once; then the oldest goes.
const SESSIONS_MAX: usize = 16;
/// Tabs of a session; then the oldest goes.
const TOKENS_MAX: usize = 32;
/// Random bytes of each secret: nobody guesses one.
const SECRET_BYTES: usize = 32;

type Hash = [u8; 32];

/// All that may come in, or wait to.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    tickets: VecDeque<(Hash, Instant)>,
    sessions: VecDeque<Session>,
}

#[derive(Debug)]
struct Session {
    cookie: Hash,
    tokens: VecDeque<Hash>,
    desk: Arc<Desk>,
}

/// What a tab is given when it comes in.
#[derive(Debug)]
pub(super) struct Begun {
    /// For the browser.
    pub(super) cookie: Zeroizing<String>,
    /// For the tab.
    pub(super) token: Zeroizing<String>,
}

impl Sessions {
    /// A new ticket.
    pub(super) fn ticket(&mut self, env: &dyn Env, now: Instant) -> Zeroizing<String> {
        let words = secret(env);
        push(&mut self.tickets, (hash(&words), now + TICKET), TICKETS_MAX);
        words
    }

    /// Takes a ticket: true once, and within its time.
    pub(super) fn redeem(&mut self, ticket: &str, now: Instant) -> bool {
        self.tickets.retain(|(_, end)| now < *end);
        let known = hash(ticket);
        let before = self.tickets.len();
        self.tickets.retain(|(ticket, _)| *ticket != known);
        self.tickets.len() < before
    }

    /// Lets a tab in: into the session that one of `cookies` shows, so that tabs of one browser do not put each other
    /// out, else into a new one with a desk of `desk`.
    pub(super) fn begin(
        &mut self,
        env: &dyn Env,
        cookies: &[&str],
        desk: impl FnOnce() -> Desk,
        now: Instant,
    ) -> Begun {
        self.tidy(now);
        let token = secret(env);
        for cookie in cookies {
            let known = hash(cookie);
            if let Some(session) = self.sessions.iter_mut().find(|one| one.cookie == known) {
                push(&mut session.tokens, hash(&token), TOKENS_MAX);
                session.desk.touch(now);
                let cookie = Zeroizing::new((*cookie).to_owned());
                return Begun { cookie, token };
            }
        }
        let cookie = secret(env);
        let session = Session {
            cookie: hash(&cookie),
            tokens: [hash(&token)].into(),
            desk: Arc::new(desk()),
        };
        if let Some(oldest) = push(&mut self.sessions, session, SESSIONS_MAX) {
            oldest.desk.end();
        }
        Begun { cookie, token }
    }

    /// The desk of the session that both show.
    pub(super) fn find(
        &mut self,
        cookies: &[&str],
        token: &str,
        now: Instant,
    ) -> Option<Arc<Desk>> {
        let known = hash(token);
        let session = self.of_cookie(cookies, now)?;
        session.tokens.contains(&known).then(|| {
            session.desk.touch(now);
            session.desk.clone()
        })
    }

    /// The desk of the session whose cookie it is: for what has a secret of its own in its address.
    pub(super) fn find_by_cookie(&mut self, cookies: &[&str], now: Instant) -> Option<Arc<Desk>> {
        let session = self.of_cookie(cookies, now)?;
        Some(session.desk.clone())
    }

    fn of_cookie(&mut self, cookies: &[&str], now: Instant) -> Option<&Session> {
        self.tidy(now);
        let known: Vec<Hash> = cookies.iter().map(|cookie| hash(cookie)).collect();
        self.sessions
            .iter()
            .find(|session| known.contains(&session.cookie))
    }

    /// Ends sessions that nobody uses, and what lies too long on the desks of others.
    pub(super) fn tidy(&mut self, now: Instant) {
        self.sessions.retain(|session| {
            let stays = session.desk.is_used(now);
            if stays {
                session.desk.tidy(now);
            } else {
                session.desk.end();
            }
            stays
        });
    }

    /// Ends all sessions and takes back all tickets.
    pub(super) fn end_all(&mut self) {
        self.tickets.clear();
        for session in self.sessions.drain(..) {
            session.desk.end();
        }
    }
}

/// 64 hex digits by chance.
pub(super) fn secret(env: &dyn Env) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    env.fill(bytes.as_mut_slice());
    Zeroizing::new(hex::encode(bytes.as_slice()))
}

fn hash(words: &str) -> Hash {
    *sha256(words.as_bytes()).as_bytes()
}

/// Adds `one`; the oldest when it has to go for it.
fn push<T>(all: &mut VecDeque<T>, one: T, max: usize) -> Option<T> {
    let oldest = if all.len() >= max {
        all.pop_front()
    } else {
        None
    };
    all.push_back(one);
    oldest
}

#[cfg(test)]
mod tests {
    use conclave_proto::env::OsEnv;

    use super::*;

    fn begin(sessions: &mut Sessions, cookies: &[&str], now: Instant) -> Begun {
        sessions.begin(&OsEnv, cookies, || Desk::new(OsEnv::shared(), now), now)
    }

    /// A ticket opens once and for a minute.
    #[test]
    fn a_ticket_is_good_once() {
        let now = Instant::now();
        let mut sessions = Sessions::default();
        let ticket = sessions.ticket(&OsEnv, now);
        assert!(!sessions.redeem("", now) && !sessions.redeem(&ticket[1..], now));
        assert!(sessions.redeem(&ticket, now));
        assert!(!sessions.redeem(&ticket, now), "used");
        let stale = sessions.ticket(&OsEnv, now);
        let in_time = sessions.ticket(&OsEnv, now + Duration::from_secs(30));
        assert!(!sessions.redeem(&stale, now + TICKET));
        assert!(sessions.redeem(&in_time, now + TICKET));
        let taken_back = sessions.ticket(&OsEnv, now);
        sessions.end_all();
        assert!(!sessions.redeem(&taken_back, now));
    }

    /// Cookie and token open together, and only with each other; a second tab of the same browser shares the cookie.
    #[test]
    fn a_session_needs_cookie_and_token() {
        let now = Instant::now();
        let mut sessions = Sessions::default();
        let one = begin(&mut sessions, &[], now);
        let two = begin(&mut sessions, &["nonsense"], now);
        assert!(sessions.find(&[&one.cookie], &one.token, now).is_some());
        assert!(
            sessions
                .find(&["x", &one.cookie], &one.token, now)
                .is_some()
        );
        for (cookies, token) in [
            (vec![], one.token.as_str()),
            (vec![one.cookie.as_str()], ""),
            (vec![one.cookie.as_str()], two.token.as_str()),
            (vec![two.cookie.as_str()], one.token.as_str()),
            (vec![one.token.as_str()], one.cookie.as_str()),
        ] {
            assert!(sessions.find(&cookies, token, now).is_none());
        }
        let tab = begin(&mut sessions, &[&one.cookie], now);
        assert_eq!(tab.cookie, one.cookie);
        for token in [&one.token, &tab.token] {
            assert!(sessions.find(&[&one.cookie], token, now).is_some());
        }
    }

    /// A session ends when nobody used it for half a day, and its desk with it.
    #[test]
    fn an_idle_session_ends() {
        let now = Instant::now();
        let mut sessions = Sessions::default();
        let used = begin(&mut sessions, &[], now);
        let idle = begin(&mut sessions, &[], now);
        let desk = sessions.find_by_cookie(&[&idle.cookie], now).unwrap();
        let later = now + IDLE / 2;
        assert!(sessions.find(&[&used.cookie], &used.token, later).is_some());
        let end = now + IDLE + Duration::from_secs(1);
        assert!(sessions.find(&[&used.cookie], &used.token, end).is_some());
        assert!(sessions.find(&[&idle.cookie], &idle.token, end).is_none());
        assert!(!desk.is_open());
        assert_eq!(sessions.sessions.len(), 1);
    }

    /// However often somebody comes in: only so many sessions, tabs and tickets are kept, the newest.
    #[test]
    fn what_is_kept_is_bounded() {
        let now = Instant::now();
        let mut sessions = Sessions::default();
        let first = begin(&mut sessions, &[], now);
        for _ in 0..100 {
            sessions.ticket(&OsEnv, now);
            begin(&mut sessions, &[], now);
        }
        assert!(sessions.find(&[&first.cookie], &first.token, now).is_none());
        let last = begin(&mut sessions, &[], now);
        for _ in 0..100 {
            begin(&mut sessions, &[&last.cookie], now);
        }
        assert!(sessions.find(&[&last.cookie], &last.token, now).is_none());
        assert_eq!(sessions.tickets.len(), TICKETS_MAX);
        assert_eq!(sessions.sessions.len(), SESSIONS_MAX);
    }
}
