//! `conclave register`: ask for a code, then confirm it; in one run when a person sits there.

use conclave_client::{Client, ClientError};
use conclave_proto::ErrorCode;
use conclave_proto::address::ServerAddress;
use conclave_proto::identifier::{Identifier, IdentifierError};

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::{CodeSentRow, DoneRow, WhoamiRow};

/// Ask the server for a code, then confirm it. At a terminal the code is asked for in the same run;
/// else run `conclave register confirm CODE` with it.
#[derive(Debug, clap::Args)]
#[command(subcommand_negates_reqs = true)]
#[command(after_help = "Examples:
  conclave register --server conclave://KEY@chat.example.org --phone +4915112345678
  conclave register --server conclave://KEY@127.0.0.1:5000 --email anna@example.org --invite T7K2")]
pub(crate) struct Args {
    #[command(subcommand)]
    step: Option<Step>,
    /// The server's address, as `conclave-server address` prints it
    #[arg(long, value_name = "ADDR", required = true)]
    server: Option<ServerAddress>,
    /// Register this phone number, with `+` and country code
    #[arg(long, value_name = "NUMBER", value_parser = phone, required_unless_present = "email")]
    phone: Option<Identifier>,
    /// Register this e-mail address
    #[arg(long, value_name = "ADDRESS", value_parser = email, conflicts_with = "phone")]
    email: Option<Identifier>,
    /// Invite of the server's operator, when it wants one
    #[arg(long, value_name = "TOKEN")]
    invite: Option<String>,
    /// The name that people you write to are shown
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
}

#[derive(Debug, clap::Subcommand)]
enum Step {
    /// Finish the registration with the code
    #[command(after_help = "Examples:
  conclave register confirm 123456
  conclave register confirm ABCD-EFGH -p work")]
    Confirm {
        /// The code, as it came
        code: String,
    },
    /// Stop a pending move of this account's identifier to somebody else
    #[command(after_help = "Examples:
  conclave register veto
  conclave register veto -p work")]
    Veto,
}

fn phone(text: &str) -> Result<Identifier, IdentifierError> {
    Identifier::phone(text)
}

fn email(text: &str) -> Result<Identifier, IdentifierError> {
    Identifier::email(text)
}

/// Registers.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    match &args.step {
        Some(_) if args.server.is_some() || args.phone.is_some() || args.email.is_some() => {
            Err(Failure::usage(
                "`confirm` and `veto` stand alone: the server and the identifier are known from the first step",
            ))
        }
        Some(Step::Confirm { code }) => {
            let client = context.open().await?;
            let result = confirm(context, &client, code).await;
            context.close(client).await;
            result
        }
        Some(Step::Veto) => {
            let work = async |client: &Client| {
                context.in_time(client, client.veto_hold()).await?;
                let to = client.whoami()?.identifier;
                Ok(context.out.row(&DoneRow { done: "kept", to })?)
            };
            context.with_client(work).await
        }
        None => {
            let client = context.open_or_create().await?;
            let result = start(context, &client, &args).await;
            context.close(client).await;
            result
        }
    }
}

async fn start(context: &Context, client: &Client, args: &Args) -> Result<(), Failure> {
    let (Some(server), Some(identifier)) =
        (&args.server, args.phone.as_ref().or(args.email.as_ref()))
    else {
        return Err(Failure::usage("say --server, and --phone or --email"));
    };
    let asked = client.register_start(server, identifier, args.invite.as_deref(), &args.name);
    let sent = context.in_time(client, asked).await?;
    context.out.row(&CodeSentRow {
        identifier: identifier.as_str().to_owned(),
        valid_ms: sent.valid_ms,
        resend_after_ms: sent.resend_after_ms,
        next: format!("conclave register confirm CODE{}", profile_words(context)),
    })?;
    if context.is_interactive() {
        ask_and_confirm(context, client).await
    } else {
        Ok(())
    }
}

/// The words that name this profile again on the next command line.
fn profile_words(context: &Context) -> String {
    match context.global.profile.as_str() {
        "default" => String::new(),
        name => format!(" --profile {name}"),
    }
}

/// Asks until the code is right, the server takes no more tries, or nothing is typed.
async fn ask_and_confirm(context: &Context, client: &Client) -> Result<(), Failure> {
    loop {
        context.console.err("code: ")?;
        let code = context.console.line().await?.unwrap_or_default();
        if code.trim().is_empty() {
            return Ok(context
                .out
                .text("nothing typed; finish later with `conclave register confirm CODE`")?);
        }
        // A person types longer than --timeout: each try has its own.
        let tried =
            tokio::time::timeout(context.global.timeout, client.register_confirm(code.trim()));
        match tried.await.unwrap_or(Err(ClientError::TimedOut)) {
            Ok(me) => return Ok(context.out.row(&WhoamiRow::from(&me))?),
            Err(ClientError::Refused(refusal))
                if refusal.code() == ErrorCode::OtpWrong && refusal.checks_left > 0 =>
            {
                context.out.failure(&ClientError::Refused(refusal).into());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn confirm(context: &Context, client: &Client, code: &str) -> Result<(), Failure> {
    if client.is_registered() {
        return Err(ClientError::AlreadyRegistered(client.whoami()?.identifier).into());
    }
    let me = context
        .in_time(client, client.register_confirm(code))
        .await?;
    Ok(context.out.row(&WhoamiRow::from(&me))?)
}
