//! One message to many: Conclave's seal and open beside the classic protocols', in time and in bytes.

use anyhow::Context as _;
use conclave_classic::keys::PrivateKey;
use conclave_classic::message::Message;
use conclave_classic::suite::Suite;
use conclave_hostile::crowd;

use crate::Size;
use crate::crypto::{MESSAGE_BYTES, Side, mean_us};
use crate::table::{Better, Table};

const SENDER: &str = "+491700000001";
const RECIPIENT: &str = "+491700000002";
/// Any moment, Unix seconds: seal and open do not compare it with a clock.
const AT: u64 = 1_700_000_000;

/// What one protocol needs for one message, a value for each round.
#[derive(Default)]
struct Cost {
    /// Of the sender, for everybody, µs.
    seal: Vec<f64>,
    /// Of one recipient, µs.
    open: Vec<f64>,
    /// That the sender sends, for everybody.
    bytes: Vec<f64>,
}

pub(crate) fn measure(size: Size, table: &mut Table) -> anyhow::Result<()> {
    let classics = [
        (Suite::Rsa, "classic, RSA-2048 + AES-256-CFB"),
        (Suite::Ec, "classic, P-256 + AES-256-GCM"),
    ];
    let pairs = [keys(Suite::Rsa)?, keys(Suite::Ec)?];
    for &recipients in size.recipients {
        let mut ours = Cost::default();
        let mut theirs = [Cost::default(), Cost::default()];
        let [founder, last] = crowd::of(recipients + 1);
        let (mut sender, mut reader) = (Side::of_crowd(founder)?, Side::of_crowd(last)?);
        for _ in 0..size.rounds {
            conclave(&mut sender, &mut reader, size.sealed, &mut ours)?;
            for (pair, cost) in pairs.iter().zip(&mut theirs) {
                classic(pair, recipients, cost)?;
            }
        }
        for ((_, name), cost) in classics.iter().zip(&theirs) {
            let row = |what, unit| (format!("{what} {recipients}"), unit, Better::Less);
            table.add(row("seal to", "µs"), &ours.seal, (*name, &cost.seal), None);
            table.add(
                row("open one, of", "µs"),
                &ours.open,
                (*name, &cost.open),
                None,
            );
            table.add(row("sent to", "B"), &ours.bytes, (*name, &cost.bytes), None);
        }
    }
    Ok(())
}

/// `count` messages through the group: one entry each, whoever reads it.
fn conclave(
    sender: &mut Side,
    reader: &mut Side,
    count: usize,
    cost: &mut Cost,
) -> anyhow::Result<()> {
    let mut sealed = Vec::new();
    cost.seal.push(mean_us(count, || {
        sealed.push(sender.seal()?);
        Ok(())
    })?);
    cost.bytes.push(per(count, sealed.iter().map(Vec::len))?);
    let mut waiting = sealed.into_iter();
    cost.open.push(mean_us(count, || {
        reader.open(&waiting.next().context("a sealed message")?)
    })?);
    Ok(())
}

/// One key pair for the sender, and one that stands for every recipient: each costs the same.
fn keys(suite: Suite) -> anyhow::Result<[PrivateKey; 2]> {
    Ok([PrivateKey::generate(suite)?, PrivateKey::generate(suite)?])
}

/// Messages of the classic kind: sealed once for each recipient.
fn classic([anna, ben]: &[PrivateKey; 2], recipients: u64, cost: &mut Cost) -> anyhow::Result<()> {
    let recipients = usize::try_from(recipients)?;
    let count = (128 / recipients).max(1);
    let text = "x".repeat(MESSAGE_BYTES);
    let mut sealed = Vec::new();
    cost.seal.push(mean_us(count, || {
        for _ in 0..recipients {
            let to = (RECIPIENT, ben.public());
            sealed.push(Message::seal((SENDER, anna), to, &text, AT)?);
        }
        Ok(())
    })?);
    let lines: Result<Vec<_>, _> = sealed.iter().map(serde_json::to_vec).collect();
    cost.bytes.push(per(count, lines?.iter().map(Vec::len))?);
    let opened = sealed.len().min(128);
    let mut waiting = sealed.into_iter();
    cost.open.push(mean_us(opened, || {
        let message = waiting.next().context("a sealed message")?;
        message.open(ben, anna.public())?;
        Ok(())
    })?);
    Ok(())
}

/// The mean of `count` classic messages to one recipient, in µs.
pub(crate) fn sealed_us([anna, ben]: &[PrivateKey; 2], count: usize) -> anyhow::Result<f64> {
    let text = "x".repeat(MESSAGE_BYTES);
    mean_us(count, || {
        Message::seal((SENDER, anna), (RECIPIENT, ben.public()), &text, AT)?;
        Ok(())
    })
}

/// Bytes of one message of `count`.
fn per(count: usize, bytes: impl Iterator<Item = usize>) -> anyhow::Result<f64> {
    let total = f64::from(u32::try_from(bytes.sum::<usize>())?);
    Ok(total / f64::from(u32::try_from(count)?))
}
