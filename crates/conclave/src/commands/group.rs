//! `conclave group`: people who talk together.

use conclave_client::Client;
use conclave_client::view::GroupRole;
use conclave_proto::id::ChatId;

use crate::exit::{self, Failure};
use crate::profile::Context;
use crate::rows::{DoneRow, GroupLinkRow, GroupRow};

/// Make groups and change who is in them. A group is named by its name or its chat id.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave group create hike anna@example.org +4915112345678
  conclave group show hike")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a group and invite people
    #[command(after_help = "Examples:
  conclave group create hike anna@example.org +4915112345678
  conclave group create 'Chess club'")]
    Create {
        /// What the group is called
        name: String,
        /// `+E164` numbers, e-mail addresses or account ids
        who: Vec<String>,
    },
    /// Add people; for owners and admins
    #[command(after_help = "Examples:
  conclave group add hike carl@example.org
  conclave group add hike carl@example.org +4915112345678")]
    Add {
        /// Name or chat id
        group: String,
        /// `+E164` numbers, e-mail addresses or account ids
        #[arg(required = true)]
        who: Vec<String>,
    },
    /// Take somebody out, with all their devices
    #[command(after_help = "Examples:
  conclave group remove hike carl@example.org
  conclave group remove hike Carl")]
    Remove {
        /// Name or chat id
        group: String,
        /// `+E164` number, e-mail address, account id or the name they show
        who: String,
    },
    /// Leave; what was written stays readable here
    #[command(after_help = "Examples:
  conclave group leave hike
  conclave group leave c_0123456789abcdef0123456789abcdef")]
    Leave {
        /// Name or chat id
        group: String,
    },
    /// Give the group another name; for owners and admins
    #[command(after_help = "Examples:
  conclave group rename hike 'Summer hike'
  conclave group rename c_0123456789abcdef0123456789abcdef hike")]
    Rename {
        /// Name or chat id
        group: String,
        /// The new name
        name: String,
    },
    /// Give somebody another role; for owners, or to lower your own
    #[command(after_help = "Examples:
  conclave group role hike carl@example.org admin
  conclave group role hike Carl member")]
    Role {
        /// Name or chat id
        group: String,
        /// `+E164` number, e-mail address, account id or the name they show
        who: String,
        /// What they may do from now on
        role: Role,
    },
    /// Show who is in
    #[command(after_help = "Examples:
  conclave group show hike
  conclave group show hike -o json")]
    Show {
        /// Name or chat id
        group: String,
    },
    /// List groups, newest first
    #[command(after_help = "Examples:
  conclave group list
  conclave group list -o json")]
    List,
    /// Go on with a group that was paused
    #[command(after_help = "Examples:
  conclave group resume hike
  conclave group resume c_0123456789abcdef0123456789abcdef")]
    Resume {
        /// Name or chat id
        group: String,
    },
    /// Let people ask to come in by a link
    #[command(after_help = "Examples:
  conclave group link create hike
  conclave group link show hike")]
    Link {
        #[command(subcommand)]
        action: LinkAction,
    },
}

#[derive(Debug, clap::Subcommand)]
enum LinkAction {
    /// Make a link, or a new one in place of the old
    #[command(after_help = "Examples:
  conclave group link create hike
  conclave group link create hike -o json")]
    Create {
        /// Name or chat id
        group: String,
    },
    /// Take the link back: who shows it is let in no more
    #[command(after_help = "Examples:
  conclave group link revoke hike
  conclave group link revoke c_0123456789abcdef0123456789abcdef")]
    Revoke {
        /// Name or chat id
        group: String,
    },
    /// Show the link
    #[command(after_help = "Examples:
  conclave group link show hike
  conclave group link show hike -o json")]
    Show {
        /// Name or chat id
        group: String,
    },
}

/// What somebody may do in a group.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Role {
    /// Writes and leaves
    Member,
    /// Also adds people, removes members, changes name and link
    Admin,
    /// Also removes anybody and gives roles
    Owner,
}

impl From<Role> for GroupRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Member => Self::Member,
            Role::Admin => Self::Admin,
            Role::Owner => Self::Owner,
        }
    }
}

/// Changes or shows groups.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    context
        .with_client(async |client: &Client| act(context, client, args.action).await)
        .await
}

