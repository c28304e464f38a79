"""Prefill and decode as processes of their own, with a router in front: equal answers, and none lost when one is killed."""
import concurrent.futures
import json
import random
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

from conftest import BUILD, MODELS, Server, default_model, free_port
from test_serving import stream_ids

MEMORY = ("--memory", "64MiB", "--max-model-len", "1024", "--threads", "1", "--pin-threads", "off")


def labelled(server, name):
    """A family's samples by their labels."""
    lines = server.get("/metrics")[1].splitlines()
    return {line[len(name):].rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{")}


class Router(Server):
    """`braid route`; ready when a worker is healthy."""

    def __init__(self, *flags):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [BUILD / "braid", "route", "--port", self.port, "--poll-ms", "50", "--answer-ms", "700", *flags]
        self.process = subprocess.Popen([str(word) for word in command], stderr=subprocess.DEVNULL)

    def wait_for_workers(self, decode, prefill=0, seconds=60):
        wanted = {'{pool="decode"}': decode, '{pool="prefill"}': prefill}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if labelled(self, "braid_router_workers_healthy") == wanted:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise TimeoutError(f"{wanted} workers; there are {self.labelled('braid_router_workers_healthy')}")


def address(server):
    return f"127.0.0.1:{server.port}"


def worker(model, role, key, *flags):
    return Server(MODELS / model, "--served-model-name", "m", "--role", role, "--handover-key-file", key, *MEMORY, *flags)


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    path = tmp_path_factory.mktemp("handover") / "key"
    path.write_text("a secret that nobody guesses\n")
    return path


@pytest.fixture(scope="module", params=["llama", "nemotron_h"])
def fleet(request, key):
    """One process alone, two that prefill, two that decode, and a router."""
    alone = Server(MODELS / request.param, "--served-model-name", "m", *MEMORY)
    prefill = [worker(request.param, "prefill", key, "--handover-lease-s", "2") for _ in range(2)]
    decode = [worker(request.param, "decode", key, "--speculate", "3") for _ in range(2)]
    router = Router("--prefill", ",".join(map(address, prefill)), "--decode", ",".join(map(address, decode)),
                    "--handover-key-file", key, "--short-prompt-bytes", "20")
    router.wait_for_workers(2, 2)
    yield alone, prefill, decode, router
    for server in [router, alone, *decode, *prefill]:
        assert server.stop() == 0


def prompt(length, seed):
    return [random.Random(seed * 1000 + i).randrange(3, 250) for i in range(length)]


def bodies():
    for i, length in enumerate([2, 31, 32, 33, 70, 150, 300]):
        yield {"prompt": prompt(length, i), "max_tokens": 40, "temperature": 0}
        yield {"prompt": prompt(length, i), "max_tokens": 40, "temperature": 0.9, "top_p": 0.9, "seed": i,
               "frequency_penalty": 0.3, "logprobs": 2}


def choice_of(server, body):
    status, reply = server.post("/v1/completions", {"return_token_ids": True, "ignore_eos": True, **body})
    assert status == 200, reply
    choice = reply["choices"][0]
    return choice["token_ids"], choice["logprobs"], choice["finish_reason"]


def total(servers, name):
    return sum(server.metric(name) for server in servers)


def test_answers_are_those_of_one_process(fleet):
    alone, prefill, decode, router = fleet
    before = total(prefill, "braid_handover_prompts_total")
    count = 0
    for body in bodies():
        assert choice_of(router, body) == choice_of(alone, body)
        assert stream_ids(router, body)[0] == choice_of(alone, body)[0]
        count += 2 * (len(json.dumps(body["prompt"])) >= 20)
    assert total(prefill, "braid_handover_prompts_total") - before >= count
    assert total(prefill, "vllm:generation_tokens_total") >= count
    for server in decode + prefill:
        assert server.wait_until_idle()
    assert total(prefill, "braid_handover_offers") == 0


def test_many_streams_at_once(fleet):
    alone, _, _, router = fleet
    wanted = [{"prompt": prompt(20 + 9 * i, i), "max_tokens": 60, "temperature": 1, "seed": i} for i in range(16)]
    expected = [choice_of(alone, body)[0] for body in wanted]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert [ids for ids, _ in pool.map(lambda body: stream_ids(router, body), wanted)] == expected


def test_500_random_requests(fleet):
    """Prompts that share beginnings, greedy and sampled, long and short, 16 at a time."""
    alone, prefill, decode, router = fleet
    rng = random.Random(5)
    documents = [prompt(200, 900 + i) for i in range(4)]
    wanted = []
    for i in range(500):
        begin = rng.choice(documents)[:rng.randrange(200)] if rng.random() < 0.5 else []
        wanted.append({"prompt": begin + prompt(rng.randrange(1, 120), i), "max_tokens": rng.randrange(1, 40), "seed": i,
                       "temperature": rng.choice([0, 0.7, 1]), "top_k": rng.choice([0, 5]), "logprobs": rng.choice([None, 1])})
    moved = total(decode, "braid_handover_received_bytes_total")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda body: choice_of(router, body), wanted))
        expected = list(pool.map(lambda body: choice_of(alone, body), wanted))
    assert got == expected
    assert total(decode, "braid_handover_received_bytes_total") > moved
    for server in decode + prefill:
        assert server.wait_until_idle()
    outcome = lambda name: sum(labelled(s, "braid_handover_requests_total")[f'{{outcome="{name}"}}'] for s in decode)
    print(f"\nso far {outcome('taken'):.0f} taken over, {outcome('recomputed'):.0f} computed at home")
    assert outcome("taken") > 400


