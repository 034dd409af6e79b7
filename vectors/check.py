#!/usr/bin/env python3
"""Checks every vector in this folder from docs/protocol.md alone, and that each forgery of it fails.

Usage: check.py [FOLDER]. Needs Python 3.9 and `cryptography` (requirements.txt).
"""

import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

BUCKETS = [256, 512] + [1024 << n for n in range(9)]
checks = 0


def check(holds, what):
    """Counts one check and stops at the first that fails."""
    global checks
    checks += 1
    if not holds:
        sys.exit(f"FAILED: {what}")


def refused(work, what):
    """`work` must not succeed."""
    try:
        result = work()
    except (Bad, InvalidSignature, InvalidTag, ValueError, KeyError):
        result = False
    check(not result, f"{what} was accepted")


class Bad(Exception):
    """Bytes that are not what they should be."""


# --- numbers, vectors, hashes ---------------------------------------------------------------------


def u(size, number):
    return number.to_bytes(size, "big")


def vec(data):
    """`<V>` of RFC 9420 section 2.1.2: the length in 1, 2 or 4 bytes, the shortest that holds it."""
    n = len(data)
    if n < 1 << 6:
        return u(1, n) + data
    if n < 1 << 14:
        return u(2, n | 1 << 14) + data
    return u(4, n | 2 << 30) + data


def labelled(label, content):
    return vec(b"conclave/1 " + label.encode()) + vec(content)


def h(label, content):
    return hashlib.sha256(labelled(label, content)).digest()


def sha256(data):
    return hashlib.sha256(data).digest()


def hexed(text):
    return bytes.fromhex(text)


def ident(text):
    """The bytes of an id in text: one letter, `_`, lower-case hex."""
    letter, _, digits = text.partition("_")
    if len(letter) != 1 or digits != digits.lower():
        raise Bad(text)
    return bytes.fromhex(digits)


