//! What the commands that change a message share: do it, let it go out, print the message.

use conclave_client::view::Message;
use conclave_client::{Client, ClientError};

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::MessageRow;

/// Does `work` on this disk, waits until the server has it, and prints the message as it is then.
pub(crate) async fn act(
    context: &Context,
    work: impl FnOnce(&Client) -> Result<Message, ClientError>,
) -> Result<(), Failure> {
    context
        .with_client(async |client: &Client| {
            let id = work(client)?.id;
            let settled = context.settle(client).await;
            let message = client.message(id)?.message;
            context.out.row(&MessageRow::from(&message))?;
            settled
        })
        .await
}