def test_a_prefilling_process_answers_nobody_else(fleet):
    _, prefill, decode, _ = fleet
    status, reply = prefill[0].post("/v1/completions", {"prompt": [1, 2], "max_tokens": 2, "return_token_ids": True})
    assert status == 503 and "--role prefill" in reply["error"]["message"]
    # Nobody but the router names a prefilling process.
    forged = {"x-braid-prefill": f"127.0.0.1:{prefill[0].grpc_port} v1.1.{'0' * 32}.{'0' * 64}"}
    status, reply = decode[0].post("/v1/completions", {"prompt": [1, 2], "max_tokens": 2, "return_token_ids": True}, forged)
    assert status == 401, reply


def test_strangers_at_the_hand_over_port(fleet, key):
    """Bytes that are no gRPC, calls without or with a wrong signature: refused, and the port goes on serving."""
    alone, prefill, decode, router = fleet
    rng = random.Random(1)
    for server in prefill:
        for _ in range(30):
            with socket.create_connection(("127.0.0.1", server.grpc_port), timeout=10) as s:
                s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[:rng.randrange(30)] + rng.randbytes(rng.randrange(2000)))
    grpc = pytest.importorskip("grpc")
    for server in prefill:
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            for method in ("Prefill", "Release"):
                call = channel.unary_unary(f"/braid.v1.Handover/{method}", lambda b: b, lambda b: b)
                for metadata in (None, [("braid-peer-signature", f"v1.{int(time.time() * 1000)}.{'a' * 32}.{'b' * 64}")]):
                    for payload in (b"", rng.randbytes(40)):
                        with pytest.raises(grpc.RpcError) as caught:
                            call(payload, metadata=metadata, timeout=10)
                        assert caught.value.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNIMPLEMENTED)  # no message
    body = {"prompt": prompt(90, 7), "max_tokens": 20, "temperature": 0}
    assert choice_of(router, body) == choice_of(alone, body)


def restart(server):
    """Another process at the same ports."""
    command = list(server.process.args)
    server.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    server.wait_until_ready()


