//! What so many people need, from what one message, connection, conversation and account cost. Pure.

/// What one of each costs the server; measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Costs {
    /// CPU of one entry, accepted and synced, in µs: TLS, checks and store.
    pub(crate) append_us: f64,
    /// CPU of one entry pushed to one reader, in µs.
    pub(crate) push_us: f64,
    /// CPU of one entry read in pages of 100, in µs.
    pub(crate) read_us: f64,
    /// CPU of one sign of life, in µs.
    pub(crate) ping_us: f64,
    /// CPU of one connection until it is greeted, in µs.
    pub(crate) handshake_us: f64,
    /// CPU of one log opened and subscribed to, in µs.
    pub(crate) open_us: f64,
    /// Memory of one connection with 50 open logs, in bytes.
    pub(crate) connection_bytes: f64,
    /// Disk of one entry of 512 bytes, its share of indexes included, in bytes.
    pub(crate) entry_bytes: f64,
    /// Disk of what stays of one that expired, in bytes.
    pub(crate) expired_bytes: f64,
    /// Disk of one conversation, in bytes.
    pub(crate) log_bytes: f64,
    /// Disk of one account with one device and 20 key packages, in bytes.
    pub(crate) account_bytes: f64,
    /// Of it: the 20 key packages.
    pub(crate) packages_bytes: f64,
    /// Syncs for one entry with 64 in flight.
    pub(crate) syncs: f64,
    /// Entries a second that one machine's store took with 64 in flight.
    pub(crate) store_rate: f64,
}

/// What people do; assumed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits {
    pub(crate) devices: f64,
    /// Of all devices, at the busiest time.
    pub(crate) online: f64,
    /// Of one online device: logs and account.
    pub(crate) connections: f64,
    /// That one person writes on a day.
    pub(crate) messages: f64,
    /// Receipts, reactions, edits and commits for each message.
    pub(crate) beside: f64,
    /// Devices that get an entry, the writer's own included.
    pub(crate) readers: f64,
    /// Conversations of one person, and people of one conversation.
    pub(crate) conversations: f64,
    pub(crate) people: f64,
    /// The busiest second beside the mean one.
    pub(crate) peak: f64,
    /// Times a day that one device connects.
    pub(crate) connects: f64,
    /// Days that entries and files are kept.
    pub(crate) kept_days: f64,
    /// Days of service that what stays of expired entries is counted for.
    pub(crate) served_days: f64,
    /// Files for each message, bytes of one, and how often it is loaded.
    pub(crate) files: f64,
    pub(crate) file_bytes: f64,
    pub(crate) loads: f64,
    /// Bytes of one entry on the wire.
    pub(crate) wire_bytes: f64,
    /// Bytes of one hint between servers, its share of the message around it included.
    pub(crate) hint_bytes: f64,
}

pub(crate) const HABITS: Habits = Habits {
    devices: 1.6,
    online: 0.5,
    connections: 2.0,
    messages: 40.0,
    beside: 0.6,
    readers: 6.0,
    conversations: 50.0,
    people: 4.0,
    peak: 3.0,
    connects: 20.0,
    kept_days: 30.0,
    served_days: 365.0,
    files: 0.05,
    file_bytes: 300e3,
    loads: 3.0,
    wire_bytes: 600.0,
    hint_bytes: 64.0,
};

/// What machines hold and cost; assumed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machines {
    /// Of one server process's machine, and how much of it is planned with.
    pub(crate) cores: f64,
    pub(crate) cores_used: f64,
    pub(crate) memory_bytes: f64,
    pub(crate) memory_used: f64,
    /// `server.max_connections`, as it is set for such a machine.
    pub(crate) connections: f64,
    pub(crate) server_month: f64,
    /// Of one PostgreSQL machine: entries a second that are planned with, and disk.
    pub(crate) postgres_rate: f64,
    pub(crate) postgres_bytes: f64,
    /// Disk of a row beside the same row of SQLite.
    pub(crate) postgres_factor: f64,
    /// `max_connections` of PostgreSQL, and how many one server keeps to each primary.
    pub(crate) postgres_connections: f64,
    pub(crate) postgres_each: f64,
    /// Of one machine; a primary has a synchronous standby.
    pub(crate) postgres_month: f64,
    /// Bytes a second that one NATS node sends.
    pub(crate) nats_bytes: f64,
    pub(crate) nats_month: f64,
    /// A terabyte of files, kept for a month, and one that leaves.
    pub(crate) stored_terabyte: f64,
    pub(crate) sent_terabyte: f64,
    /// One code by text message.
    pub(crate) text_message: f64,
}

pub(crate) const MACHINES: Machines = Machines {
    cores: 8.0,
    cores_used: 0.5,
    memory_bytes: 32e9,
    memory_used: 0.5,
    connections: 200e3,
    server_month: 60.0,
    postgres_rate: 10e3,
    postgres_bytes: 5e12,
    postgres_factor: 1.25,
    postgres_connections: 1000.0,
    postgres_each: 5.0,
    postgres_month: 300.0,
    nats_bytes: 250e6,
    nats_month: 30.0,
    stored_terabyte: 6.0,
    sent_terabyte: 1.0,
    text_message: 0.05,
};

