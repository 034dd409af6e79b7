"""Lets client.py talk with `conclave classic` through a real server, both ways and in both suites.

    python3 check.py FOLDER_WITH_PROGRAMS

Starts the server on free ports of this machine, in a temporary folder, and stops it at the end."""

import json, os, pathlib, queue, subprocess, sys, tempfile, threading

HERE = pathlib.Path(__file__).parent
PROGRAMS = pathlib.Path(sys.argv[1]).resolve()
PATIENCE = 60


def lines(stream):
    """The lines of a stream as they come."""
    waiting = queue.Queue()

    def read():
        for line in stream:
            waiting.put(line.rstrip("\n"))
        waiting.put(None)

    threading.Thread(target=read, daemon=True).start()
    return waiting


def wait_for(waiting, start):
    """The rest of the next line that begins so."""
    while (line := waiting.get(timeout=PATIENCE)) is not None:
        if line.startswith(start):
            return line[len(start):]
    sys.exit(f"the server ended before it said `{start}`")


class Server:
    def __init__(self, folder):
        self.data = folder / "server"
        self.process = subprocess.Popen(
            [PROGRAMS / "conclave-server", "serve", "--data-dir", self.data,
             "--listen", "127.0.0.1:0", "--classic", "127.0.0.1:0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.codes, said = lines(self.process.stdout), lines(self.process.stderr)
        self.address = wait_for(said, "classic on ")
        wait_for(said, "listening on ")

    def key(self, suite):
        file = self.data.parent / f"{suite}.pem"
        command = [PROGRAMS / "conclave-server", "classic", "public-key", "--suite", suite, "--data-dir", self.data]
        file.write_bytes(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        return file

    def code(self, phone):
        return wait_for(self.codes, f"OTP for {phone}: ").split()[0]

    def stop(self):
        self.process.terminate()
        if self.process.wait(PATIENCE) != 0:
            sys.exit("the server did not stop well")


class Person:
    """One of the two clients with a phone."""

    def __init__(self, server, suite, phone, command, env):
        self.server, self.phone = server, phone
        self.command = [*command, "--suite", suite, "--server", server.address, "--server-key", server.key(suite)]
        self.env = {**os.environ, **env}

    def start(self, *words):
        return subprocess.Popen([*self.command, *words], env=self.env, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)

    def run(self, *words):
        process = self.start(*words)
        out, _ = process.communicate(timeout=PATIENCE)
        if process.returncode != 0:
            sys.exit(f"{words} ended with {process.returncode}")
        return out

    def register(self, *words):
        process = self.start(*words)
        process.communicate(self.server.code(self.phone) + "\n", timeout=PATIENCE)
        if process.returncode != 0:
            sys.exit(f"registering {self.phone} ended with {process.returncode}")


class Python(Person):
    def __init__(self, server, suite, phone, folder):
        command = [sys.executable, HERE / "client.py", "--phone", phone, "--key", folder / f"{phone}.pem"]
        super().__init__(server, suite, phone, command, {"CLASSIC_PASSPHRASE": "secret words"})
        self.register("register")

    def send(self, to, text):
        return self.run("send", to, text).strip()

    def fetch(self):
        rows = [line.split(" ", 1) for line in self.run("fetch").splitlines()]
        texts = [(who, text) for who, text in (row for row in rows if len(row) == 2) if who != "delivered"]
        return texts, [row[1].split()[0] for row in rows if row[0] == "delivered"]


class Rust(Person):
    def __init__(self, server, suite, phone, folder):
        (folder / "passphrase").write_text("secret words\n")
        command = [PROGRAMS / "conclave", "classic"]
        env = {"CONCLAVE_DATA_DIR": str(folder / phone), "CONCLAVE_PASSPHRASE_FILE": str(folder / "passphrase")}
        super().__init__(server, suite, phone, command, env)
        self.register("register", "--phone", phone)

    def rows(self, *words):
        return [json.loads(line) for line in self.run(*words, "-o", "json").splitlines()]

    def send(self, to, text):
        return self.rows("send", to, text)[0]["message_id"]

    def fetch(self):
        rows = self.rows("fetch")
        texts = [(row["from"], row["text"]) for row in rows if row["type"] == "classic_message"]
        return texts, [row["message_id"] for row in rows if row["type"] == "classic_receipt"]


def expect(what, want):
    if what != want:
        sys.exit(f"expected {want}, got {what}")


def talk(one, other):
    """A message while the other is offline, its receipt, and that nothing comes twice."""
    text = "grüße an dich, 🦀"
    message_id = one.send(other.phone, text)
    expect(other.fetch(), ([(one.phone, text)], []))
    expect(other.fetch(), ([], []))
    expect(one.fetch(), ([], [message_id]))
    expect(one.fetch(), ([], []))


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        server = Server(folder)
        try:
            for number, suite in enumerate(("rsa", "ec")):
                rust = Rust(server, suite, f"+49171392000{number}", folder)
                python = Python(server, suite, f"+49171392001{number}", folder)
                talk(rust, python)
                talk(python, rust)
                print(f"{suite}: Rust to Python and back")
        finally:
            server.stop()


main()