def kill_in_the_middle(router, victim, wanted, expected, may_begin):
    """Streams them all, kills the victim once `may_begin` of them have had a token, and compares what came."""
    begun = threading.Semaphore(0)

    def stream(body):
        first = threading.Event()

        def seen(count):
            if count and not first.is_set():
                first.set()
                begun.release()
        return stream_ids(router, body, seen)[0]

    with concurrent.futures.ThreadPoolExecutor(len(wanted)) as pool:
        streams = [pool.submit(stream, body) for body in wanted]
        for _ in range(may_begin):
            assert begun.acquire(timeout=60)
        victim.process.kill()
        victim.process.wait()
        assert [stream.result() for stream in streams] == expected


def test_kill_9_of_a_decoding_process_loses_no_stream(fleet):
    alone, prefill, decode, router = fleet
    wanted = [{"prompt": prompt(60 + 3 * i, i), "max_tokens": 900, "temperature": 0.8, "seed": i} for i in range(12)]
    expected = [choice_of(alone, body)[0] for body in wanted]
    before = router.metric("braid_router_resumed_total")
    kill_in_the_middle(router, decode[0], wanted, expected, may_begin=12)
    assert router.metric("braid_router_resumed_total") > before
    # Whole answers too, while it is gone and once it is back.
    assert [choice_of(router, body)[0] for body in wanted[:2]] == expected[:2]
    restart(decode[0])
    router.wait_for_workers(2, 2)
    assert [choice_of(router, body)[0] for body in wanted[:2]] == expected[:2]
    for server in prefill:  # what nobody fetched is given up with its lease
        assert server.wait_until_idle()


def test_kill_9_of_a_prefilling_process_loses_no_stream(fleet):
    alone, prefill, decode, router = fleet
    wanted = [{"prompt": prompt(470, i), "max_tokens": 30, "temperature": 0.8, "seed": i} for i in range(24)]
    expected = [choice_of(alone, body)[0] for body in wanted]
    recomputed = lambda: sum(labelled(s, "braid_handover_requests_total")['{outcome="recomputed"}'] for s in decode)
    before = recomputed()
    kill_in_the_middle(router, prefill[0], wanted, expected, may_begin=2)
    assert recomputed() > before
    assert [choice_of(router, body)[0] for body in wanted[:2]] == expected[:2]
    restart(prefill[0])
    router.wait_for_workers(2, 2)
    assert [choice_of(router, body)[0] for body in wanted[:2]] == expected[:2]
    for server in decode + prefill:
        assert server.wait_until_idle()


def test_processes_that_hang_are_left(fleet):
    """Stopped, not killed: connections stay open, nothing comes."""
    alone, prefill, decode, router = fleet
    wanted = [{"prompt": prompt(90 + i, i), "max_tokens": 300, "temperature": 0.8, "seed": i} for i in range(8)]
    expected = [choice_of(alone, body)[0] for body in wanted]
    for victim in (decode[1], prefill[1]):
        victim.process.send_signal(signal.SIGSTOP)
        try:
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                assert list(pool.map(lambda body: stream_ids(router, body)[0], wanted)) == expected
        finally:
            victim.process.send_signal(signal.SIGCONT)
        router.wait_for_workers(2, 2)
    for server in decode + prefill:
        assert server.wait_until_idle()


def test_nobody_is_left(key):
    lone = worker("llama", "decode", key)
    router = Router("--decode", address(lone))
    router.wait_for_workers(1)
    body = {"prompt": [5, 6, 7], "max_tokens": 4, "return_token_ids": True}
    assert router.post("/v1/completions", body)[0] == 200
    lone.process.kill()
    lone.process.wait()
    router.wait_for_workers(0)
    try:
        urllib.request.urlopen(urllib.request.Request(router.url + "/v1/completions", json.dumps(body).encode(),
                                                      {"Content-Type": "application/json"}), timeout=10)
        raise AssertionError("an answer from nobody")
    except urllib.error.HTTPError as error:
        assert error.code == 503 and int(error.headers["Retry-After"]) >= 1
        assert "no worker is healthy" in json.loads(error.read())["error"]["message"]
    assert router.get("/readyz")[0] == 503
    router.process.send_signal(signal.SIGTERM)
    assert router.process.wait(30) == 0


