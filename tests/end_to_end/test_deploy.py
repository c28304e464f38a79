"""What deploy/ says must be true of the daemon: flags, paths, metrics. Queries run in a real Prometheus."""
import json
import pathlib
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request

import pytest
import yaml

from conftest import BUILD, ROOT, free_port

DEPLOY = ROOT / "deploy"


def manifests():
    for path in sorted((DEPLOY / "kubernetes").rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield path, document


def deployments():
    return [d for _, d in manifests() if d["kind"] == "Deployment"]


def test_manifests_name_what_is_there():
    for path, document in manifests():
        assert document["apiVersion"] and document["kind"], path
        for name in document.get("resources", []) if document["kind"] == "Kustomization" else []:
            assert (path.parent / name).exists(), f"{path}: {name}"


@pytest.mark.parametrize("deployment", deployments(), ids=lambda d: d["metadata"]["name"])
def test_the_deployments_start_what_the_daemon_accepts(smol, deployment):
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    flags = subprocess.run([BUILD / "braid", container["args"][0], "--help"], capture_output=True, text=True).stdout
    given = dict(arg.split("=", 1) for arg in container["args"] if arg.startswith("--"))
    for flag in given:
        assert re.search(rf"^\s+{flag}\b", flags, re.M), flag
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert smol.get(container[probe]["httpGet"]["path"])[0] == 200
    grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > float(given.get("--drain-delay-s", 0)) + float(given["--drain-timeout-s"])


def test_the_pools_of_the_router_are_services():
    names = {d["metadata"]["name"]: d for _, d in manifests() if d["kind"] == "Service" and d["spec"].get("clusterIP") == "None"}
    router = next(d for d in deployments() if d["metadata"]["name"] == "braid-router")
    given = dict(arg.split("=", 1) for arg in router["spec"]["template"]["spec"]["containers"][0]["args"] if "=" in arg)
    labels = {d["metadata"]["name"]: d["spec"]["template"].get("metadata", {}).get("labels", {}) for d in deployments()}
    for pool in ("prefill", "decode"):
        service, port = given[f"--{pool}"].split(":")
        assert int(port) in [p["port"] for p in names[service]["spec"]["ports"]]
        assert names[service]["spec"]["selector"].items() <= labels[f"braid-{pool}"].items()


@pytest.fixture(scope="module")
def prometheus(smol, tmp_path_factory):
    """A Prometheus with our alerts that scrapes the daemon every second."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    folder = tmp_path_factory.mktemp("prometheus")
    shutil.copy(DEPLOY / "prometheus" / "alerts.yaml", folder)
    config = yaml.safe_load((DEPLOY / "prometheus" / "scrape.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{smol.port}"]}]
    (folder / "scrape.yaml").write_text(yaml.safe_dump(config))
    port = free_port()
    process = subprocess.Popen(["prometheus", f"--config.file={folder}/scrape.yaml", f"--storage.tsdb.path={folder}/data",
                                f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for_scrapes(url, smol)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def wait_for_scrapes(url, server, wanted=4, seconds=120):
    """Until so many scrapes are in, with traffic between them: rates need both."""
    end, scrapes = time.monotonic() + seconds, 0
    while scrapes < wanted:
        assert time.monotonic() < end, f"{scrapes} scrapes in {seconds} s"
        server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": f"Count to {scrapes}."}], "max_tokens": 8})
        time.sleep(1)
        try:
            result = ask(url, "query", query="count_over_time(vllm:generation_tokens_total[1h])")["result"]
            scrapes = int(result[0]["value"][1]) if result else 0
        except OSError:
            pass  # not yet listening


def ask(url, path, **query):
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=10) as reply:
        return json.load(reply)["data"]


def queries():
    dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m").replace("$model_name", ".*")


@pytest.mark.parametrize("title, query", list(queries()))
def test_every_panel_shows_data(prometheus, title, query):
    # What shares something of nothing (state slots of an attention-only model) may be empty, but must be valid.
    result = ask(prometheus, "query", query=query)["result"]
    assert result or "> 0)" in query, f"{title}: {query}"


def test_the_alerts_are_loaded_and_quiet(prometheus):
    groups = ask(prometheus, "rules")["groups"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    wanted = {rule["alert"] for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"] for rule in group["rules"]}
    assert set(rules) == wanted
    for name, rule in rules.items():
        assert rule["health"] == "ok" and rule["state"] != "firing", name


def test_promtool_remarks_on_borrowed_names_only(smol):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    text = smol.get("/metrics")[1]
    run = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    known = ("should not contain ':'", "vllm:iteration_tokens_total non-counter metrics")  # vLLM's own names
    assert [line for line in (run.stdout + run.stderr).splitlines() if line and not any(word in line for word in known)] == []
