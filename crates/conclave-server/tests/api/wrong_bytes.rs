//! Bytes of every wrong size and shape: each gets an answer or a reasoned end, and harms nobody else.

use conclave_proto::ErrorCode;
use conclave_proto::codec::encode_frame;
use conclave_proto::frame::{Ping, Reply, Request, reply, request::Body};
use conclave_proto::hello::Role;
use conclave_proto::limits::FRAME_BYTES_MAX;
use tokio::io::AsyncWriteExt as _;

use super::support::{Client, World};

const PING: Body = Body::Ping(Ping {});
const ROLES: [Role; 5] = [
    Role::Account,
    Role::Directory,
    Role::Post,
    Role::Logs,
    Role::Blobs,
];
/// Every tag of a request, and some that are none.
const TAGS: [u64; 31] = [
    2, 9, 10, 11, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 40, 41, 42, 50, 51, 60, 61, 62,
    63, 64, 65, 66, 67, 70, 5000,
];

/// A frame around `body`, whatever it is.
fn frame(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    [&length.to_be_bytes()[..], body].concat()
}

/// A ping in a body of exactly `bytes`: the rest is a field that nobody knows.
fn ping_of(bytes: usize) -> Vec<u8> {
    let mut body = encode_frame(&Request {
        id: 1,
        body: Some(PING),
    })
    .unwrap()
    .split_off(4);
    // field 1000, a length in five bytes
    body.extend([0xc2, 0x3e]);
    let rest = bytes - body.len() - 5;
    let digit = |shift: usize| u8::try_from(rest >> shift & 0x7f).unwrap();
    body.extend([
        digit(0) | 0x80,
        digit(7) | 0x80,
        digit(14) | 0x80,
        digit(21) | 0x80,
        digit(28),
    ]);
    body.resize(bytes, 0);
    body
}

/// What the server says last before it ends the connection.
async fn last_word(client: &mut Client) -> ErrorCode {
    let reply: Reply = client.frame().await.expect("a reason");
    let Some(reply::Body::Refused(refusal)) = reply.body else {
        panic!("{reply:?}")
    };
    assert_eq!(reply.id, 0);
    assert_eq!(client.frame::<Reply>().await, None);
    refusal.code()
}

/// Frames of length 0 and of one byte, of the limit exactly, one more, the greatest length there is: an
/// answer or a reason.
#[tokio::test]
async fn c004_frames_of_every_size() {
    let world = World::new().await;
    let mut client = world.connect(Role::Logs).await;
    // nothing at all is a request without an id
    client.raw(&frame(&[])).await;
    let refused = client.push().await;
    assert!(matches!(refused, reply::Body::Refused(no) if no.code() == ErrorCode::BadRequest));
    client.raw(&frame(&ping_of(FRAME_BYTES_MAX))).await;
    assert!(client.reply(1).await.is_ok());
    client.raw(&frame(&[0xff])).await;
    assert_eq!(last_word(&mut client).await, ErrorCode::BadRequest);
    for length in [
        u32::try_from(FRAME_BYTES_MAX).unwrap() + 1,
        1 << 31,
        u32::MAX,
    ] {
        let mut client = world.connect(Role::Logs).await;
        client.raw(&length.to_be_bytes()).await;
        client.raw(&[0; 64]).await;
        assert_eq!(
            last_word(&mut client).await,
            ErrorCode::TooLarge,
            "{length}"
        );
    }
}

/// A frame or its length cut off by the end of the connection does nothing, and what was whole before it
/// is answered.
#[tokio::test]
async fn c004_frames_cut_off() {
    let world = World::new().await;
    let whole = frame(&ping_of(300));
    for cut in [1, 2, 3, 4, 5, 299] {
        let mut client = world.connect(Role::Logs).await;
        client.raw(&[&whole[..], &whole[..cut]].concat()).await;
        assert!(client.reply(1).await.is_ok());
        client.stream.shutdown().await.unwrap();
        assert_eq!(client.frame::<Reply>().await, None, "{cut}");
    }
}

/// Random bytes in whole frames, from a printed seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> usize {
        usize::try_from(self.next() % end).unwrap()
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let length = self.below(most + 1);
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// Protobuf that is well-formed on the outside: fields of low numbers, of any kind.
    fn message(&mut self, depth: u32) -> Vec<u8> {
        let mut message = Vec::new();
        for _ in 0..self.below(5) {
            let number = 1 + self.next() % 6;
            match self.below(3) {
                0 => {
                    varint(number << 3, &mut message);
                    let bits = self.next() % 64;
                    varint(self.next() >> bits, &mut message);
                }
                1 if depth > 0 => field(number, &self.message(depth - 1), &mut message),
                _ => {
                    let most = [0, 16, 32, 64, 300][self.below(5)];
                    field(number, &self.bytes(most), &mut message);
                }
            }
        }
        message
    }
}

fn varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(0x80 | u8::try_from(value & 0x7f).unwrap());
        value >>= 7;
    }
    to.push(u8::try_from(value).unwrap());
}

fn field(number: u64, bytes: &[u8], to: &mut Vec<u8>) {
    varint(number << 3 | 2, to);
    varint(u64::try_from(bytes.len()).unwrap(), to);
    to.extend(bytes);
}

/// Random bytes as whole frames: an answer or a reason each time, never a silent end, which is what a
/// panic would look like.
#[tokio::test]
async fn random_frames_are_answered_or_refused() {
    let world = World::new().await;
    for seed in 1..=200 {
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let role = ROLES[chance.below(5)];
        let mut client = world.connect(role).await;
        client.raw(&frame(&chance.bytes(200))).await;
        let reply: Option<Reply> = client.frame().await;
        let refused = reply.and_then(|reply| reply.body);
        assert!(
            matches!(refused, Some(reply::Body::Refused(_))),
            "seed {seed}"
        );
    }
    world.connect(Role::Logs).await.ask(PING).await.unwrap();
}

/// Requests of every kind and of none, on every role, with contents that are well-formed and wrong: each
/// gets one answer under its number, and the connection goes on unless the bytes were no message.
#[tokio::test]
async fn wrong_contents_of_every_request_are_answered() {
    let world = World::new().await;
    let person = world.person().await;
    for role in ROLES {
        let mut chance = Chance(0xc0ff_ee00 + u64::from(role as u32));
        let mut client = connect(&world, role, &person).await;
        for round in 0..10 {
            for tag in TAGS {
                let mut body = vec![0x08, 1];
                field(tag, &chance.message(2), &mut body);
                client.raw(&frame(&body)).await;
                let place = format!("{role:?}, round {round}, tag {tag}");
                let reply: Reply = client.frame().await.expect(&place);
                if reply.id == 0 {
                    assert!(
                        matches!(reply.body, Some(reply::Body::Refused(_))),
                        "{place}"
                    );
                    client = connect(&world, role, &person).await;
                }
            }
        }
    }
}

async fn connect(world: &World, role: Role, person: &super::support::Person) -> Client {
    match role {
        Role::Account => world.account(person).await,
        role => world.connect(role).await,
    }
}
