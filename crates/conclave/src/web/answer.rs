//! Requests of the page. Each is checked in this order, and the first thing that is wrong is the answer:
//!
//! 1. the host is this one: a foreign name that points here (DNS rebinding) gets 421
//! 2. no foreign origin, and what is no GET names its own; not from another site or another port: 403
//! 3. path, method and content type: 404, 405, 415; nothing is ever allowed to another origin
//! 4. nobody guessed lately (429), and the profile is open (423: locked)
//! 5. the ticket, or cookie and token: 401; after five bad ones everybody waits
//! 6. the body, bounded: 413

use std::sync::Arc;

use conclave_client::{Client, KeyKind, OpenError, Unlock};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::page::Work;
use super::{Desk, Page, blob, upload};
use crate::exit::Failure;
use crate::http::{
    Names, Refusal, Reply, check_json, collect, empty, failed, only, other_method, refusal, reply,
};
use crate::rpc::{Caller, answer_bytes, sse};

/// The token of the tab.
const TOKEN: HeaderName = HeaderName::from_static("x-conclave-token");
/// Where a request comes from, as browsers say it.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Bytes of a ticket or a passphrase with its JSON.
const WORDS_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a call: a photograph of a QR code may be in it.
const CALL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What pages of ours may do: nothing from elsewhere, nothing written into them, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
     media-src 'self' blob:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// What every answer says to browsers; those of a file say the policy themselves.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=()",
    ),
];

/// `POST /auth`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ticket {
    ticket: String,
}

/// `POST /unlock`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Passphrase {
    passphrase: String,
}

