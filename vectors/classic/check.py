"""Opens and verifies the vectors of the classic protocols with `cryptography`, after docs/classic.md."""

import base64
import hashlib
import json
import pathlib
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NAME = b"conclave-classic/1"
SHA256 = hashes.SHA256()


def unb64(text):
    return base64.b64decode(text, validate=True)


def signed(parts):
    return b"\n".join([NAME, *(str(part).encode() for part in parts)])


def verify(suite, key, signature, text):
    if suite == "rsa":
        key.verify(signature, text, padding.PSS(padding.MGF1(hashes.SHA256()), 32), SHA256)
    else:
        key.verify(signature, text, ec.ECDSA(SHA256))


def gcm(key, data):
    return AESGCM(key).decrypt(data[:12], data[12:], None)


def unwrap(suite, key, info, data):
    if suite == "rsa":
        return key.decrypt(data, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), data[:65])
    secret = key.exchange(ec.ECDH(), point)
    return gcm(HKDF(SHA256, 32, NAME, info.encode()).derive(secret), data[65:])


def content(suite, key, data):
    if suite == "ec":
        return gcm(key, data)
    return Cipher(algorithms.AES(key), CFB(data[:16])).decryptor().update(data[16:])


def check(vector):
    suite, secret = vector["suite"], vector["passphrase"].encode()
    public = {who: serialization.load_pem_public_key(pem.encode()) for who, pem in vector["public_keys"].items()}
    private = {
        who: serialization.load_pem_private_key(pem.encode(), secret if "ENCRYPTED" in pem else None)
        for who, pem in vector["keys"].items()
    }
    for who, key in private.items():
        assert key.public_key() == public[who], who
    assert unwrap(suite, private["server"], "otp", unb64(vector["otp"]["encrypted_otp"])).decode() == vector["otp"]["code"]
    rows = [(public[row["by"]], row["parts"], row["signature"]) for row in vector["signatures"].values()]
    m = vector["message"]
    parts = ["message", suite, m["sender_id"], m["recipient_id"], m["timestamp"], m["encrypted_aes_key"],
             m["encrypted_content"]]
    rows.append((public["anna"], parts, m["signature"]))
    for key, parts_of, signature in rows:
        verify(suite, key, unb64(signature), signed(parts_of))
        try:
            verify(suite, key, unb64(signature), signed([*parts_of[:-1], "changed"]))
            sys.exit("a signature holds over other text")
        except InvalidSignature:
            pass
    assert hashlib.sha256(signed(parts)).hexdigest()[:32] == vector["message_id"]
    key = unwrap(suite, private["ben"], f"key|{m['sender_id']}|{m['recipient_id']}", unb64(m["encrypted_aes_key"]))
    assert content(suite, key, unb64(m["encrypted_content"])).decode() == vector["text"]
    return len(rows)


for file in sorted(pathlib.Path(__file__).parent.glob("*.json")):
    print(f"classic/{file.name}: {check(json.loads(file.read_text()))} signatures, a code and a message hold")
