//! One file per command: its words, and its few steps.

pub(crate) mod act;
pub(crate) mod archive;
pub(crate) mod attachment;
pub(crate) mod chat;
pub(crate) mod chats;
pub(crate) mod classic;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod contact;
pub(crate) mod daemon;
pub(crate) mod delete;
pub(crate) mod device;
pub(crate) mod doctor;
pub(crate) mod draft;
pub(crate) mod edit;
pub(crate) mod exec;
pub(crate) mod export;
pub(crate) mod forward;
pub(crate) mod group;
pub(crate) mod history;
pub(crate) mod info;
pub(crate) mod join;
pub(crate) mod key;
pub(crate) mod lines;
pub(crate) mod link;
pub(crate) mod listen;
pub(crate) mod listen_from;
pub(crate) mod man;
pub(crate) mod mute;
pub(crate) mod passphrase;
pub(crate) mod paths;
pub(crate) mod pin;
pub(crate) mod profile;
pub(crate) mod proofs;
pub(crate) mod react;
pub(crate) mod read;
pub(crate) mod register;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod rpc;
pub(crate) mod safety;
mod safety_picture;
pub(crate) mod search;
pub(crate) mod send;
pub(crate) mod status;
pub(crate) mod timer;
pub(crate) mod token;
pub(crate) mod typing;
pub(crate) mod unread;
pub(crate) mod web;
pub(crate) mod webhook;
pub(crate) mod whoami;

use crate::args::Command;
use crate::exit::Failure;
use crate::profile::Context;

/// Does what the command line says.
pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Register(args) => register::run(context, args).await,
        Command::Link(args) => link::run(context, args).await,
        Command::Device(args) => device::run(context, args).await,
        Command::Whoami(_) => whoami::run(context).await,
        Command::Status(_) => status::run(context).await,
        Command::Send(args) => send::run(context, args).await,
        Command::Attachment(args) => attachment::run(context, args).await,
        Command::Reply(args) => reply::run(context, args).await,
        Command::React(args) => react::run(context, args).await,
        Command::Edit(args) => edit::run(context, args).await,
        Command::Delete(args) => delete::run(context, args).await,
        Command::Forward(args) => forward::run(context, args).await,
        Command::Pin(args) => pin::pin(context, args).await,
        Command::Unpin(args) => pin::unpin(context, args).await,
        Command::Pins(args) => pin::pins(context, args).await,
        Command::Timer(args) => timer::run(context, args).await,
        Command::Typing(args) => typing::run(context, args).await,
        Command::Profile(args) => profile::run(context, args).await,
        Command::Chat(args) => chat::run(context, args).await,
        Command::Listen(args) => listen::run(context, args).await,
        Command::Read(args) => read::run(context, args).await,
        Command::Unread(args) => unread::run(context, args).await,
        Command::Chats(args) => chats::run(context, args).await,
        Command::History(args) => history::run(context, args).await,
        Command::Search(args) => search::run(context, args).await,
        Command::Export(args) => export::run(context, args).await,
        Command::Mute(args) => mute::run(context, args).await,
        Command::Archive(args) => archive::away(context, args).await,
        Command::Unarchive(args) => archive::back(context, args).await,
        Command::Draft(args) => draft::run(context, args).await,
        Command::Info(args) => info::run(context, args).await,
        Command::Safety(args) => safety::run(context, args).await,
        Command::Contact(args) => contact::run(context, args).await,
        Command::Request(args) => request::run(context, args).await,
        Command::Group(args) => group::run(context, args).await,
        Command::Join(args) => join::run(context, args).await,
        Command::Key(args) => key::run(context, args).await,
        Command::Config(args) => config::run(context, args).await,
        Command::Passphrase(args) => passphrase::run(context, args).await,
        Command::Proofs(args) => proofs::run(context, args).await,
        Command::Web(args) => web::run(context, args).await,
        Command::Daemon(args) => daemon::run(context, args).await,
        Command::Rpc(args) => rpc::run(context, args).await,
        Command::Token(args) => token::run(context, args).await,
        Command::Webhook(args) => webhook::run(context, args).await,
        Command::Doctor(_) => doctor::run(context).await,
        Command::Paths(_) => paths::run(context),
        Command::Classic(args) => classic::run(context, args).await,
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(args),
    }
}