class Reader:
    """Reads an object from its beginning; `end` makes sure that nothing is left."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        part = self.data[self.at : self.at + n]
        if len(part) != n:
            raise Bad("too short")
        self.at += n
        return part

    def u(self, size):
        return int.from_bytes(self.take(size), "big")

    def vec(self):
        first = self.u(1)
        size = 1 << (first >> 6)
        if size == 8:
            raise Bad("length of eight bytes")
        n = (first & 0x3F) << 8 * (size - 1) | self.u(size - 1)
        if (size == 2 and n < 1 << 6) or (size == 4 and n < 1 << 14):
            raise Bad("not the shortest length")
        return self.take(n)

    def since(self, start):
        return self.data[start : self.at]

    def end(self):
        if self.at != len(self.data):
            raise Bad("trailing bytes")


# --- signatures -----------------------------------------------------------------------------------


def ed25519(key, signature, message):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        return True
    except (InvalidSignature, ValueError):
        return False


def mldsa65(key, signature, message):
    try:
        MLDSA65PublicKey.from_public_bytes(key).verify(signature, message)
        return True
    except (InvalidSignature, ValueError):
        return False


def read_identity(r):
    start = r.at
    suite, classical, quantum = r.u(2), r.take(32), r.vec()
    if suite != 2 or len(quantum) != 1952:
        raise Bad("identity key")
    return {"ed25519": classical, "mldsa65": quantum, "encoded": r.since(start)}


def identity(data):
    r = Reader(data)
    key = read_identity(r)
    r.end()
    return key


def fingerprint(key):
    return h("identity-fingerprint", key["encoded"])


def both_hold(key, signature, label, content):
    message = labelled(label, content)
    classical, quantum = signature
    return ed25519(key["ed25519"], classical, message) and mldsa65(key["mldsa65"], quantum, message)


# --- the objects ----------------------------------------------------------------------------------


def read_cert(r):
    start = r.at
    cert = {
        "suite": r.u(2),
        "identity_fingerprint": r.take(32),
        "server_id": r.take(32),
        "account_id": r.take(16),
        "generation": r.u(4),
        "device_id": r.take(16),
        "leaf_key": r.take(32),
        "inbox_key": r.vec(),
        "role": r.u(1),
        "not_before_ms": r.u(8),
        "not_after_ms": r.u(8),
    }
    cert["content"] = r.since(start)
    cert["signature"] = (r.vec(), r.vec())
    possession = r.vec()
    cert["possession"], former = possession[:64], possession[64:]
    cert["former"] = [former[at : at + 32] for at in range(0, len(former), 32)]
    cert["encoded"] = r.since(start)
    cert["proof"] = cert["server_id"] + cert["account_id"] + cert["device_id"]
    cert["proof"] += cert["leaf_key"] + vec(cert["inbox_key"])
    if cert["suite"] != 2 or len(cert["inbox_key"]) != 1216 or cert["role"] not in (1, 2):
        raise Bad("certificate")
    keys = cert["former"] + [cert["leaf_key"]]
    if len(former) % 32 or len(keys) > 5 or len(set(keys)) != len(keys):
        raise Bad("former leaf keys")
    return cert


def cert_holds(cert, key):
    possession = labelled("device-cert-possession", cert["proof"])
    return (
        cert["identity_fingerprint"] == fingerprint(key)
        and both_hold(key, cert["signature"], "device-cert", cert["content"])
        and ed25519(cert["leaf_key"], cert["possession"], possession)
    )


def read_state(r):
    start = r.at
    state = {
        "suite": r.u(2),
        "server_id": r.take(32),
        "account_id": r.take(16),
        "generation": r.u(4),
        "seq": r.u(8),
        "prev_hash": r.take(32),
        "issued_ms": r.u(8),
        "identity": read_identity(r),
    }
    former = Reader(r.vec())
    state["former"] = []
    while former.at < len(former.data):
        state["former"].append(former.take(32))
    devices = Reader(r.vec())
    state["devices"] = []
    while devices.at < len(devices.data):
        state["devices"].append((devices.take(16), devices.take(32)))
    state["recovery_key_hash"] = r.take(32)
    state["flags"] = r.u(4)
    state["content"] = r.since(start)
    state["signature"] = (r.vec(), r.vec())
    state["named"] = r.since(start)
    present = r.u(1)
    if present > 1:
        raise Bad("neither with nor without a rotation")
    state["rotation"] = (r.vec(), r.vec()) if present else None
    state["encoded"] = r.since(start)
    if state["suite"] != 2:
        raise Bad("state")
    return state


def state_holds(state):
    ids = [device for device, _ in state["devices"]]
    return (
        len(ids) <= 10
        and ids == sorted(set(ids))
        and state["seq"] >= 1
        and (state["seq"] == 1) == (state["prev_hash"] == bytes(32))
        and state["flags"] in (0, 1)
        and len(state["former"]) <= 16
        and len(set(keys_used(state))) == len(keys_used(state))
        and not (state["former"] and state["seq"] == 1)
        and not (state["rotation"] and not state["former"])
        and both_hold(state["identity"], state["signature"], "account-state", state["content"])
    )


def keys_used(state):
    return state["former"] + [fingerprint(state["identity"])]


def follows(first, second):
    same = ("server_id", "account_id", "generation")
    if not (
        all(first[name] == second[name] for name in same)
        and second["seq"] == first["seq"] + 1
        and second["prev_hash"] == h("account-state-hash", first["named"])
    ):
        return False
    if first["identity"] == second["identity"]:
        return first["former"] == second["former"] and second["rotation"] is None
    return (
        second["former"] == keys_used(first)[-16:]
        and fingerprint(second["identity"]) not in keys_used(first)
        and second["rotation"] is not None
        and both_hold(first["identity"], second["rotation"], "account-state-rotation", second["content"])
    )


def whole(read, data):
    r = Reader(data)
    value = read(r)
    r.end()
    return value


def read_intro(r):
    start = r.at
    intro = {
        "version": r.u(1),
        "recipient_account": r.take(16),
        "recipient_device": r.take(16),
        "log_id": r.take(32),
        "day": r.u(4),
        "name": r.vec().decode(),
        "identifier": r.vec().decode(),
        "capability": r.take(32),
        "first": None,
    }
    present = r.u(1)
    if intro["version"] != 1 or present > 1:
        raise Bad("intro")
    if present:
        intro["first"] = {"message_id": r.take(16), "sent_ms": r.u(8), "body": r.vec().decode()}
    intro["state"], intro["cert"] = read_state(r), read_cert(r)
    intro["content"] = r.since(start)
    intro["signature"] = r.vec()
    return intro


def intro_holds(intro):
    state, cert = intro["state"], intro["cert"]
    listed = (cert["device_id"], h("device-cert-hash", cert["encoded"])) in state["devices"]
    same = all(cert[name] == state[name] for name in ("server_id", "account_id", "generation"))
    return (
        state_holds(state)
        and cert_holds(cert, state["identity"])
        and listed
        and same
        and ed25519(cert["leaf_key"], intro["signature"], labelled("intro", intro["content"]))
    )


def safety_half(key):
    digest = hashlib.sha512(labelled("safety-number", key)).digest()
    for _ in range(5199):
        digest = hashlib.sha512(digest + key).digest()
    fives = [digest[5 * n : 5 * n + 5] for n in range(6)]
    return "".join(f"{int.from_bytes(five, 'big') % 100_000:05}" for five in fives)


def chain_step(before, seq, epoch, kind, payload):
    number = {"commit": 1, "message": 2}[kind]
    return sha256(before + u(8, seq) + u(8, epoch) + u(1, number) + sha256(payload))


# --- protobuf, as far as contents need it ---------------------------------------------------------


def varint(data, at):
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Bad("varint")
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def fields(data):
    """Field number to the list of its values: numbers, or bytes."""
    found, at = {}, 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
        elif tag & 7 == 2:
            n, at = varint(data, at)
            value, at = data[at : at + n], at + n
            if len(value) != n:
                raise Bad("too short")
        else:
            raise Bad("wire type")
        found.setdefault(tag >> 3, []).append(value)
    return found


def one(found, number, default):
    return found.get(number, [default])[-1]


def target_fields(inner):
    """The message that an act names."""
    named = fields(one(inner, 1, b""))
    return {"sender": "a_" + one(named, 1, b"").hex(), "message_id": "m_" + one(named, 2, b"").hex()}


def mention_fields(data):
    mention = fields(data)
    account = "a_" + one(mention, 3, b"").hex()
    return {"start": one(mention, 1, 0), "length": one(mention, 2, 0), "account": account}


def act_fields(number, inner):
    """Kinds 21 to 26: what people do to a message or a chat."""
    if number == 25:
        return "timer", {"seconds": one(inner, 1, 0)}
    name = {21: "reaction", 22: "edit", 23: "delete", 26: "pin"}.get(number)
    found = {"target": target_fields(inner)}
    if number == 21:
        found["emoji"] = one(inner, 2, b"").decode()
    if number == 22:
        found["body"] = one(inner, 2, b"").decode()
        found["mentions"] = [mention_fields(data) for data in inner.get(3, [])]
    if number == 26:
        found["pinned"] = one(inner, 2, 0) == 1
    return name, found


def text_fields(inner):
    """Words, and what comes with them as far as it is there."""
    shown = {"body": one(inner, 1, b"").decode()}
    if 2 in inner:
        shown["reply_to"] = target_fields({1: inner[2]})
    if 4 in inner:
        shown["mentions"] = [mention_fields(data) for data in inner[4]]
    if 5 in inner:
        shown["forwarded"] = one(inner, 5, 0) == 1
    if 6 in inner:
        shown["expires_s"] = one(inner, 6, 0)
    if 7 in inner:
        shown["attachments"] = [file_fields(fields(data)) for data in inner[7]]
    if 8 in inner:
        card = fields(one(inner, 8, b""))
        shown["contact"] = {"identifier": one(card, 1, b"").decode(), "name": one(card, 2, b"").decode()}
    return shown


def file_fields(file):
    words = {"name": one(file, 2, b"").decode(), "media_type": one(file, 3, b"").decode()}
    numbers = {"length": one(file, 4, 0), "width": one(file, 6, 0), "height": one(file, 7, 0)}
    return {"pointer": one(file, 1, b"").hex(), "preview": one(file, 5, b"").hex(), **words, **numbers}


def kind_fields(number, inner):
    if 21 <= number <= 26:
        return act_fields(number, inner)
    if number == 16:
        return "text", text_fields(inner)
    if number == 17:
        mark = one(inner, 3, b"").hex()
        up_to = {"delivered_up_to": one(inner, 1, 0), "read_up_to": one(inner, 2, 0)}
        return "receipt", {**up_to, "hash": "h_" + mark}
    if number == 18:
        profile = {"name": one(inner, 1, b"").decode(), "capability": one(inner, 2, b"").hex()}
        return "profile", {**profile, **({"picture": one(inner, 3, b"").hex()} if 3 in inner else {})}
    if number == 19:
        states, certs = inner.get(1, []), inner.get(2, [])
        return "account_update", {"states": [s.hex() for s in states], "certs": [c.hex() for c in certs]}
    return ("leave", {}) if number == 20 else ("unknown", None)


def padded_length(length):
    """Content bytes that fill the smallest bucket: less 82 for signature and tag, less the length's own."""
    rooms = [bucket - 84 if bucket - 84 < 1 << 14 else bucket - 86 for bucket in BUCKETS]
    return next(room for room in rooms if length + 4 <= room)


