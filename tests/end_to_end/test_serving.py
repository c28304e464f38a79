"""What users count on beside the API's shape: many streams, cancelled clients, drain, limits, ids in and out."""
import concurrent.futures
import json
import signal
import socket
import struct
import threading
import time

import pytest

from conftest import BUILD, MODELS, Server, default_model


def stream_ids(server, body, on_token=None):
    """Streams a completion by token ids; returns the ids and the arrival time of each chunk."""
    data = json.dumps({"stream": True, "return_token_ids": True, "ignore_eos": True, **body}).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=300) as s:
        s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                  b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        file, ids, times, done = s.makefile("rb"), [], [], False
        for line in file:
            if line.startswith(b"data: {"):
                event = json.loads(line[6:])
                assert "error" not in event, event
                for choice in event["choices"]:
                    new = choice.get("token_ids") or []
                    ids += new
                    times += [time.monotonic()] * bool(new)
                if on_token:
                    on_token(len(ids))
            done |= line.startswith(b"data: [DONE]")
        assert done
        return ids, times


def golden(name):
    return json.loads((MODELS / name / "expected.json").read_text())


def test_oracle_through_the_api(hybrid):
    expected = golden("nemotron_h")
    body = {"prompt": expected["input_ids"], "max_tokens": 32, "temperature": 0, "ignore_eos": True,
            "return_token_ids": True}
    status, reply = hybrid.post("/v1/completions", body)
    assert status == 200, reply
    assert reply["choices"][0]["token_ids"] == expected["greedy"]
    assert stream_ids(hybrid, body)[0] == expected["greedy"]


def test_64_streams_of_mixed_lengths_all_complete(smol):
    def one(i):
        prompt = [(7 * i + j) % 40000 + 100 for j in range(1 + (i * 37) % 150)]
        want = 4 + (i * 11) % 60
        ids, _ = stream_ids(smol, {"prompt": prompt, "max_tokens": want, "temperature": 1, "seed": i})
        return len(ids) == want

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        assert all(pool.map(one, range(64)))
    assert smol.wait_until_idle()


def gap_ratio(*flags):
    """p99 inter-token time of 8 streams while a 2,000-token prompt is computed, over the same before."""
    server = Server(default_model(), "--memory", "2GiB", *flags)
    try:
        started = threading.Barrier(9)
        counts = [0] * 8

        def background(i):
            def seen(n):
                counts[i] = n
            started.wait()
            return stream_ids(server, {"prompt": [50 + i] * 20, "max_tokens": 700, "temperature": 0}, seen)[1]

        with concurrent.futures.ThreadPoolExecutor(9) as pool:
            streams = [pool.submit(background, i) for i in range(8)]
            started.wait()
            while min(counts) < 100:
                time.sleep(0.01)
            arrival = time.monotonic()
            long = stream_ids(server, {"prompt": [100 + j % 5000 for j in range(2000)], "max_tokens": 1})[1]
            times = [s.result() for s in streams]
        assert min(len(t) for t in times) == 700
        before = sorted(b - a for t in times for a, b in zip(t[20:], t[21:]) if b < arrival)
        during = sorted(b - a for t in times for a, b in zip(t, t[1:]) if b > arrival and a < long[0])
        p99 = lambda gaps: gaps[int(0.99 * (len(gaps) - 1))]
        return p99(during) / p99(before)
    finally:
        server.stop()


@pytest.mark.skipif(BUILD.name in ("asan", "tsan"), reason="ratios of times say nothing of an instrumented build")
def test_a_long_prompt_does_not_stall_the_others():
    unchunked = gap_ratio("--chunked-prefill", "off")
    # The machine is shared: the best of three counts.
    ratios = []
    while len(ratios) < 3 and (not ratios or min(ratios) >= 2.5):
        ratios.append(gap_ratio())
    print(f"\np99 inter-token time during a 2,000-token prompt, over before: "
          f"{min(ratios):.2f} chunked, {unchunked:.2f} unchunked")
    assert min(ratios) < 2.5
    assert unchunked > 2 * min(ratios)


def test_a_client_that_leaves_frees_its_blocks(hybrid):
    body = json.dumps({"prompt": [1, 2, 3], "max_tokens": 3000, "stream": True, "ignore_eos": True,
                       "return_token_ids": True}).encode()
    for linger in (b"", struct.pack("ii", 1, 0)):  # FIN, then RST
        s = socket.create_connection(("127.0.0.1", hybrid.port))
        s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert s.recv(4096).startswith(b"HTTP/1.1 200")
        if linger:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        s.close()
        assert hybrid.wait_until_idle()


def test_sigterm_lets_streams_finish():
    server = Server(MODELS / "nemotron_h", "--memory", "256MiB")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        begun = threading.Event()
        stream = pool.submit(stream_ids, server, {"prompt": [5, 6], "max_tokens": 1500}, lambda n: begun.set())
        assert begun.wait(30)
        server.process.send_signal(signal.SIGTERM)
        assert len(stream.result()[0]) == 1500
    assert server.process.wait(30) == 0


def test_a_broken_model_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama", "vocab_size": -1}')
    with pytest.raises(RuntimeError) as caught:
        Server(tmp_path)
    assert "exited 1" in str(caught.value) and "error: " in str(caught.value)


def test_metrics_and_health(smol):
    assert smol.get("/health")[0] == 200 and smol.get("/livez")[0] == 200
    text = smol.get("/metrics")[1]
    assert "# TYPE vllm:num_requests_running gauge" in text
    assert 'vllm:request_success_total{' in text
    assert smol.metric("vllm:generation_tokens_total") > 0