/// Answers one request; `page` is none when it is gone.
pub(super) async fn answer(
    page: Option<Arc<Page>>,
    names: Names,
    request: Request<Incoming>,
) -> Reply {
    let (head, body) = request.into_parts();
    let answer = match page {
        Some(page) => route(&page, &names, &head, body).await,
        None => Err(ended()),
    };
    let mut reply = answer.unwrap_or_else(Refusal::reply);
    let headers = reply.headers_mut();
    for (name, value) in HEADERS {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    reply
}

async fn route(
    page: &Arc<Page>,
    names: &Names,
    head: &Parts,
    body: Incoming,
) -> Result<Reply, Refusal> {
    check_sender(names, head)?;
    match head.uri.path() {
        "/auth" => {
            let words = words::<Ticket>(page, head, body).await?;
            auth(page, head, &words.ticket)
        }
        "/unlock" => {
            let words = words::<Passphrase>(page, head, body).await?;
            unlock(page, head, Zeroizing::new(words.passphrase)).await
        }
        "/rpc" => {
            check_post(head)?;
            check_json(&head.headers)?;
            call(page, head, body).await
        }
        "/events" => {
            check_get(head)?;
            events(page, head)
        }
        "/upload" => {
            check_post(head)?;
            upload::check_kind(head)?;
            let (work, client, desk) = session(page, &head.headers)?;
            let taken = work.run(upload::take(page, &client, &desk, (head, body)));
            taken.await.ok_or_else(locked)?
        }
        path if path.starts_with(blob::PATH) => {
            check_get(head)?;
            file(page, head)
        }
        path => {
            let found = page.assets.get(path, &head.headers);
            let found = found.ok_or(refusal(
                StatusCode::NOT_FOUND,
                "NOT_FOUND",
                "there is nothing here",
            ))?;
            check_get(head)?;
            Ok(found)
        }
    }
}

/// Steps 1 and 2.
fn check_sender(names: &Names, head: &Parts) -> Result<(), Refusal> {
    names.check_host(head)?;
    Names::check_origin(head)?;
    let is_near = |site: &HeaderValue| site == "same-origin" || site == "none";
    let says_origin = only(&head.headers, header::ORIGIN).is_some();
    if head.headers.get_all(SITE).iter().all(is_near) && (says_origin || head.method == Method::GET)
    {
        return Ok(());
    }
    let message = "only the page itself may ask for this";
    Err(refusal(StatusCode::FORBIDDEN, "WRONG_ORIGIN", message))
}

fn check_post(head: &Parts) -> Result<(), Refusal> {
    if head.method == Method::POST {
        Ok(())
    } else {
        Err(other_method("POST"))
    }
}

fn check_get(head: &Parts) -> Result<(), Refusal> {
    if head.method == Method::GET {
        Ok(())
    } else {
        Err(other_method("GET"))
    }
}

/// What is shown to come in.
async fn words<T: DeserializeOwned>(
    page: &Page,
    head: &Parts,
    body: Incoming,
) -> Result<T, Refusal> {
    check_post(head)?;
    check_json(&head.headers)?;
    check_guesses(page)?;
    let body = collect(body, WORDS_BYTES_MAX).await?;
    serde_json::from_slice(&body).map_err(|_| {
        let message = "the body is not what this path takes";
        refusal(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    })
}

/// Step 4, for everybody.
fn check_guesses(page: &Page) -> Result<(), Refusal> {
    page.doors(|_, guesses| guesses.check(Instant::now()))
}

fn auth(page: &Page, head: &Parts, ticket: &str) -> Result<Reply, Refusal> {
    let now = Instant::now();
    if page.work().client.is_none() {
        return Err(locked());
    }
    let is_good = page.doors(|sessions, guesses| {
        let is_good = sessions.redeem(ticket, now);
        if !is_good {
            guesses.note(now);
        }
        is_good
    });
    if is_good {
        return Ok(let_in(page, head));
    }
    Err(Refusal {
        hint: "run `conclave web` for a new link; one that somebody else used first ends with `conclave web \
             --end-sessions`",
        ..refusal(
            StatusCode::UNAUTHORIZED,
            "UNAUTHORIZED",
            "the link was used already, or is older than a minute",
        )
    })
}

/// The passphrase opens the locked profile, and comes in; at an open one it comes in as well.
async fn unlock(
    page: &Page,
    head: &Parts,
    passphrase: Zeroizing<String>,
) -> Result<Reply, Refusal> {
    // Never closed.
    let _turn = page.trying.acquire().await;
    // Others may have guessed meanwhile.
    check_guesses(page)?;
    if Client::key_kind(&page.dir) != KeyKind::Passphrase {
        // Whatever is said opens such a profile: it shows nothing.
        let message = "this profile has no passphrase";
        return Err(Refusal {
            hint: "run `conclave web` again",
            ..refusal(StatusCode::CONFLICT, "NO_PASSPHRASE", message)
        });
    }
    let tried = match page.work().client {
        None => page.knock(passphrase).await,
        Some(client) => check_passphrase(client, passphrase).await,
    };
    let Err(failure) = tried else {
        return Ok(let_in(page, head));
    };
    let is_guess = failure.code == "WRONG_PASSPHRASE";
    if is_guess {
        page.doors(|_, guesses| guesses.note(Instant::now()));
    }
    let status = if is_guess {
        StatusCode::UNAUTHORIZED
    } else {
        StatusCode::CONFLICT
    };
    Ok(failed(status, &failure.into()))
}

async fn check_passphrase(client: Client, passphrase: Zeroizing<String>) -> Result<(), Failure> {
    let checking =
        tokio::task::spawn_blocking(move || client.check_unlock(&Unlock::Passphrase(passphrase)));
    let checked = checking.await;
    Ok(checked.unwrap_or(Err(OpenError::WrongPassphrase))?)
}

/// Begins a session, or another tab of one.
fn let_in(page: &Page, head: &Parts) -> Reply {
    let now = Instant::now();
    let cookies = cookies(page, &head.headers);
    let begun = page.doors(|sessions, _| {
        sessions.begin(
            &*page.env,
            &cookies,
            || Desk::new(page.env.clone(), now),
            now,
        )
    });
    let mut reply = reply(StatusCode::OK, &json!({ "token": begun.token.as_str() }));
    let cookie = Zeroizing::new(format!(
        "{}={}; HttpOnly; SameSite=Strict; Path=/",
        cookie_name(page),
        begun.cookie.as_str()
    ));
    if let Ok(mut cookie) = HeaderValue::from_str(&cookie) {
        cookie.set_sensitive(true);
        reply.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    reply
}

/// Steps 4 and 5: the open profile, and the session that the request is of.
fn session(page: &Page, headers: &HeaderMap) -> Result<(Work, Client, Arc<Desk>), Refusal> {
    check_guesses(page)?;
    let work = page.work();
    let client = work.client.clone().ok_or_else(locked)?;
    let token = only(headers, TOKEN).and_then(|token| token.to_str().ok());
    let Some(token) = token else {
        return Err(ended());
    };
    let now = Instant::now();
    let cookies = cookies(page, headers);
    let desk = page.doors(|sessions, guesses| {
        let desk = sessions.find(&cookies, token, now);
        if desk.is_none() {
            guesses.note(now);
        }
        desk
    });
    Ok((work, client, desk.ok_or_else(ended)?))
}

async fn call(page: &Page, head: &Parts, body: Incoming) -> Result<Reply, Refusal> {
    let (work, client, desk) = session(page, &head.headers)?;
    let body = collect(body, CALL_BYTES_MAX).await?;
    let caller = Caller::page(desk);
    let answered = work.run(answer_bytes(&client, &caller, &body)).await;
    Ok(match answered.ok_or_else(locked)? {
        Some(answer) => reply(StatusCode::OK, &answer),
        None => empty(StatusCode::NO_CONTENT),
    })
}

fn events(page: &Page, head: &Parts) -> Result<Reply, Refusal> {
    let (work, client, desk) = session(page, &head.headers)?;
    let (closed, ended) = (work.over(), desk.over());
    let reader = sse::Reader {
        caller: Caller::page(desk.clone()),
        is_good: move || desk.is_open(),
        over: async move {
            tokio::select! {
                () = closed => {}
                () = ended => {}
            }
        },
    };
    sse::reply(&client, head, reader, page.places.clone())
}

/// A file; its address is a secret of the session, beside the cookie: browsers send no token for pictures.
fn file(page: &Page, head: &Parts) -> Result<Reply, Refusal> {
    check_guesses(page)?;
    let work = page.work();
    let client = work.client.clone().ok_or_else(locked)?;
    let cookies = cookies(page, &head.headers);
    let desk = page.doors(|sessions, _| sessions.find_by_cookie(&cookies, Instant::now()));
    blob::answer(&client, &work, &*desk.ok_or_else(ended)?, head)
}

/// Cookies are sent to all ports of this machine: each has a name of its own.
fn cookie_name(page: &Page) -> String {
    format!("conclave_{}", page.number().unwrap_or_default())
}

/// What the browser shows under the page's name; another program of this machine may have added some.
fn cookies<'a>(page: &Page, headers: &'a HeaderMap) -> Vec<&'a str> {
    let name = cookie_name(page);
    let all = headers.get_all(header::COOKIE).iter();
    all.filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .take(8)
        .collect()
}

const fn ended() -> Refusal {
    Refusal {
        hint: "run `conclave web` again",
        ..refusal(
            StatusCode::UNAUTHORIZED,
            "UNAUTHORIZED",
            "this page's session ended",
        )
    }
}

const fn locked() -> Refusal {
    Refusal {
        hint: "give its passphrase to `/unlock`",
        ..refusal(StatusCode::LOCKED, "LOCKED", "the profile is locked")
    }
}
