//! Each error's place in the table of exit codes; 7 (partly done) is `send`'s own and tested there.

use super::*;

fn client(error: ClientError) -> (u8, String) {
    let failure = Failure::from(error);
    (failure.exit, failure.code)
}

fn refused(code: ErrorCode) -> u8 {
    Failure::from(ClientError::Refused(Refusal::new(code, "no"))).exit
}

fn text() -> String {
    "x".to_owned()
}

/// 1: our own bugs and what nobody foresaw.
#[test]
fn exit_1_unexpected() {
    assert_eq!(client(ClientError::Broken(text())), (1, "BUG".into()));
    assert_eq!(refused(ErrorCode::BadRequest), 1);
    assert_eq!(refused(ErrorCode::Unspecified), 1);
    assert_eq!(Failure::from(io::Error::other("x")).exit, 1);
}

/// 2: words that cannot be meant, and texts that are too large.
#[test]
fn exit_2_usage() {
    assert_eq!(
        client(ClientError::BadInput(text())),
        (2, "BAD_INPUT".into())
    );
    assert_eq!(
        client(ClientError::TooLarge(text())),
        (2, "TOO_LARGE".into())
    );
    assert_eq!(Failure::from(OpenError::EmptyPassphrase).exit, 2);
    assert_eq!(refused(ErrorCode::TooLarge), 2);
    assert_eq!(Failure::usage("x").exit, 2);
}

/// 3: no account, locked, not authorised.
#[test]
fn exit_3_no_access() {
    assert_eq!(
        client(ClientError::NotRegistered),
        (3, "NOT_REGISTERED".into())
    );
    assert_eq!(
        client(ClientError::NoRegistration),
        (3, "NO_REGISTRATION".into())
    );
    assert_eq!(client(ClientError::Removed), (3, "DEVICE_REMOVED".into()));
    assert_eq!(
        client(ClientError::NotAllowed(text())),
        (3, "NOT_ALLOWED".into())
    );
    assert_eq!(
        client(ClientError::Passphrase(text())),
        (3, "PASSPHRASE".into())
    );
    for error in [
        OpenError::Absent,
        OpenError::WrongPassphrase,
        OpenError::PassphraseNeeded,
    ] {
        assert_eq!(Failure::from(error).exit, 3);
    }
    for code in [
        ErrorCode::Unauthorized,
        ErrorCode::OtpWrong,
        ErrorCode::OtpExpired,
        ErrorCode::OtpExhausted,
        ErrorCode::RegistrationClosed,
        ErrorCode::InviteInvalid,
        ErrorCode::ServerFull,
    ] {
        assert_eq!(refused(code), 3, "{code:?}");
    }
}

/// 4: a key that is not the trusted one.
#[test]
fn exit_4_key() {
    assert_eq!(
        client(ClientError::IdentityChanged(text())),
        (4, "KEY_CHANGED".into())
    );
    assert_eq!(
        client(ClientError::LinkFailed(text())),
        (4, "LINK_FAILED".into())
    );
    assert_eq!(
        client(ClientError::NotMatching),
        (4, "NUMBERS_DIFFER".into())
    );
    assert_eq!(
        client(ClientError::WrongServer(text())),
        (4, "WRONG_SERVER".into())
    );
}

/// 5: too often, with the time to try again.
#[test]
fn exit_5_rate() {
    let refusal = Refusal::new(ErrorCode::RateLimited, "slow down").retry_after_ms(1500);
    let failure = Failure::from(ClientError::Refused(refusal));
    assert_eq!((failure.exit, failure.code.as_str()), (5, "RATE_LIMITED"));
    assert_eq!(failure.retry_after_ms, Some(1500));
    assert_eq!(refused(ErrorCode::Busy), 5);
}

/// 6: the server is not there, or cannot answer now.
#[test]
fn exit_6_unreachable() {
    assert_eq!(
        client(ClientError::Unreachable(text())),
        (6, "UNREACHABLE".into())
    );
    assert_eq!(refused(ErrorCode::Internal), 6);
    assert_eq!(refused(ErrorCode::ShuttingDown), 6);
}

/// 8: nobody and nothing by that name.
#[test]
fn exit_8_not_found() {
    assert_eq!(
        client(ClientError::NotFound(text())),
        (8, "NOT_FOUND".into())
    );
    assert_eq!(refused(ErrorCode::NotFound), 8);
}

/// 9: in use, or there already.
#[test]
fn exit_9_conflict() {
    assert_eq!(
        client(ClientError::AlreadyRegistered(text())),
        (9, "ALREADY_REGISTERED".into())
    );
    assert_eq!(Failure::from(OpenError::InUse(None)).exit, 9);
    assert_eq!(Failure::from(OpenError::Exists).exit, 9);
    assert_eq!(refused(ErrorCode::Conflict), 9);
    assert_eq!(refused(ErrorCode::IdentifierHeld), 9);
}

/// 10: the wait ended first.
#[test]
fn exit_10_timed_out() {
    assert_eq!(client(ClientError::TimedOut), (10, "TIMED_OUT".into()));
}

/// 11: versions that do not fit.
#[test]
fn exit_11_version() {
    assert_eq!(
        client(ClientError::Incompatible),
        (11, "INCOMPATIBLE".into())
    );
    assert_eq!(Failure::from(OpenError::Newer).exit, 11);
    assert_eq!(refused(ErrorCode::UnsupportedVersion), 11);
}

/// 12: the disk.
#[test]
fn exit_12_store() {
    assert_eq!(client(ClientError::Store(text())), (12, "STORE".into()));
    assert_eq!(Failure::from(OpenError::Store(text())).exit, 12);
    assert_eq!(Failure::from(OpenError::NoEncryption).exit, 12);
}

/// How many tries a wrong code leaves is told.
#[test]
fn checks_left_are_told() {
    let mut refusal = Refusal::new(ErrorCode::OtpWrong, "wrong code");
    refusal.checks_left = 4;
    let failure = Failure::from(ClientError::Refused(refusal));
    assert!(
        failure.hint.starts_with("4 tries are left"),
        "{}",
        failure.hint
    );
}
