//! The route table by role, and what every refusal begins with.

use std::sync::Arc;

use conclave_proto::frame::request::Body;
use conclave_proto::frame::{Done, reply};
use conclave_proto::hello::Role;
use conclave_proto::{ErrorCode, Refusal};

use super::{account, directory, inbox, logs, mailbox, registration};
use crate::server::App;
use crate::session::Session;
use crate::store::StoreError;

/// What a request gets.
pub(crate) type Answer = Result<reply::Body, Refusal>;

/// Yes, and nothing more to say.
pub(super) const DONE: reply::Body = reply::Body::Done(Done {});

/// Answers one request of a connection.
pub(crate) async fn answer(app: Arc<App>, session: Arc<Session>, body: Option<Body>) -> Answer {
    let body =
        body.ok_or_else(|| bad("the request is of a kind that this server does not know"))?;
    // C-006: a connection has one role.
    if role_of(&body).is_some_and(|role| role != session.role) {
        return Err(bad("this connection has another role"));
    }
    let (app, session) = (&*app, &*session);
    match body {
        Body::Ping(_) => Ok(DONE),
        Body::OtpStart(request) => registration::otp_start(app, session, request).await,
        Body::Register(request) => registration::register(app, session, request).await,
        Body::Authenticate(request) => account::authenticate(app, session, &request).await,
        Body::FetchStatus(_) => account::status(app, session).await,
        Body::VetoHold(_) => account::veto_hold(app, session).await,
        Body::PutState(request) => account::put_state(app, session, request).await,
        Body::PutCapability(request) => account::put_capability(app, session, &request).await,
        Body::PutKeyPackages(request) => account::put_key_packages(app, session, request).await,
        Body::ReadInbox(request) => inbox::read(app, session, &request).await,
        Body::AckInbox(request) => inbox::ack(app, session, request).await,
        Body::SubscribeInbox(_) => inbox::subscribe(app, session).await,
        Body::OpenMailbox(request) => mailbox::open(app, session, request).await,
        Body::PutSlot(request) => mailbox::put(app, request).await,
        Body::ReadSlot(request) => mailbox::read(app, &request).await,
        Body::CloseMailbox(request) => mailbox::close(app, &request).await,
        Body::Lookup(request) => directory::lookup(app, session, &request).await,
        Body::FetchStates(request) => directory::states(app, session, &request).await,
        Body::ClaimKeyPackages(request) => directory::claim(app, session, &request).await,
        Body::PostItem(request) => inbox::post(app, session, request).await,
        Body::CreateLog(request) => logs::create(app, session, request).await,
        Body::OpenLogs(request) => logs::open(app, session, &request).await,
        Body::AppendEntry(request) => logs::append(app, session, request).await,
        Body::PutBundle(request) => logs::bundle(app, session, request).await,
        Body::ReadLog(request) => logs::read(app, session, &request).await,
        Body::SubscribeLog(request) => session.subscribe(request.handle).map(|()| DONE),
        Body::CloseHandle(request) => {
            session.close(request.handle);
            Ok(DONE)
        }
        Body::SendSignal(request) => logs::signal(app, session, &request).await,
        Body::FetchBlob(request) => logs::blob(app, session, &request).await,
    }
}

/// The role that a request belongs to; `None` = any.
fn role_of(body: &Body) -> Option<Role> {
    match body {
        Body::Ping(_) => None,
        Body::OtpStart(_)
        | Body::Register(_)
        | Body::Authenticate(_)
        | Body::FetchStatus(_)
        | Body::VetoHold(_)
        | Body::PutState(_)
        | Body::PutCapability(_)
        | Body::PutKeyPackages(_)
        | Body::ReadInbox(_)
        | Body::AckInbox(_)
        | Body::SubscribeInbox(_)
        | Body::OpenMailbox(_)
        | Body::PutSlot(_)
        | Body::ReadSlot(_)
        | Body::CloseMailbox(_) => Some(Role::Account),
        Body::Lookup(_) | Body::FetchStates(_) | Body::ClaimKeyPackages(_) => Some(Role::Directory),
        Body::PostItem(_) => Some(Role::Post),
        Body::CreateLog(_)
        | Body::OpenLogs(_)
        | Body::AppendEntry(_)
        | Body::PutBundle(_)
        | Body::ReadLog(_)
        | Body::SubscribeLog(_)
        | Body::CloseHandle(_)
        | Body::SendSignal(_) => Some(Role::Logs),
        Body::FetchBlob(_) => Some(Role::Blobs),
    }
}

/// The client broke the protocol.
pub(super) fn bad(text: &str) -> Refusal {
    Refusal::new(ErrorCode::BadRequest, text)
}

/// Over a limit.
pub(super) fn too_large(text: String) -> Refusal {
    Refusal::new(ErrorCode::TooLarge, text)
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => {
                let text = "the server is busy, try again in a moment";
                Self::new(ErrorCode::Busy, text).retry_after_ms(250)
            }
            StoreError::Broken(_) => Self::new(
                ErrorCode::Internal,
                "the server's store failed; read before trying again",
            ),
        }
    }
}
