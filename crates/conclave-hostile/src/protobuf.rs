//! Protobuf messages with one field wrong: left out, told twice, empty, half, too long, zero or as large as can be.

/// One field of an encoded message.
struct Field {
    start: usize,
    value: usize,
    end: usize,
    /// 0 = varint, 2 = bytes; ours have no others.
    wire: u64,
}

/// Every message that differs from `message` in one field, fields of nested messages included.
pub fn wrong_fields(message: &[u8]) -> Vec<Vec<u8>> {
    let mut wrong = Vec::new();
    for field in fields(message).unwrap_or_default() {
        let (before, after) = (&message[..field.start], &message[field.end..]);
        let whole = &message[field.start..field.end];
        wrong.push([before, after].concat());
        wrong.push([before, whole, whole, after].concat());
        let key = &whole[..field.value - field.start];
        if field.wire == 0 {
            for value in [0, 1, u64::from(u32::MAX), u64::MAX] {
                wrong.push([before, key, &varint(value), after].concat());
            }
            continue;
        }
        let (_, length_bytes) = read_varint(&message[field.value..]).expect("a length");
        let value = &message[field.value + length_bytes..field.end];
        let mut changed = vec![vec![], value[..value.len() / 2].to_vec(), vec![0; 70_000]];
        changed.push([value, &[0]].concat());
        changed.push(value.iter().map(|byte| !byte).collect());
        changed.extend(wrong_fields(value));
        wrong.extend(changed.iter().map(|value| {
            let length = varint(u64::try_from(value.len()).unwrap());
            [before, key, &length, value, after].concat()
        }));
    }
    wrong
}

/// The fields of a message; `None` when it is none.
fn fields(message: &[u8]) -> Option<Vec<Field>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < message.len() {
        let start = at;
        let (key, bytes) = read_varint(&message[at..])?;
        at += bytes;
        let value = at;
        let (number, bytes) = read_varint(&message[at..])?;
        at += bytes;
        match key & 7 {
            0 => {}
            2 => at = at.checked_add(usize::try_from(number).ok()?)?,
            _ => return None,
        }
        if key < 8 || at > message.len() {
            return None;
        }
        found.push(Field {
            start,
            value,
            end: at,
            wire: key & 7,
        });
    }
    Some(found)
}

fn read_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (place, byte) in bytes.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((value, place + 1));
        }
    }
    None
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}

#[cfg(test)]
mod tests {
    use super::wrong_fields;

    /// A nested message's fields are met too, and none of what comes out is what went in.
    #[test]
    fn every_field_is_met() {
        // 1: 5, 2: { 1: "ab" }
        let message = [0x08, 5, 0x12, 4, 0x0a, 2, b'a', b'b'];
        let wrong = wrong_fields(&message);
        assert!(wrong.iter().all(|other| other != &message));
        assert!(
            wrong.contains(&vec![0x12, 4, 0x0a, 2, b'a', b'b']),
            "1 is left out"
        );
        assert!(
            wrong.contains(&vec![0x08, 5, 0x12, 3, 0x0a, 1, b'a']),
            "half of 2.1"
        );
    }
}
