"""A small client for Conclave's classic gateway: both suites, docs/classic.md as its only source.

    python3 client.py --suite ec --server 127.0.0.1:5001 --server-key server.pem --phone +491700000001 COMMAND …

Commands: register | send PHONE TEXT | fetch. `register` reads the one-time code from standard input.
The key lies in --key (default: PHONE.SUITE.pem) under the passphrase in CLASSIC_PASSPHRASE.
Needs `cryptography` (requirements.txt beside this file)."""

import argparse, base64, json, os, socket, sys, time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NAME = "conclave-classic/1"
SHA256 = hashes.SHA256()
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
ECDSA = ec.ECDSA(hashes.SHA256())

def b64(data): return base64.b64encode(data).decode()
def unb64(text): return base64.b64decode(text, validate=True)
def signed(*parts): return "\n".join((NAME, *map(str, parts))).encode()
def pem(public):
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()

class Rsa:
    new_key = staticmethod(lambda: rsa.generate_private_key(65537, 2048))
    sign = staticmethod(lambda key, data: key.sign(data, PSS, SHA256))
    verify = staticmethod(lambda key, signature, data: key.verify(signature, data, PSS, SHA256))
    wrap = staticmethod(lambda key, info, data: key.encrypt(data, OAEP))
    unwrap = staticmethod(lambda key, info, data: key.decrypt(data, OAEP))
    @staticmethod
    def seal(key, data):
        iv = os.urandom(16)
        return iv + Cipher(algorithms.AES(key), CFB(iv)).encryptor().update(data)
    @staticmethod
    def open(key, data):
        return Cipher(algorithms.AES(key), CFB(data[:16])).decryptor().update(data[16:])

class Ec:
    new_key = staticmethod(lambda: ec.generate_private_key(ec.SECP256R1()))
    sign = staticmethod(lambda key, data: key.sign(data, ECDSA))
    verify = staticmethod(lambda key, signature, data: key.verify(signature, data, ECDSA))
    @staticmethod
    def seal(key, data):
        iv = os.urandom(12)
        return iv + AESGCM(key).encrypt(iv, data, None)
    @staticmethod
    def open(key, data):
        return AESGCM(key).decrypt(data[:12], data[12:], None)
    @staticmethod
    def shared(private, public, info):
        return HKDF(SHA256, 32, NAME.encode(), info.encode()).derive(private.exchange(ec.ECDH(), public))
    @classmethod
    def wrap(cls, key, info, data):
        once, plain = ec.generate_private_key(ec.SECP256R1()), serialization.PublicFormat.UncompressedPoint
        point = once.public_key().public_bytes(serialization.Encoding.X962, plain)
        return point + cls.seal(cls.shared(once, key, info), data)
    @classmethod
    def unwrap(cls, key, info, data):
        once = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), data[:65])
        return cls.open(cls.shared(key, once, info), data[65:])

class Client:
    def __init__(self, args):
        self.suite, self.name, self.phone = {"rsa": Rsa, "ec": Ec}[args.suite], args.suite, args.phone
        self.key_file = args.key or f"{args.phone}.{args.suite}.pem"
        with open(args.server_key, "rb") as file:
            self.server_key = serialization.load_pem_public_key(file.read())
        host, port = args.server.rsplit(":", 1)
        self.file = socket.create_connection((host, int(port)), timeout=30).makefile("rwb")
        shown = self.call("hello")["public_keys"][self.name]
        if shown != pem(self.server_key):
            sys.exit("this server has another key than the one known beforehand")

    def call(self, action, **fields):
        self.file.write(json.dumps({"action": action, **fields}).encode() + b"\n")
        self.file.flush()
        reply = json.loads(self.file.readline())
        if reply["status"] != "ok":
            sys.exit(f"{reply['code']}: {reply['message']}")
        return reply

    def register(self):
        self.key = self.suite.new_key()
        secret = serialization.BestAvailableEncryption(os.environ["CLASSIC_PASSPHRASE"].encode())
        with open(self.key_file, "xb") as file:
            file.write(self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret))
        session = self.call("register", suite=self.name, phone=self.phone)["session"]
        code, public = sys.stdin.readline().strip(), pem(self.key.public_key())
        reply = self.call("verify", session=session, public_key=public,
                          encrypted_otp=b64(self.suite.wrap(self.server_key, "otp", code.encode())),
                          signature=b64(self.suite.sign(self.key, signed("verify", session, public))))
        self.suite.verify(self.server_key, unb64(reply["signature"]), signed("registered", self.phone, public))

    def login(self):
        with open(self.key_file, "rb") as file:
            self.key = serialization.load_pem_private_key(file.read(), os.environ["CLASSIC_PASSPHRASE"].encode())
        nonce = self.call("login", phone=self.phone)["nonce"]
        self.call("prove", signature=b64(self.suite.sign(self.key, signed("login", self.phone, nonce))))

    def key_of(self, phone):
        reply = self.call("key", phone=phone)
        text = signed("key", self.name, phone, reply["public_key"])
        self.suite.verify(self.server_key, unb64(reply["signature"]), text)
        return serialization.load_pem_public_key(reply["public_key"].encode())

    def signed_text(self, m):
        return signed("message", self.name, m["sender_id"], m["recipient_id"], m["timestamp"],
                      m["encrypted_aes_key"], m["encrypted_content"])

    def send(self, phone, text):
        key, info = os.urandom(32), f"key|{self.phone}|{phone}"
        m = {"sender_id": self.phone, "recipient_id": phone, "timestamp": int(time.time()),
             "encrypted_content": b64(self.suite.seal(key, text.encode())),
             "encrypted_aes_key": b64(self.suite.wrap(self.key_of(phone), info, key))}
        m["signature"] = b64(self.suite.sign(self.key, self.signed_text(m)))
        return self.call("send", message=m)["message_id"]

    def fetch(self):
        reply = self.call("fetch", max=100)
        for m in reply["messages"]:
            try:
                self.suite.verify(self.key_of(m["sender_id"]), unb64(m["signature"]), self.signed_text(m))
                key = self.suite.unwrap(self.key, f"key|{m['sender_id']}|{self.phone}", unb64(m["encrypted_aes_key"]))
                print(m["sender_id"], self.suite.open(key, unb64(m["encrypted_content"])).decode(), flush=True)
            except (InvalidSignature, ValueError):
                print(m["sender_id"], "sent something that does not hold", file=sys.stderr)
        for receipt in reply["receipts"]:
            print("delivered", receipt["message_id"], receipt["recipient_id"], flush=True)
        self.call("ack", message_ids=[m["message_id"] for m in reply["messages"]],
                  receipts=[r["message_id"] for r in reply["receipts"]])

parser = argparse.ArgumentParser()
for name in ("suite", "server", "server-key", "phone"):
    parser.add_argument(f"--{name}", required=True)
parser.add_argument("--key")
parser.add_argument("command", choices=("register", "send", "fetch"))
parser.add_argument("rest", nargs="*")
arguments = parser.parse_args()
client = Client(arguments)
if arguments.command != "register":
    client.login()
print(getattr(client, arguments.command)(*arguments.rest) or "done")
