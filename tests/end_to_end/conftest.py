"""A real process on real sockets: fixtures that start `braid serve` and end it by its own id."""
import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BRAID_TEST_BUILD", ROOT / "build" / "release"))
MODELS = ROOT / "tests" / "data" / "models"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One `braid serve`; `url` answers once it is ready."""

    def __init__(self, model, *flags):
        self.port, self.grpc_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [BUILD / "braid", "serve", model, "--port", str(self.port), "--grpc-port", str(self.grpc_port), *flags]
        self.process = subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True)
        os.set_blocking(self.process.stderr.fileno(), False)
        self.wait_until_ready()

    def wait_until_ready(self, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"exited {self.process.returncode}: {self.process.stderr.read()}")
            try:
                if self.get("/readyz")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise TimeoutError("not ready")

    def get(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def post(self, path, body, headers=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json", **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=300) as reply:
                return reply.status, json.loads(reply.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def metric(self, name):
        """The sum of a family's samples."""
        lines = self.get("/metrics")[1].splitlines()
        values = [float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name]
        assert values, name
        return sum(values)

    def wait_until_idle(self, seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.metric("vllm:num_requests_running") == 0 and self.metric("vllm:kv_cache_usage_perc") == 0:
                return True
            time.sleep(0.02)
        return False

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def default_model():
    path = os.environ.get("BRAID_TEST_MODEL")
    if not path:
        pytest.skip("BRAID_TEST_MODEL is not set")
    return path


@pytest.fixture(scope="session")
def smol():
    server = Server(default_model(), "--served-model-name", "smollm2", "--memory", "2GiB")
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="session")
def hybrid():
    """A hybrid model without tokenizer, served by token ids."""
    server = Server(MODELS / "nemotron_h", "--served-model-name", "hybrid", "--memory", "256MiB")
    yield server
    assert server.stop() == 0
