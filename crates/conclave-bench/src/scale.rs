//! `conclave-bench scale`: measures what one message, connection, conversation and account cost, computes what
//! 10 thousand, 1 million and 100 million people need, and holds the model against two sizes that run here.

mod measured;
mod model;

use crate::Size;
use crate::fill::Amount;
use crate::growth;
use crate::table::Table;
use model::{Costs, HABITS, Layout, MACHINES, Needs, needs};

/// Who is served how.
const STEPS: [(&str, f64, Layout); 4] = [
    ("10 thousand", 1e4, Layout::One),
    ("1 million", 1e6, Layout::Primary),
    ("100 million, one primary", 1e8, Layout::Primary),
    ("100 million", 1e8, Layout::Primaries),
];

pub(crate) async fn measure(size: Size, table: &mut Table) -> anyhow::Result<()> {
    let costs = measured::costs(size).await?;
    print_costs(&costs);
    let steps = STEPS
        .map(|(name, people, layout)| (name, needs(people, layout, &costs, &HABITS, &MACHINES)));
    print_needs(&steps);
    print_bounds(&steps);
    let grown = growth::measure(size, table).await?;
    println!("\n| database | computed | found | computed / found |\n|---|---:|---:|---:|");
    for (amount, bytes) in grown {
        let (computed, found) = (bytes_of(&costs, amount) / 1e6, float(bytes) / 1e6);
        let Amount {
            accounts,
            logs,
            per_log,
            ..
        } = amount;
        println!(
            "| {accounts} accounts, {} entries | {computed:.0} MB | {found:.0} MB | {:.2} |",
            logs * per_log,
            computed / found
        );
    }
    Ok(())
}

/// What the model says of a database.
fn bytes_of(costs: &Costs, amount: Amount) -> f64 {
    let packages = float(amount.packages) / float(measured::PACKAGES);
    let account = costs.account_bytes - (1.0 - packages) * costs.packages_bytes;
    float(amount.accounts) * account
        + float(amount.logs) * (costs.log_bytes + float(amount.per_log) * costs.entry_bytes)
}

/// Counts here are far below 2^52.
#[expect(clippy::cast_precision_loss, reason = "counts of what fits on a disk")]
fn float(count: u64) -> f64 {
    count as f64
}

fn print_costs(costs: &Costs) {
    println!("\n| what one costs | |\n|---|---:|");
    for (what, figure, unit) in [
        ("an entry, accepted and synced, CPU", costs.append_us, "µs"),
        ("an entry, pushed to one reader, CPU", costs.push_us, "µs"),
        ("an entry, read in pages of 100, CPU", costs.read_us, "µs"),
        ("a sign of life, CPU", costs.ping_us, "µs"),
        (
            "a connection until it is greeted, CPU",
            costs.handshake_us,
            "µs",
        ),
        ("a log opened and followed, CPU", costs.open_us, "µs"),
        (
            "a connection with 50 open logs, memory",
            costs.connection_bytes / 1024.0,
            "KiB",
        ),
        ("an entry of 512 bytes, disk", costs.entry_bytes, "bytes"),
        (
            "what stays of one that expired, disk",
            costs.expired_bytes,
            "bytes",
        ),
        ("a conversation, disk", costs.log_bytes, "bytes"),
        (
            "an account with one device, disk",
            costs.account_bytes,
            "bytes",
        ),
        ("an entry with 64 in flight, syncs", costs.syncs, ""),
        (
            "entries of one store with 64 in flight",
            costs.store_rate,
            "1/s",
        ),
    ] {
        println!("| {what} | {} {unit} |", short(figure));
    }
}

fn print_needs(steps: &[(&str, Needs)]) {
    let row = |what: &str, figure: &dyn Fn(&Needs) -> String| {
        let figures = steps
            .iter()
            .map(|(_, needs)| format!(" {} |", figure(needs)));
        println!("| {what} |{}", figures.collect::<String>());
    };
    let names = steps.iter().map(|(name, _)| format!(" {name} |"));
    println!("\n| people |{}", names.collect::<String>());
    println!("|---|{}", "---:|".repeat(steps.len()));
    row("entries a second, busiest", &|n| short(n.entries_s));
    row("connections, busiest", &|n| short(n.connections));
    row("cores of all servers, busiest", &|n| short(n.cores));
    row("memory of connections, GB", &|n| {
        short(n.memory_bytes / 1e9)
    });
    row("servers", &|n| short(n.servers));
    row("PostgreSQL primaries, each with a standby", &|n| {
        short(n.primaries)
    });
    row("database, TB", &|n| short(n.disk_bytes / 1e12));
    row("of it what stays of a year's expired entries, TB", &|n| {
        short(n.expired_bytes / 1e12)
    });
    row("files, TB", &|n| short(n.files_bytes / 1e12));
    row("hints a second", &|n| short(n.hints_s));
    row("sent by NATS, MB/s", &|n| short(n.nats_bytes_s / 1e6));
    row("a lost hint costs at most, s", &|n| short(n.look_s));
    row("sent to people, TB a month", &|n| {
        short(n.sent_bytes_month / 1e12)
    });
    row("€ a month", &|n| short(n.month));
    row("€ once, when codes go by text message", &|n| {
        short(n.text_messages)
    });
}

fn print_bounds(steps: &[(&str, Needs)]) {
    println!("\n| people | what is used first, of what there is |\n|---|---|");
    for (name, needs) in steps {
        let bounds = needs.bounds.iter().take(4);
        let used = bounds.map(|bound| format!("{} {} %", bound.what, short(bound.used * 100.0)));
        println!("| {name} | {} |", used.collect::<Vec<_>>().join("; "));
    }
}

/// A figure in two or three digits.
fn short(figure: f64) -> String {
    let digits = match figure.abs() {
        0.0 => 0,
        ..0.1 => 4,
        0.1..1.0 => 2,
        1.0..100.0 => 1,
        _ => 0,
    };
    format!("{figure:.digits$}")
}