def test_plain_replicas(key):
    """Without hand-overs: processes that do all, one of them killed in the middle of a stream."""
    replicas = [Server(MODELS / "nemotron_h", "--served-model-name", "m", *MEMORY) for _ in range(2)]
    router = Router("--workers", ",".join(map(address, replicas)))
    router.wait_for_workers(2)
    wanted = [{"prompt": prompt(40, i), "max_tokens": 900, "temperature": 0.7, "seed": i} for i in range(6)]
    expected = [choice_of(replicas[0], body)[0] for body in wanted]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        streams = [pool.submit(stream_ids, router, body) for body in wanted]
        time.sleep(0.1)
        replicas[1].process.kill()
        assert [stream.result()[0] for stream in streams] == expected
    assert router.metric("braid_router_resumed_total") + router.metric("braid_router_retries_total") > 0
    for server in (router, replicas[0]):
        assert server.stop() == 0


def chat_text(server, body, on_text=None):
    """The text of a streamed chat, and what it ended with."""
    data = json.dumps({"stream": True, **body}).encode()
    request = urllib.request.Request(server.url + "/v1/chat/completions", data, {"Content-Type": "application/json"})
    text, finish, done, roles = "", None, False, 0
    with urllib.request.urlopen(request, timeout=300) as reply:
        for line in reply:
            done |= line.startswith(b"data: [DONE]")
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            assert "error" not in event and "prompt_token_ids" not in event, event
            for choice in event["choices"]:
                assert "token_ids" not in choice
                roles += choice["delta"].get("role") == "assistant"
                text += choice["delta"].get("content") or ""
                finish = choice["finish_reason"] or finish
            if on_text:
                on_text(text)
    assert done and roles == 1
    return text, finish


def test_chats_and_structured_output(key):
    """Text, a schema (whose mask has a say in the first token), and a decoding process killed in the middle of both."""
    model, flags = default_model(), ("--served-model-name", "m", "--memory", "256MiB", "--threads", "1", "--pin-threads", "off")
    peer = ("--handover-key-file", key, "--role")
    alone, prefill = Server(model, *flags), Server(model, *flags, *peer, "prefill")
    decode = [Server(model, *flags, *peer, "decode") for _ in range(2)]
    router = Router("--prefill", address(prefill), "--decode", ",".join(map(address, decode)), "--handover-key-file", key,
                    "--short-prompt-bytes", "20")
    router.wait_for_workers(2, 1)
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "people": {"type": "integer"}}, "required": ["city", "people"]}
    wanted = [{"messages": [{"role": "user", "content": f"Tell me about the number {i} and the sea."}], "max_tokens": 150,
               "temperature": 0.7, "seed": i, "presence_penalty": 0.4} for i in range(4)]
    wanted += [{"messages": [{"role": "user", "content": f"Name city {i}."}], "max_tokens": 80, "temperature": 0.9, "seed": i,
                "response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}} for i in range(2)]
    expected = [chat_text(alone, body) for body in wanted]
    assert [chat_text(router, body) for body in wanted] == expected
    assert prefill.metric("braid_handover_released_total") == len(wanted)
    begun = threading.Semaphore(0)
    with concurrent.futures.ThreadPoolExecutor(len(wanted)) as pool:
        streams = [pool.submit(chat_text, router, body, lambda text: text and begun.release()) for body in wanted]
        for _ in range(30):
            assert begun.acquire(timeout=60)
        decode[0].process.kill()
        assert [stream.result() for stream in streams] == expected
    assert router.metric("braid_router_resumed_total") > 0
    for server in (router, alone, decode[1], prefill):
        assert server.stop() == 0