# --- PKCS#8 under PBES2 ---------------------------------------------------------------------------


def der(data, tag):
    """The content of the one DER element that `data` begins with, and what follows it."""
    if data[0] != tag:
        raise Bad(f"tag {data[0]:02x}, not {tag:02x}")
    n, at = data[1], 2
    if n >= 0x80:
        size = n & 0x7F
        n, at = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
    return data[at : at + n], data[at + n :]


def decrypted_seed(block, passphrase, algorithm, prefix):
    outer, _ = der(block, 0x30)
    scheme, rest = der(outer, 0x30)
    sealed, _ = der(rest, 0x04)
    pbes2, params = der(scheme, 0x06)
    kdf, cipher = der(der(params, 0x30)[0], 0x30)
    pbkdf2, kdf = der(kdf, 0x06)
    salt, kdf = der(der(kdf, 0x30)[0], 0x04)
    rounds, prf = der(kdf, 0x02)
    aes, iv = der(der(cipher, 0x30)[0], 0x06)
    hmac, _ = der(der(prf, 0x30)[0], 0x06)
    oids = [pbes2.hex(), pbkdf2.hex(), hmac.hex(), aes.hex()]
    wanted = ["2a864886f70d01050d", "2a864886f70d01050c", "2a864886f70d0209", "60864801650304012a"]
    rounds = int.from_bytes(rounds, "big")
    if oids != wanted or rounds != 600_000 or len(salt) != 16:
        raise Bad("another scheme")
    key = hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, rounds, 32)
    opener = Cipher(algorithms.AES(key), modes.CBC(der(iv, 0x04)[0])).decryptor()
    plain = opener.update(sealed) + opener.finalize()
    if plain[-1] not in range(1, 17) or plain[-plain[-1] :] != bytes([plain[-1]]) * plain[-1]:
        raise Bad("wrong passphrase")
    info, _ = der(plain[: -plain[-1]], 0x30)
    version, info = der(info, 0x02)
    oid, info = der(info, 0x30)
    inner, _ = der(info, 0x04)
    if version != b"\0" or der(oid, 0x06)[0].hex() != algorithm or inner[:2] != prefix:
        raise Bad("another key")
    return inner[2:]