const DAY_S: f64 = 86_400.0;
const PING_S: f64 = 30.0;
/// Logs that one server looks at in a second, when no hint said anything (`follow.rs`).
const LOOKED_S: f64 = 2_000.0;

/// What is used of something that one cannot have more of by starting another server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bound {
    pub(crate) what: &'static str,
    /// 1 = all of it.
    pub(crate) used: f64,
}

/// How a community is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One machine with its own database, as it is installed.
    One,
    /// Servers, one PostgreSQL primary with a standby, three NATS nodes.
    Primary,
    /// Servers and as many primaries as it takes, logs spread over them.
    Primaries,
}

/// What people of a number need.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Needs {
    pub(crate) layout: Layout,
    /// At the busiest time.
    pub(crate) entries_s: f64,
    pub(crate) connections: f64,
    pub(crate) cores: f64,
    pub(crate) memory_bytes: f64,
    pub(crate) servers: f64,
    pub(crate) primaries: f64,
    /// All that the database keeps.
    pub(crate) disk_bytes: f64,
    /// Of it: what stays of expired entries.
    pub(crate) expired_bytes: f64,
    pub(crate) files_bytes: f64,
    /// Between servers: hints a second, and bytes a second that NATS sends in all.
    pub(crate) hints_s: f64,
    pub(crate) nats_bytes_s: f64,
    /// Until a server has looked at everything that its connections follow: what a lost hint costs at most, in s.
    pub(crate) look_s: f64,
    pub(crate) sent_bytes_month: f64,
    /// In €; codes are not in it.
    pub(crate) month: f64,
    /// Codes of everybody once, by text message, in €.
    pub(crate) text_messages: f64,
    /// The fullest first.
    pub(crate) bounds: Vec<Bound>,
}

/// Processor time of all servers together, in cores at the busiest time.
fn cores(costs: &Costs, habits: &Habits, devices: f64, entries_s: f64, connections: f64) -> f64 {
    let read =
        habits.readers * (habits.online * costs.push_us + (1.0 - habits.online) * costs.read_us);
    let connects_s = devices * habits.connects * habits.peak / DAY_S;
    let connect = habits.connections * costs.handshake_us + habits.conversations * costs.open_us;
    let pings_s = connections / PING_S;
    (entries_s * (costs.append_us + read) + connects_s * connect + pings_s * costs.ping_us) / 1e6
}

/// How many of what holds so much it takes.
fn some(need: f64, holds: f64) -> f64 {
    (need / holds).ceil().max(1.0)
}

/// One more than it takes, so that one may die.
fn servers(cores: f64, memory_bytes: f64, connections: f64, machines: &Machines) -> f64 {
    some(cores, machines.cores * machines.cores_used)
        .max(some(
            memory_bytes,
            machines.memory_bytes * machines.memory_used,
        ))
        .max(some(connections, machines.connections))
        + 1.0
}

/// What `people` need when they are served in this layout.
pub(crate) fn needs(
    people: f64,
    layout: Layout,
    costs: &Costs,
    habits: &Habits,
    machines: &Machines,
) -> Needs {
    let devices = people * habits.devices;
    let entries_day = people * habits.messages * (1.0 + habits.beside);
    let entries_s = entries_day / DAY_S * habits.peak;
    let connections = devices * habits.online * habits.connections;
    let cores = cores(costs, habits, devices, entries_s, connections);
    let memory_bytes = connections * costs.connection_bytes;
    let factor = match layout {
        Layout::One => 1.0,
        _ => machines.postgres_factor,
    };
    let kept = entries_day * habits.kept_days * costs.entry_bytes;
    let expired_days = habits.served_days - habits.kept_days;
    let expired_bytes = factor * entries_day * expired_days * costs.expired_bytes;
    let logs = people * habits.conversations / habits.people;
    let disk_bytes =
        expired_bytes + factor * (kept + logs * costs.log_bytes + devices * costs.account_bytes);
    let files_day = people * habits.messages * habits.files * habits.file_bytes;
    let files_bytes = files_day * habits.kept_days;
    let servers = match layout {
        Layout::One => 1.0,
        _ => servers(cores, memory_bytes, connections, machines),
    };
    let primaries = match layout {
        Layout::One => 0.0,
        Layout::Primary => 1.0,
        Layout::Primaries => {
            some(entries_s, machines.postgres_rate).max(some(disk_bytes, machines.postgres_bytes))
        }
    };
    let hints_s = if layout == Layout::One {
        0.0
    } else {
        entries_s
    };
    let followed = connections / habits.connections * habits.conversations;
    let look_s = if layout == Layout::One {
        0.0
    } else {
        followed / servers / LOOKED_S
    };
    let nats_bytes_s = hints_s * habits.hint_bytes * servers;
    let sent_day = entries_day * habits.readers * habits.wire_bytes + files_day * habits.loads;
    let sent_bytes_month = sent_day * 30.0;
    let nats = if layout == Layout::One { 0.0 } else { 3.0 };
    let month = servers * machines.server_month
        + primaries * 2.0 * machines.postgres_month
        + nats * machines.nats_month
        + files_bytes / 1e12 * machines.stored_terabyte
        + sent_bytes_month / 1e12 * machines.sent_terabyte;
    let mut needs = Needs {
        layout,
        entries_s,
        connections,
        cores,
        memory_bytes,
        servers,
        primaries,
        disk_bytes,
        expired_bytes,
        files_bytes,
        hints_s,
        nats_bytes_s,
        look_s,
        sent_bytes_month,
        month,
        text_messages: people * machines.text_message,
        bounds: Vec::new(),
    };
    needs.bounds = bounds(&needs, costs, machines);
    needs
}