async fn act(context: &Context, client: &Client, action: Action) -> Result<(), Failure> {
    match action {
        Action::Create { name, who } => {
            client.go_online();
            let chat = client.create_group(&name, &who).await?;
            show_settled(context, client, chat).await
        }
        Action::Add { group, who } => {
            // Read first, as in `synced`: this device may have got the right to add a moment ago.
            let settled = context.settle(client).await;
            let chat = client.add_to_group(&group, &who).await?;
            settled?;
            show_settled(context, client, chat).await
        }
        Action::Remove { group, who } => {
            let chat = synced(context, client, |client| {
                client.remove_from_group(&group, &who)
            });
            show_settled(context, client, chat.await?).await
        }
        Action::Rename { group, name } => {
            let chat = synced(context, client, |client| client.rename_group(&group, &name));
            show_settled(context, client, chat.await?).await
        }
        Action::Role { group, who, role } => {
            let set = |client: &Client| client.set_group_role(&group, &who, role.into());
            let chat = synced(context, client, set).await?;
            show_settled(context, client, chat).await
        }
        Action::Leave { group } => {
            let chat = synced(context, client, |client| client.leave_group(&group)).await?;
            done(context, client, chat, "left").await
        }
        Action::Resume { group } => {
            let chat = client.resume_group(&group)?;
            done(context, client, chat, "resumed").await
        }
        Action::Show { group } => {
            let settled = context.settle(client).await;
            context.out.row(&GroupRow::from(&client.group(&group)?))?;
            settled
        }
        Action::List => {
            let settled = context.settle(client).await;
            for group in client.groups()? {
                context.out.row(&GroupRow::from(&group))?;
            }
            settled
        }
        Action::Link { action } => link(context, client, action).await,
    }
}

async fn link(context: &Context, client: &Client, action: LinkAction) -> Result<(), Failure> {
    match action {
        LinkAction::Create { group } => {
            let create = |client: &Client| client.create_group_link(&group);
            let chat = synced(context, client, create).await?;
            settle(context, client, chat).await?;
            show_link(context, client, &chat.to_string())
        }
        LinkAction::Revoke { group } => {
            let revoke = |client: &Client| client.revoke_group_link(&group);
            let chat = synced(context, client, revoke).await?;
            done(context, client, chat, "revoked").await
        }
        LinkAction::Show { group } => {
            let settled = context.settle(client).await;
            show_link(context, client, &group)?;
            settled
        }
    }
}

/// What is said about members is said about those there are now: the group is read first, when the server is there.
async fn synced(
    context: &Context,
    client: &Client,
    work: impl FnOnce(&Client) -> Result<ChatId, conclave_client::ClientError>,
) -> Result<ChatId, Failure> {
    let settled = context.settle(client).await;
    let chat = work(client)?;
    settled?;
    Ok(chat)
}

/// Waits until what was wanted is so; a wish that cannot be is the failure.
async fn settle(context: &Context, client: &Client, chat: ChatId) -> Result<(), Failure> {
    let settled = context.settle(client).await;
    if let Some(wish) = client.take_failed_wishes(chat)?.into_iter().next() {
        let message = format!("{} failed: {}", wish.text, wish.reason);
        return Err(Failure::new(exit::PARTLY, "PARTLY_DONE", message));
    }
    settled
}

async fn show_settled(context: &Context, client: &Client, chat: ChatId) -> Result<(), Failure> {
    let settled = settle(context, client, chat).await;
    let group = client.group(&chat.to_string())?;
    context.out.row(&GroupRow::from(&group))?;
    settled
}

async fn done(
    context: &Context,
    client: &Client,
    chat: ChatId,
    done: &'static str,
) -> Result<(), Failure> {
    settle(context, client, chat).await?;
    Ok(context.out.row(&DoneRow {
        done,
        to: chat.to_string(),
    })?)
}

fn show_link(context: &Context, client: &Client, group: &str) -> Result<(), Failure> {
    let link = client.group_link(group)?;
    let group = client.group(group)?;
    Ok(context.out.row(&GroupLinkRow {
        chat: group.chat.id.to_string(),
        name: group.chat.name,
        link,
    })?)
}