# --- the files ------------------------------------------------------------------------------------


def tampered(data):
    """The same bytes with one changed, at places from the first to the last."""
    for place in sorted({0, 1, 40, len(data) // 2, len(data) - 40, len(data) - 1}):
        if 0 <= place < len(data):
            yield data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def device_cert(v):
    key, data = identity(hexed(v["identity_key"])), hexed(v["encoded"])
    cert = whole(read_cert, data)
    check(cert_holds(cert, key), "certificate")
    for name in ("suite", "generation", "role", "not_before_ms", "not_after_ms"):
        check(cert[name] == v[name], name)
    for name in ("identity_fingerprint", "server_id", "account_id", "device_id"):
        check(cert[name] == ident(v[name]), name)
    for name in ("leaf_key", "inbox_key", "content"):
        check(cert[name] == hexed(v[name]), name)
    check(h("device-cert-hash", data) == ident(v["hash"]), "certificate hash")
    for forged in tampered(data):
        refused(lambda: cert_holds(whole(read_cert, forged), key), "changed certificate")
    refused(lambda: whole(read_cert, data + b"\0"), "certificate with a trailing byte")
    other = dict(key, mldsa65=bytes(1952))
    refused(lambda: both_hold(other, cert["signature"], "device-cert", cert["content"]), "half a signature")
    refused(lambda: both_hold(key, cert["signature"], "account-state", cert["content"]), "another label")
    data, shown = hexed(v["rekeyed"]["encoded"]), v["rekeyed"]
    cert = whole(read_cert, data)
    check(cert_holds(cert, key), "certificate of a device with another leaf key")
    check(cert["former"] + [cert["leaf_key"]] == [hexed(one) for one in shown["leaf_keys"]], "leaf keys")
    check(cert["former"] == [hexed(v["leaf_key"])], "former leaf key")
    check(h("device-cert-hash", data) == ident(shown["hash"]), "certificate hash")


def account_state(v):
    states = [whole(read_state, hexed(state["encoded"])) for state in v["states"]]
    for state, shown in zip(states, v["states"]):
        check(state_holds(state), "state")
        for name in ("suite", "generation", "seq", "issued_ms", "flags"):
            check(state[name] == shown[name], name)
        for name in ("server_id", "account_id", "prev_hash", "recovery_key_hash"):
            check(state[name] == ident(shown[name]), name)
        listed = [(ident(d["device_id"]), ident(d["cert_hash"])) for d in shown["devices"]]
        check(state["devices"] == listed, "devices")
        check(state["former"] == [ident(key) for key in shown["former"]], "former keys")
        check(h("account-state-hash", state["named"]) == ident(shown["hash"]), "state hash")
        for forged in tampered(state["named"]):
            rest = state["encoded"][len(state["named"]) :]
            refused(lambda: state_holds(whole(read_state, forged + rest)), "changed state")
    first, second, third = states
    check(follows(first, second) and follows(second, third), "chain of states")
    refused(lambda: follows(second, first) or follows(third, second), "chain of states backwards")
    check(second["rotation"] is None and third["rotation"] is not None, "who signs for a new key")
    refused(lambda: follows(second, dict(third, rotation=None)), "a new key that nobody signed for")
    refused(lambda: follows(second, dict(third, rotation=third["signature"])), "a new key that signs for itself")


def credential(v):
    data = u(1, v["version"]) + ident(v["account_id"]) + ident(v["device_id"])
    data += u(8, v["account_seq"]) + ident(v["identity_fingerprint"])
    check(data == hexed(v["encoded"]) and len(data) == 73, "credential")


def safety_number(v):
    keys = [hexed(key) for key in v["identity_keys"]]
    prints = [fingerprint(identity(key)) for key in keys]
    check(prints == [ident(text) for text in v["fingerprints"]], "fingerprints")
    check("".join(sorted(map(safety_half, keys))) == v["digits"], "digits")
    check(" ".join(v["digits"][n : n + 5] for n in range(0, 60, 5)) == v["shown"], "shown")
    check(b"\1" + b"".join(sorted(prints)) == hexed(v["qr_payload"]), "picture")
    other = keys[0][:-1] + bytes([keys[0][-1] ^ 1])
    refused(lambda: safety_half(other) in v["digits"], "another key's digits")


def key_export(v):
    blocks = v["pem"].split("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")[1:]
    blocks = [base64.b64decode(b.split("\n-----END ENCRYPTED PRIVATE KEY-----\n")[0]) for b in blocks]
    kinds = [("2b6570", b"\x04\x20"), ("608648016503040312", b"\x80\x20")]
    check(len(blocks) == 2, "two blocks")
    first, second = (decrypted_seed(b, v["passphrase"], *kind) for b, kind in zip(blocks, kinds))
    check([first.hex(), second.hex()] == [v["ed25519_seed"], v["mldsa65_seed"]], "seeds")
    classical = Ed25519PrivateKey.from_private_bytes(first).public_key()
    quantum = MLDSA65PrivateKey.from_seed_bytes(second).public_key()
    raw = [key.public_bytes(Encoding.Raw, PublicFormat.Raw) for key in (classical, quantum)]
    key = u(2, 2) + raw[0] + vec(raw[1])
    check(key == hexed(v["identity_key"]), "public key of the seeds")
    check(fingerprint(identity(key)) == ident(v["fingerprint"]), "fingerprint")
    refused(lambda: decrypted_seed(blocks[0], v["passphrase"] + "x", *kinds[0]) == first, "wrong passphrase")
    refused(lambda: decrypted_seed(blocks[1], v["passphrase"], *kinds[0]), "blocks in another order")


def content(v):
    for shown in v["contents"]:
        data = hexed(shown["protobuf"])
        found = fields(data)
        for number, name in [(1, "version"), (3, "sent_ms"), (4, "seen_seq"), (6, "state_seq")]:
            check(one(found, number, 0) == shown[name], name)
        check(one(found, 2, b"") == ident(shown["message_id"]), "message id")
        check(one(found, 5, b"") == ident(shown["seen_hash"]), "seen hash")
        state_hash = shown["state_hash"]
        check(one(found, 7, b"") == (ident(state_hash) if state_hash else b""), "state hash")
        kinds = [number for number in found if number >= 16]
        check(len(kinds) == 1, "one kind")
        kind = kind_fields(kinds[0], fields(one(found, kinds[0], b"")))
        check(kind == (shown["kind"], shown["fields"]), shown["kind"])
        check(padded_length(len(data)) == shown["padded_bytes"], "padding")
        refused(lambda: fields(data[:-1]) == found, "cut content")


def intro(v):
    for shown in v["intros"]:
        data = hexed(shown["encoded"])
        read = whole(read_intro, data)
        check(intro_holds(read), "intro")
        for name in ("version", "day", "name", "identifier"):
            check(read[name] == shown[name], name)
        for name in ("recipient_account", "recipient_device", "log_id"):
            check(read[name] == ident(shown[name]), name)
        check(read["capability"] == hexed(shown["capability"]), "capability")
        first = shown["first"] and dict(shown["first"], message_id=ident(shown["first"]["message_id"]))
        check(read["first"] == first, "first words")
        check(read["state"]["encoded"] == hexed(shown["state"]), "state of the intro")
        check(read["cert"]["encoded"] == hexed(shown["cert"]), "certificate of the intro")
        for forged in tampered(data):
            refused(lambda: intro_holds(whole(read_intro, forged)), "changed intro")


def chain(v):
    server, log = ident(v["server_id"]), ident(v["log_id"])
    at = h("chain-start", server + log)
    check(at == ident(v["start"]), "start of the chain")
    for seq, entry in enumerate(v["entries"], 1):
        payload = hexed(entry["payload"])
        refused(lambda: chain_step(at, seq, entry["epoch"], entry["kind"], payload + b"x") == ident(entry["hash"]), "other payload")
        refused(lambda: chain_step(at, seq + 1, entry["epoch"], entry["kind"], payload) == ident(entry["hash"]), "other place")
        at = chain_step(at, seq, entry["epoch"], entry["kind"], payload)
        check(seq == entry["seq"] and at == ident(entry["hash"]), f"chain at {seq}")
    head = v["head"]
    data = u(8, head["epoch"]) + u(8, head["seq"]) + at + u(8, head["incarnation"])
    check(data == hexed(head["encoded"]), "head")
    key, signature = hexed(head["server_key"]), hexed(head["signature"])
    check(ed25519(key, signature, labelled("log-head", server + log + data)), "signed head")
    refused(lambda: ed25519(key, signature, labelled("log-head", log + server + data)), "head of another log")


def bundle_head(v):
    blobs = b"".join(ident(b["blob_id"]) + sha256(hexed(b["bytes"])) for b in v["blobs"])
    data = u(2, v["version"]) + ident(v["server_id"]) + ident(v["log_id"])
    data += u(8, v["base_epoch"]) + u(8, v["base_seq"]) + ident(v["base_hash"])
    data += sha256(hexed(v["commit"])) + hexed(v["next_access_key"]) + vec(blobs)
    data += u(1, v["retention_days"])
    check(data == hexed(v["encoded"]), "bundle head")
    signatures = [
        ("access_key", "old_signature", "bundle-old-epoch"),
        ("next_access_key", "new_signature", "bundle-new-epoch"),
        ("leaf_key", "binding_signature", "bundle-binding"),
    ]
    for key, signature, label in signatures:
        key, signature = hexed(v[key]), hexed(v[signature])
        check(ed25519(key, signature, labelled(label, data)), label)
        refused(lambda: ed25519(key, signature, labelled("intro", data)), "another label")
        for forged in tampered(data):
            refused(lambda: ed25519(key, signature, labelled(label, forged)), "changed head")


def connection_proof(v):
    log_fields = ident(v["log_id"]) + u(8, v["epoch"])
    check(log_fields == hexed(v["fields"]), "fields of the proof")
    data = ident(v["server_id"]) + hexed(v["client_nonce"]) + hexed(v["server_nonce"])
    data += vec(hexed(v["binding"])) + vec(v["purpose"].encode()) + vec(log_fields)
    check(labelled("connection-proof", data) == hexed(v["input"]), "input of the proof")
    key, proof = hexed(v["access_key"]), hexed(v["proof"])
    check(ed25519(key, proof, hexed(v["input"])), "proof")
    for forged in tampered(hexed(v["input"])):
        refused(lambda: ed25519(key, proof, forged), "proof of another connection")


def read_address(text):
    if not text.startswith("conclave://") or "@" not in text:
        raise Bad("scheme or pin")
    pin, _, place = text[len("conclave://") :].partition("@")
    host, _, port = place.rpartition(":")
    server = base64.urlsafe_b64decode(pin + "=")
    if len(pin) != 43 or not host or not 0 < int(port) < 1 << 16:
        raise Bad("pin, host or port")
    return server, host.strip("[]"), int(port)


def address(v):
    for shown in v["addresses"]:
        read = read_address(shown["text"])
        check(read == (ident(shown["server_id"]), shown["host"], shown["port"]), shown["text"])
    for text in v["refused"]:
        refused(lambda: read_address(text), text)


def unlinked(text, scheme):
    """The bytes of a link in text: base64url, without filling, in its one spelling."""
    body = text[len(scheme) :]
    data = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    if not text.startswith(scheme) or base64.urlsafe_b64encode(data).decode().rstrip("=") != body:
        raise Bad("link")
    return data


def read_group_link(r):
    link = {"version": r.u(1), "server_id": r.take(32), "log_id": r.take(32), "secret": r.take(32)}
    link["name"] = r.vec().decode()
    people = Reader(r.vec())
    link["people"] = []
    while people.at < len(people.data):
        link["people"].append(people.take(16))
    if link["version"] != 1 or not 1 <= len(link["people"]) <= 8 or len(link["name"].encode()) > 128:
        raise Bad("link of a group")
    return link


def group_link(v):
    read = whole(read_group_link, unlinked(v["text"], "conclave-group:"))
    for name in ("server_id", "log_id"):
        check(read[name] == ident(v[name]), name)
    check((read["secret"], read["name"]) == (hexed(v["secret"]), v["name"]), "secret and name")
    check(read["people"] == [ident(one) for one in v["people"]], "whom to ask")
    for text in v["refused"]:
        refused(lambda: whole(read_group_link, unlinked(text, "conclave-group:")), text)


def read_context(r):
    context = {"version": r.u(2), "kind": r.u(1), "server_id": r.take(32), "log_id": r.take(32), "min_version": r.u(2)}
    context["successor_of"] = r.take(32) if optional(r) else None
    context["name"] = r.vec().decode()
    roles = Reader(r.vec())
    context["roles"] = []
    while roles.at < len(roles.data):
        context["roles"].append((roles.take(16), roles.u(1)))
    context["link"] = r.take(32) if optional(r) else None
    accounts = [account for account, _ in context["roles"]]
    grouped = context["name"] or context["roles"] or context["link"]
    if (
        (context["version"], context["min_version"]) != (1, 1)
        or context["kind"] not in (1, 2, 3)
        or accounts != sorted(set(accounts))
        or any(role not in (1, 2) for _, role in context["roles"])
        or (grouped and context["kind"] != 2)
    ):
        raise Bad("context")
    return context


def optional(r):
    present = r.u(1)
    if present > 1:
        raise Bad("neither there nor absent")
    return present


def context(v):
    for shown in v["contexts"]:
        data = hexed(shown["encoded"])
        read = whole(read_context, data)
        for name in ("version", "kind", "min_version", "name"):
            check(read[name] == shown[name], name)
        for name in ("server_id", "log_id"):
            check(read[name] == ident(shown[name]), name)
        before = shown["successor_of"] and ident(shown["successor_of"])
        check(read["successor_of"] == before, "what it continues")
        check(read["roles"] == [(ident(account), role) for account, role in shown["roles"]], "roles")
        check(read["link"] == (shown["link"] and hexed(shown["link"])), "link")
        refused(lambda: whole(read_context, data + b"\0"), "context with a trailing byte")
        refused(lambda: whole(read_context, data[:-1]), "cut context")
    for encoded in v["refused"]:
        refused(lambda: whole(read_context, hexed(encoded)), "malformed context")


def read_offer(r):
    offer = {"version": r.u(1), "server_id": r.take(32), "device_id": r.take(16), "leaf_key": r.take(32)}
    offer |= {"inbox_key": r.vec(), "name": r.vec().decode(), "nonce": r.take(32)}
    if offer["version"] != 1 or len(offer["inbox_key"]) != 1216:
        raise Bad("offer")
    return offer


def read_answer(r):
    answer = {"version": r.u(1), "account_id": r.take(16), "secret": r.take(32)}
    if answer["version"] != 1:
        raise Bad("answer")
    return answer


def read_bundle(r):
    bundle = {"version": r.u(1), "identity_seeds": r.take(64), "state": read_state(r)}
    certs = Reader(r.vec())
    bundle["certs"] = []
    while certs.at < len(certs.data):
        bundle["certs"].append(read_cert(certs))
    bundle |= {"capability": r.take(32), "identifier": r.vec().decode(), "own_name": r.vec().decode()}
    bundle["history"] = r.vec()
    if bundle["version"] != 1:
        raise Bad("bundle")
    return bundle


def bundle_holds(bundle, offer, answer):
    """The state holds, is of the account and by the key, and lists the device with the keys that it offered."""
    state, certs, seeds = bundle["state"], bundle["certs"], bundle["identity_seeds"]
    keys = [Ed25519PrivateKey.from_private_bytes(seeds[:32]), MLDSA65PrivateKey.from_seed_bytes(seeds[32:])]
    classical, quantum = (key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) for key in keys)
    names = ("device_id", "leaf_key", "inbox_key")
    return (
        state_holds(state)
        and identity(u(2, 2) + classical + vec(quantum)) == state["identity"]
        and state["account_id"] == answer["account_id"]
        and state["server_id"] == offer["server_id"]
        and all(cert_holds(cert, state["identity"]) for cert in certs)
        and [(cert["device_id"], h("device-cert-hash", cert["encoded"])) for cert in certs] == state["devices"]
        and any(all(cert[name] == offer[name] for name in names) for cert in certs)
    )


def link(v):
    data = hexed(v["offer"])
    offer = whole(read_offer, data)
    for name in ("server_id", "device_id"):
        check(offer[name] == ident(v[name]), name)
    for name in ("leaf_key", "inbox_key"):
        check(offer[name] == hexed(v[name]), name)
    check(offer["name"] == v["name"], "name of the device")
    mailbox = h("link-offer", data)
    check(mailbox == ident(v["mailbox_id"]), "mailbox")
    check(unlinked(v["text"], "conclave-link:") == b"\x01" + offer["server_id"] + mailbox, "link")
    for forged in tampered(data):
        refused(lambda: h("link-offer", forged) == mailbox, "another offer")
    answer = whole(read_answer, hexed(v["answer"]))
    check(answer["account_id"] == ident(v["account_id"]), "account")
    check(answer["secret"] == hexed(v["secret"]), "secret")
    bound = mailbox + vec(v["code"].encode())
    check(bound + vec(b"") == hexed(v["answer_aad"]), "what an answer is bound to")
    check(bound + vec(answer["secret"]) == hexed(v["bundle_aad"]), "what a bundle is bound to")
    possession = offer["server_id"] + answer["account_id"] + offer["device_id"] + offer["leaf_key"]
    possession = labelled("device-cert-possession", possession + vec(offer["inbox_key"]))
    check(ed25519(offer["leaf_key"], hexed(v["proof"]), possession), "proof")
    bundle = whole(read_bundle, hexed(v["bundle"]))
    check(bundle_holds(bundle, offer, answer), "bundle")
    for name in ("identity_seeds", "capability", "history"):
        check(bundle[name] == hexed(v[name]), name)
    for name in ("identifier", "own_name"):
        check(bundle[name] == v[name], name)
    check(bundle["state"]["encoded"] == hexed(v["state"]), "state of the bundle")
    check([cert["encoded"].hex() for cert in bundle["certs"]] == v["certs"], "certificates of the bundle")
    refused(lambda: bundle_holds(bundle, dict(offer, leaf_key=bytes(32)), answer), "another device's bundle")
    refused(lambda: bundle_holds(bundle, offer, dict(answer, account_id=bytes(16))), "another account's bundle")
    swapped = dict(bundle, identity_seeds=bytes(64))
    refused(lambda: bundle_holds(swapped, offer, answer), "another key's bundle")


def sync_fields(number, inner):
    word = lambda n: one(inner, n, b"").decode()
    if number == 1:
        states = fields(one(inner, 2, b""))
        return "contact", {
            "account_id": "a_" + one(inner, 1, b"").hex(),
            "state": one(states, 1, b"").hex(),
            "cert": one(states, 2, b"").hex(),
            "identifier": word(3),
            "given_name": word(4),
            "own_name": word(5),
            "capability": one(inner, 6, b"").hex(),
            "decisions": [one(inner, n, 0) for n in (7, 8, 9, 10, 11)],
        }
    if number == 2:
        return "device", {"device_id": "d_" + one(inner, 1, b"").hex(), "name": word(2)}
    if number == 3:
        return "profile", {"name": word(1), "capability": one(inner, 2, b"").hex()}
    if number == 4:
        return "read", {"log_id": "l_" + one(inner, 1, b"").hex(), "seq": one(inner, 2, 0)}
    if number == 9:
        return "history", {"device_id": "d_" + one(inner, 1, b"").hex(), "pointer": one(inner, 2, b"").hex()}
    if number == 6:
        return "chat", setting_fields(inner)
    if number == 7:
        targets = [fields(target) for target in inner.get(1, [])]
        name = lambda of: ["a_" + one(of, 1, b"").hex(), "m_" + one(of, 2, b"").hex()]
        return "deleted", {"targets": [name(of) for of in targets]}
    return ("identity", {"seeds": one(inner, 1, b"").hex()}) if number == 5 else ("unknown", None)


def setting_fields(inner):
    account, log = one(inner, 1, b""), one(inner, 2, b"")
    check(bool(account) != bool(log), "one chat")
    chat = {"with": "a_" + account.hex()} if account else {"of": "l_" + log.hex()}
    place = lambda data: ["l_" + one(fields(data), 1, b"").hex(), one(fields(data), 2, 0)]
    def archived(data):
        inner = fields(data)
        return [bool(one(inner, 1, 0))] + (place(one(inner, 2, b"")) if 2 in inner else [])
    settings = {
        3: ("muted_until_ms", int), 4: ("archived", archived), 5: ("pinned", bool),
        6: ("draft", bytes.decode), 7: ("marked_unread", bool), 8: ("cleared", place),
    }
    found = [number for number in inner if number in settings]
    check(len(found) == 1, "one setting")
    word, read = settings[found[0]]
    return {**chat, "setting": word, "value": read(inner[found[0]][-1])}


def sync(v):
    for shown in v["items"]:
        data = hexed(shown["protobuf"])
        found = fields(data)
        check([number for number in found if number >= 16] == [29], "one kind")
        item = fields(one(found, 29, b""))
        check(len(item) == 1, "one thing")
        for number, values in item.items():
            read = sync_fields(number, fields(values[-1]))
            check(read == (shown["kind"], shown["fields"]), shown["kind"])
        refused(lambda: fields(data[:-1]) == found, "cut item")


def padme(length):
    """Nikitin et al., 2019: a float with as few bits of mantissa as its exponent has."""
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    free = exponent - exponent.bit_length()
    return (length + (1 << free) - 1) >> free << free


def opened(pointer, sealed):
    """The content of a sealed file."""
    if len(pointer) != 73 or pointer[0] != 1:
        raise Bad("pointer")
    key, length = pointer[33:65], int.from_bytes(pointer[65:], "big")
    pieces = [sealed[at:at + 65536] for at in range(0, len(sealed), 65536)]
    least = length + 16 * max(1, -(-length // 65520))
    if len(sealed) != padme(least):
        raise Bad("length of the file")
    padded = b""
    for number, piece in enumerate(pieces):
        nonce = bytes(3) + u(8, number) + u(1, number == len(pieces) - 1)
        padded += AESGCM(key).decrypt(nonce, piece, labelled("attachment", b"\x01"))
    if any(padded[length:]):
        raise Bad("padding")
    return padded[:length]


def attachment(v):
    for shown in v["small"]:
        pointer, sealed = hexed(shown["pointer"]), hexed(shown["sealed"])
        check(opened(pointer, sealed) == hexed(shown["content"]), "content of a file")
        for forged in tampered(sealed):
            refused(lambda: opened(pointer, forged), "changed file")
    for shown in v["large"]:
        pointer, length = hexed(shown["pointer"]), shown["length"]
        content = b"".join(u(4, n) for n in range(-(-length // 4)))[:length]
        total = padme(length + 16 * -(-length // 65520))
        padded = content.ljust(total - 16 * -(-total // 65536), b"\0")
        plain = [padded[at:at + 65520] for at in range(0, len(padded), 65520)]
        seal = AESGCM(pointer[33:65]).encrypt
        sealed = b"".join(
            seal(bytes(3) + u(8, n) + u(1, n == len(plain) - 1), piece, labelled("attachment", b"\x01"))
            for n, piece in enumerate(plain)
        )
        check(len(sealed) == shown["sealed_length"] == total, "length of a large file")
        check(sha256(sealed) == hexed(shown["sealed_sha256"]), "large file")
        check(opened(pointer, sealed) == content, "content of a large file")
        last = len(sealed) - (len(sealed) % 65536 or 65536)
        refused(lambda: opened(pointer, sealed[last:] + sealed[:last]) if last else False, "moved pieces")


def ids(v):
    kinds = {"log": ("l", 32), "account": ("a", 16), "device": ("d", 16)}
    kinds |= {"message": ("m", 16), "blob": ("b", 32), "server": ("s", 32)}

    def is_id(text, letter, size):
        return text[:2] == letter + "_" and len(ident(text)) == size

    for shown in v["ids"]:
        check(is_id(shown["text"], *kinds[shown["kind"]]), shown["text"])
    for text in v["refused"]:
        refused(lambda: any(is_id(text, *kind) for kind in kinds.values()), text)


FILES = [
    account_state, address, attachment, bundle_head, chain, connection_proof, content, context, credential, device_cert,
    group_link, ids, intro, key_export, link, safety_number, sync,
]


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    found = sorted(path.stem for path in folder.glob("*.json"))
    check(found == [work.__name__ for work in FILES], f"a check for each of {found}")
    for work in FILES:
        before = checks
        work(json.loads((folder / f"{work.__name__}.json").read_text()))
        print(f"{work.__name__:<18} {checks - before:>4} checks")
    print(f"{len(FILES)} files hold")


if __name__ == "__main__":
    main()
