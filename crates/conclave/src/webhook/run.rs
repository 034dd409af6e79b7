//! The daemon's part: what is due is posted, one event of each webhook and chat at a time, several beside each other.

use std::collections::BTreeSet;
use std::time::Duration;

use conclave_client::webhook::Due;
use conclave_client::{Client, ClientError};
use conclave_proto::env::{OsEnv, SharedEnv};
use tokio::task::JoinSet;

use super::Target;
use super::post::Post;
use crate::output::json_line;
use crate::rows::ToldRow;

/// Posts at once.
const POSTS_MAX: usize = 16;
/// After trouble with the store it is looked at again.
const PAUSE: Duration = Duration::from_secs(30);

/// Posts until the task is dropped; what was under way then is posted again by the next daemon.
pub(crate) async fn run(client: Client) {
    let env = OsEnv::shared();
    let mut news = client.news();
    let mut posts = JoinSet::new();
    let mut under_way = BTreeSet::new();
    loop {
        // Before the look: what changes after it is heard of.
        let changed = client.webhooks_changed();
        let wait = match client.webhooks_due() {
            Ok((due, next_ms)) => {
                for one in due {
                    let name = (one.webhook.clone(), one.cursor);
                    if posts.len() < POSTS_MAX && under_way.insert(name) {
                        posts.spawn(post(client.clone(), env.clone(), one));
                    }
                }
                next_ms.map(Duration::from_millis)
            }
            Err(_) => Some(PAUSE),
        };
        let wait = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = wait => {}
            () = changed => {}
            Some(ended) = posts.join_next() => match ended {
                Ok(name) => { under_way.remove(&name); }
                // A bug broke it off: it is due again.
                Err(_) if posts.is_empty() => under_way.clear(),
                Err(_) => {}
            },
            changed = news.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

/// Posts one event and keeps the books of it; which it was.
async fn post(client: Client, env: SharedEnv, due: Due) -> (String, u64) {
    let posted = try_post(&client, &env, &due).await;
    let noted = match posted {
        Ok(Ok(())) => client.webhook_done(&due.webhook, due.cursor),
        Ok(Err(why)) => client.webhook_failed(&due.webhook, due.cursor, &why),
        Err(error) => Err(error),
    };
    if noted.is_err() {
        // The store has trouble: not at once again.
        tokio::time::sleep(PAUSE).await;
    }
    (due.webhook, due.cursor)
}

async fn try_post(
    client: &Client,
    env: &SharedEnv,
    due: &Due,
) -> Result<Result<(), String>, ClientError> {
    // Made now: what is gone is not told.
    let told = client.event(due.cursor, None)?;
    let row = told.map(|told| ToldRow::new(client, &told)).transpose()?;
    let Some(row) = row.flatten() else {
        return Ok(Ok(()));
    };
    let body = json_line(&row).map_err(|error| ClientError::Broken(error.to_string()))?;
    let target = match Target::parse(&due.url) {
        Ok(target) => target,
        Err(why) => return Ok(Err(why)),
    };
    let post = Post {
        target: &target,
        secret: &due.secret,
        name: due.cursor.to_string(),
        now_ms: env.now_ms(),
        body,
    };
    Ok(post.send().await)
}
