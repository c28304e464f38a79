"""TLS, the operators' port, keys and certificates that change while the daemon runs."""
import gzip
import http.client
import json
import os
import ssl
import subprocess
import time

import pytest

from conftest import MODELS, Server, free_port

MODEL = MODELS / "nemotron_h"


def make_certificate(folder, name):
    """A self-signed pair for localhost; `name` tells them apart."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


class TlsServer(Server):
    def __init__(self, certificate, key, *flags):
        self.certificate = certificate
        super().__init__(MODEL, "--memory", "256MiB", "--tls-cert", str(certificate), "--tls-key", str(key), *flags)

    def ask(self, method, path, body=None, headers={}, trusted=None, port=None):
        context = ssl.create_default_context(cafile=trusted or self.certificate)
        connection = http.client.HTTPSConnection("localhost", port or self.port, context=context, timeout=60)
        connection.connect()
        name = dict(part[0] for part in connection.sock.getpeercert()["subject"])["commonName"]
        version = connection.sock.version()
        connection.request(method, path, body, {"Content-Type": "application/json", **headers} if body else headers)
        reply = connection.getresponse()
        text = reply.read().decode()
        connection.close()
        return reply.status, text, name, version

    def get(self, path):
        return self.ask("GET", path)[:2]


def eventually(condition, seconds=15):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def log_of(server):
    """What the server has logged since the last look."""
    try:
        text = os.read(server.process.stderr.fileno(), 1 << 16).decode()
    except BlockingIOError:
        return []
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_tls_and_a_certificate_that_is_renewed(tmp_path):
    certificate, key = make_certificate(tmp_path, "first")
    second, second_key = make_certificate(tmp_path, "second")
    both = tmp_path / "both.pem"
    both.write_text(certificate.read_text() + second.read_text())
    admin_port = free_port()
    server = TlsServer(certificate, key, "--admin-port", str(admin_port))
    try:
        body = json.dumps({"prompt": [1, 2, 3], "max_tokens": 200, "stream": True, "ignore_eos": True, "return_token_ids": True})
        status, text, name, version = server.ask("POST", "/v1/completions", body)
        assert status == 200 and text.rstrip().endswith("data: [DONE]") and name == "first" and version == "TLSv1.3"
        assert server.ask("GET", "/server_info", port=admin_port)[0] == 200

        certificate.write_text("broken")
        server.certificate = both
        eventually(lambda: any(record["message"] == "the new certificate is not used" and str(certificate) in record["error"]
                               for record in log_of(server)))
        assert server.ask("GET", "/health", trusted=both)[2] == "first"
        certificate.write_text(second.read_text())
        key.write_text(second_key.read_text())
        eventually(lambda: server.ask("GET", "/health", trusted=both)[2] == "second")
        assert server.ask("GET", "/load", trusted=both, port=admin_port)[2] == "second"
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize("wrong", ["certificate", "key"])
def test_a_pair_that_cannot_be_used_is_named(tmp_path, wrong):
    files = dict(zip(("certificate", "key"), make_certificate(tmp_path, "a")))
    files[wrong].write_text("nothing")
    with pytest.raises(RuntimeError) as caught:
        Server(MODEL, "--tls-cert", str(files["certificate"]), "--tls-key", str(files["key"]))
    assert "exited 1" in str(caught.value) and f"{files[wrong]}: " in str(caught.value)


def test_keys_that_are_replaced(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("old\n")
    server = Server(MODEL, "--memory", "256MiB", "--api-key-file", str(keys))
    body = {"prompt": [1, 2], "max_tokens": 1, "return_token_ids": True}
    ask = lambda key: server.post("/v1/completions", body, {"Authorization": f"Bearer {key}"})
    try:
        assert ask("old")[0] == 200
        status, reply = ask("new")
        assert status == 401 and reply["error"]["code"] == "invalid_api_key" and reply["error"]["type"] == "invalid_request_error"
        keys.write_text("# none\n")  # no keys at all would open the door
        time.sleep(3)
        assert ask("old")[0] == 200 and ask("")[0] == 401
        keys.write_text("sha256:11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437\n")  # of "new"
        eventually(lambda: ask("new")[0] == 200)
        assert ask("old")[0] == 401
    finally:
        assert server.stop() == 0


def test_the_operators_port():
    port = free_port()
    server = Server(MODEL, "--memory", "256MiB", "--admin-port", str(port), "--max-queue", "7", "--served-model-name", "hybrid")
    def ask(path):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    try:
        status, text = ask("/server_info")
        info = json.loads(text)
        assert status == 200 and info["state"] == "ready" and info["model"]["served_names"] == ["hybrid"]
        assert info["config"]["max-queue"] == "7" and info["config"]["admin-host"] == "127.0.0.1"
        assert info["engine"]["num_state_slots"] > 0 and info["version"] == json.loads(server.get("/version")[1])["version"]
        assert json.loads(ask("/load")[1]) == {"server_load": 0} == json.loads(server.get("/load")[1])
        assert ask("/metrics")[0] == 200
        assert server.get("/server_info")[0] == 404  # not for the public
        assert ask("/v1/models")[0] == 404
        for alias in ("/health", "/v1/health", "/ping", "/ready", "/readyz", "/livez"):
            assert server.get(alias)[0] == 200, alias
    finally:
        assert server.stop() == 0


def test_large_answers_are_compressed_for_those_who_ask(hybrid):
    connection = http.client.HTTPConnection("127.0.0.1", hybrid.port, timeout=10)
    connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
    reply = connection.getresponse()
    packed = reply.read()
    assert reply.headers["Content-Encoding"] == "gzip" and reply.headers["Vary"] == "Accept-Encoding"
    assert b"vllm:num_requests_running" in gzip.decompress(packed)