/// What breaks first, the fullest first.
fn bounds(needs: &Needs, costs: &Costs, machines: &Machines) -> Vec<Bound> {
    let bound = |what, used| Bound { what, used };
    let mut bounds = if needs.layout == Layout::One {
        vec![
            bound(
                "connections (`server.max_connections` as shipped, 20,000)",
                needs.connections / 20e3,
            ),
            bound("processors", needs.cores / machines.cores),
            bound("memory", needs.memory_bytes / machines.memory_bytes),
            bound(
                "writes of the one database",
                needs.entries_s / costs.store_rate,
            ),
            bound("disk of 1 TB, without files", needs.disk_bytes / 1e12),
            bound(
                "quota of files as shipped, 10 GiB",
                needs.files_bytes / 10.7e9,
            ),
        ]
    } else {
        let each = needs.primaries.max(1.0);
        vec![
            bound(
                "writes of a primary",
                needs.entries_s / each / machines.postgres_rate,
            ),
            bound(
                "disk of a primary",
                needs.disk_bytes / each / machines.postgres_bytes,
            ),
            bound(
                "connections of the servers to each primary",
                needs.servers * machines.postgres_each / machines.postgres_connections,
            ),
            bound(
                "hints, when every server hears all: sent by three NATS nodes",
                needs.nats_bytes_s / 3.0 / machines.nats_bytes,
            ),
        ]
    };
    bounds.sort_by(|a, b| b.used.total_cmp(&a.used));
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Costs = Costs {
        append_us: 40.0,
        push_us: 10.0,
        read_us: 5.0,
        ping_us: 10.0,
        handshake_us: 300.0,
        open_us: 60.0,
        connection_bytes: 20e3,
        entry_bytes: 600.0,
        expired_bytes: 100.0,
        log_bytes: 400.0,
        account_bytes: 70e3,
        packages_bytes: 54e3,
        syncs: 0.03,
        store_rate: 20e3,
    };

    /// Twice the people need twice of everything that is not counted in whole machines.
    #[test]
    fn needs_grow_with_people() {
        let of = |people| needs(people, Layout::Primaries, &COSTS, &HABITS, &MACHINES);
        let (once, twice) = (of(1e6), of(2e6));
        for part in [
            |needs: &Needs| needs.entries_s,
            |needs: &Needs| needs.cores,
            |needs: &Needs| needs.memory_bytes,
            |needs: &Needs| needs.disk_bytes,
            |needs: &Needs| needs.sent_bytes_month,
        ] {
            assert!((part(&twice) / part(&once) - 2.0).abs() < 1e-9);
        }
        assert!(twice.servers <= 2.0 * once.servers && twice.primaries <= 2.0 * once.primaries);
    }

    /// By hand: 1 million people write 64 million entries a day, 2,222 in the busiest second, and 30 days of
    /// them take 1.15 TB in SQLite and a quarter more in PostgreSQL.
    #[test]
    fn a_million_by_hand() {
        let needs = needs(1e6, Layout::Primary, &COSTS, &HABITS, &MACHINES);
        assert!((needs.entries_s - 2_222.0).abs() < 1.0, "{needs:?}");
        let kept = 64e6 * 30.0 * 600.0;
        let rest = 64e6 * 335.0 * 100.0 + 12.5e6 * 400.0 + 1.6e6 * 70e3;
        assert!((needs.disk_bytes / (1.25 * (kept + rest)) - 1.0).abs() < 1e-9);
        assert!((needs.connections - 1.6e6).abs() < 1.0);
    }

    /// What is fullest stands first, and enough primaries are never fuller than they were planned.
    #[test]
    fn the_first_to_break_stands_first() {
        for (people, layout) in [(1e4, Layout::One), (1e8, Layout::Primaries)] {
            let bounds = needs(people, layout, &COSTS, &HABITS, &MACHINES).bounds;
            assert!(bounds.is_sorted_by(|a, b| a.used >= b.used), "{bounds:?}");
            let of = |what: &str| bounds.iter().find(|bound| bound.what.starts_with(what));
            if layout == Layout::Primaries {
                assert!(of("writes").is_some_and(|bound| bound.used <= 1.0));
                assert!(of("disk").is_some_and(|bound| bound.used <= 1.0));
            }
        }
    }
}
